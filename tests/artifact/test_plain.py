"""Checkpoints of others: tensors by name out of what torch.save and safetensors write, one error for all else."""

import os
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tltpy import artifact
from tltpy.errors import ForeignFileError, ModelFileError

STATE = {"conv.weight": torch.arange(12.0).reshape(4, 3), "bn.num_batches_tracked": torch.tensor(3)}


def same(found: dict[str, torch.Tensor]) -> bool:
    return list(found) == list(STATE) and all(torch.equal(found[name], value) for name, value in STATE.items())


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    "content",
    [
        STATE,
        {"state_dict": STATE, "epoch": 3},
        {"model": STATE, "optimizer": {"lr": 0.1}},
        {"state_dict": {f"module.{name}": value for name, value in STATE.items()}},
    ],
    ids=["plain", "state_dict", "model", "parallel"],
)
def test_what_torch_saves(content: Any, legacy: bool, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "w.pth", _use_new_zipfile_serialization=not legacy)
    assert same(artifact.load_plain(tmp_path / "w.pth"))


def test_safetensors(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "w.safetensors")
    found = artifact.load_plain(tmp_path / "w.safetensors")
    assert same({name: found[name] for name in STATE}) and len(found) == len(STATE)


class Payload:
    def __reduce__(self) -> Any:
        return os.mkdir, ("was_run",)


@pytest.mark.parametrize("legacy", [False, True])
def test_code_in_a_checkpoint_does_not_run(legacy: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"conv.weight": Payload()}, "w.pth", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(ForeignFileError, match="cannot be read") as raised:
        artifact.load_plain("w.pth")
    assert "\n" not in raised.value.message and not Path("was_run").exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({}, "holds no state_dict"),
        ([torch.zeros(3)], "holds no state_dict"),
        ({"a": torch.zeros(3), "b": 3}, "entry 'b' is no tensor"),
        ({"args": Namespace(lr=0.1)}, "cannot be read"),
        (torch.nn.Conv2d(3, 4, 1), "cannot be read"),
    ],
)
def test_other_content(content: Any, says: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(ModelFileError, match=says):
        artifact.load_plain(tmp_path / "w.pth")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_damaged_files(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"w{suffix}"
    torch.save(STATE, path) if suffix == ".pth" else save_file(STATE, path)
    whole = path.read_bytes()
    for length in range(16, len(whole), max(len(whole) // 20, 1)):
        path.write_bytes(whole[:length])
        with pytest.raises(ForeignFileError, match=r"cannot be read|no checkpoint but"):
            artifact.load_plain(path)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("w.pth", b"", "an empty file"),
        ("w.pth", b"hello\n", "a text file"),
        ("w.hdf5", b"\x89HDF\r\n\x1a\n" + bytes(40), "an HDF5 file"),
        ("w.png", b"\x89PNG\r\n\x1a\n" + bytes(40), "an image"),
    ],
)
def test_no_checkpoint(name: str, content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ForeignFileError, match=f"no checkpoint but {says}"):
        artifact.load_plain(tmp_path / name)


def test_a_sealed_model_and_a_missing_file(tmp_path: Path) -> None:
    artifact.save_model(tmp_path / "m.tlt", key="k", task="t", tensors=STATE, metadata={})
    with pytest.raises(ForeignFileError, match="no checkpoint but a sealed model file"):
        artifact.load_plain(tmp_path / "m.tlt")
    with pytest.raises(ModelFileError, match="no such model file"):
        artifact.load_plain(tmp_path / "none.pth")
