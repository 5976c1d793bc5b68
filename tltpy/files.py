"""Writing files so that a crash leaves the old one or the new one, never a half; asking before anything is overwritten.

Any room may import this one. A disk that is full, or a folder that may not be written, is a DataError.
"""

import errno
import fcntl
import glob
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from tltpy.errors import DataError, UsageError

NEW_S = 60.0  # a file younger than this may belong to a process that has not claimed it yet


@contextmanager
def atomic(path: str | Path, mode: str = "wb", *, flush: bool = True) -> Iterator[IO[Any]]:
    """Opens a sibling of `path`; when the block ends well it is flushed to disk and renamed to `path`, else removed.

    Without `flush` the file survives the end of the process, but not that of the machine: for files in a folder that
    is flushed as a whole before anybody sees it.
    """
    path = Path(path)
    sibling = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    with translated(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with sibling.open(mode) as file:
                claim(file.fileno())
                yield file
                file.flush()
                if flush:
                    os.fsync(file.fileno())
            os.replace(sibling, path)
        except BaseException:
            with suppress(OSError):
                sibling.unlink()
            raise


def claim(descriptor: int) -> None:
    """Marks an open file or folder as in use until it is closed or the process ends, for `sweep`."""
    with suppress(OSError):  # a file system without locks
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def sweep(folder: str | Path, pattern: str = ".*.part") -> None:
    """Removes the unfinished files and folders, of names like the pattern, that a killed process left in a folder.

    What a living process writes is claimed; what is so new that it may not be claimed yet is left alone.
    """
    for path in Path(folder).glob(pattern):
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if time.time() - os.fstat(descriptor).st_mtime > NEW_S:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            finally:
                os.close(descriptor)


@contextmanager
def staging(target: str | Path) -> Iterator[Path]:
    """A new hidden folder beside `target`, claimed, for what will take its place; gone afterwards.

    Those that killed processes left behind are removed first.
    """
    target = Path(target)
    folder = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    with translated(target):
        folder.mkdir(parents=True)
        sweep(target.parent, f".{glob.escape(target.name)}.{'[0-9a-f]' * 8}.part")
        descriptor = os.open(folder, os.O_RDONLY)
    claim(descriptor)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


@contextmanager
def staged(target: str | Path) -> Iterator[Path]:
    """Gives an empty folder of the same name elsewhere; when the block ends well it takes the place of `target`, else
    it goes. What was there stays until then."""
    target = Path(target)
    new_parent = not target.parent.exists()
    try:
        with staging(target) as holder:
            folder = holder / target.name
            folder.mkdir()
            yield folder
            with translated(target):
                if target.exists():
                    os.replace(target, holder / "before")
                os.replace(folder, target)
    finally:
        with suppress(OSError):  # it holds other things
            if new_parent:
                target.parent.rmdir()


def write_text(path: str | Path, text: str) -> None:
    with atomic(path, "w") as file:
        file.write(text)


@contextmanager
def translated(path: str | Path) -> Iterator[None]:
    """Turns the operating system's refusals to write `path` into DataErrors; other errors pass."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DataError(f"{path}: the disk is full", "free some space and run the command again") from error
        if error.errno == errno.EEXIST:
            raise DataError(f"{path}: cannot be written: {error.filename} is a file, not a folder") from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EFBIG):
            raise DataError(f"{path}: cannot be written: {os.strerror(error.errno or 0).lower()}") from error
        raise


def refuse_existing(path: str | Path, overwrite: bool) -> None:
    """UsageError when `path` is a file, or a folder that holds anything, and overwriting was not asked for.

    DataError when `path` lies below a file, so that nobody works for an hour in order to hear of it.
    """
    path = Path(path)
    for parent in path.parents:
        if parent.is_file():
            raise DataError(f"{path}: cannot be written: {parent} is a file, not a folder")
    if overwrite or not path.exists():
        return
    if path.is_dir():
        if any(path.iterdir()):
            raise UsageError(f"{path}: the folder is not empty", "name another folder, or add --overwrite")
        return
    raise UsageError(f"{path}: the file exists", "name another file, or add --overwrite")
