"""Atomic writing: the old file or the new one, never a half; refusals of the system; outputs that exist."""

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tltpy import files
from tltpy.errors import DataError, UsageError


def test_writes_and_replaces_making_the_folder(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "model.tlt"
    for text in ("first", "second"):
        files.write_text(path, text)
        assert path.read_text() == text
    with files.atomic(path) as file:
        file.write(b"\x00third")
    assert path.read_bytes() == b"\x00third"
    assert os.listdir(path.parent) == ["model.tlt"]


@pytest.mark.parametrize("fault", [RuntimeError("bug"), KeyboardInterrupt()], ids=["bug", "interrupt"])
def test_a_block_that_breaks_off_leaves_the_old_file_and_nothing_else(tmp_path: Path, fault: BaseException) -> None:
    path = tmp_path / "model.tlt"
    path.write_text("old")
    with pytest.raises(type(fault)), files.atomic(path, "w") as file:
        file.write("half of the n")
        raise fault
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["model.tlt"]


def test_until_the_block_ends_readers_see_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "model.tlt"
    path.write_text("old")
    with files.atomic(path, "w") as file:
        file.write("new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def raising(number: int) -> Callable[..., Any]:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise OSError(number, os.strerror(number))

    return refuse


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_is_a_data_error_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "model.tlt"
    monkeypatch.setattr(os, call, raising(errno.ENOSPC))
    with pytest.raises(DataError, match="the disk is full") as caught:
        files.write_text(path, "x")
    assert str(path) in caught.value.message and caught.value.hints
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_truly_full_device() -> None:
    with pytest.raises(DataError, match="/dev/full: the disk is full"), files.translated("/dev/full"), open(
        "/dev/full", "w"
    ) as file:
        file.write("x")
        file.flush()


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    with pytest.raises(DataError, match="model.tlt: cannot be written: .*plain is a file, not a folder"):
        files.write_text(tmp_path / "plain" / "model.tlt", "x")


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_folder_that_may_not_be_written(number: int) -> None:
    with pytest.raises(DataError, match="^a/b: cannot be written: "), files.translated("a/b"):
        raising(number)()


def test_other_errors_of_the_system_pass() -> None:
    with pytest.raises(FileNotFoundError), files.translated("a/b"):
        raising(errno.ENOENT)()


def test_refuse_existing(tmp_path: Path) -> None:
    file, empty, full = tmp_path / "model.tlt", tmp_path / "empty", tmp_path / "full"
    for folder in (empty, full):
        folder.mkdir()
    (full / "x").write_text("")
    file.write_text("")
    for path in (tmp_path / "missing", empty):
        files.refuse_existing(path, overwrite=False)
    for path, says in ((file, "the file exists"), (full, "the folder is not empty")):
        with pytest.raises(UsageError, match=says) as caught:
            files.refuse_existing(path, overwrite=False)
        assert "--overwrite" in caught.value.hints[0]
        files.refuse_existing(path, overwrite=True)


def test_what_a_killed_process_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    old = time.time() - 2 * files.NEW_S
    for name in (".dead.tlt.0123abcd.part", ".new.tlt.0123abcd.part", "kept.part", ".kept", "kept.tlt"):
        (tmp_path / name).write_bytes(b"x")
    folder = tmp_path / ".tfrecords.0123abcd.part"
    folder.mkdir()
    (folder / "shard").write_bytes(b"x")
    for path in tmp_path.iterdir():
        if "new" not in path.name:
            os.utime(path, (old, old))
    with files.atomic(tmp_path / "living.tlt") as file:
        file.write(b"half")
        (living,) = tmp_path.glob(".living*.part")
        file.flush()
        os.utime(living, (old, old))
        files.sweep(tmp_path)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == [".kept", ".new.tlt.0123abcd.part", "kept.part", "kept.tlt", "living.tlt"]
    files.sweep(tmp_path / "missing")


def test_a_staged_folder_takes_the_place_of_another_or_goes(tmp_path: Path) -> None:
    place = tmp_path / "models" / "a"
    with pytest.raises(ValueError, match="no"), files.staged(place) as folder:
        (folder / "x").write_text("1")
        assert folder.name == "a" and not place.exists()
        raise ValueError("no")
    assert not list(tmp_path.iterdir())
    for text in ("1", "2"):
        with files.staged(place) as folder:
            (folder / text).write_text(text)
    assert [path.name for path in place.iterdir()] == ["2"] and [path.name for path in place.parent.iterdir()] == ["a"]
