"""Opening and writing sealed files for the other pages of this room; and what a file says of itself without a key."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from tltpy import files
from tltpy.artifact.flavour import flavour, foreign, is_sealed, unreadable
from tltpy.crypto import header as seal
from tltpy.crypto import key as seal_key
from tltpy.crypto import stream
from tltpy.errors import ModelFileError

KINDS = ("weights", "checkpoint", "graph")


@dataclass(frozen=True)
class Header:
    """What stands in clear at the start of a model file; it can be trusted once the file was opened with its key."""

    version: int
    kind: str  # one of KINDS
    task: str
    stage: str  # float, calibration, qat, int_infer


def inspect(path: str | Path) -> Header:
    """The header of a sealed file, without a key. Raises a ModelFileError or the child of it that fits."""
    with _reading(path) as file:
        return public(seal.read(file, path)[0])


def check_key(path: str | Path, key: str | None) -> Header:
    """The header of a sealed file that `key` opens, else WrongKeyError; reads no payload and imports no torch."""
    with _reading(path) as file:
        return public(stream.check_key(file, key=key, path=path))


@contextmanager
def opened(path: str | Path, key: str | None, kinds: tuple[str, ...], hint: str) -> Iterator[stream.Opener]:
    """Opens a sealed file of one of `kinds` for reading; for another kind raises a ModelFileError with `hint`."""
    with _reading(path) as file:
        kind = seal.read(file, path)[0].kind
        if kind not in KINDS:
            raise ModelFileError(f'{path}: kind "{kind}" is not known', "a later tltpy wrote it: update tltpy")
        if kind not in kinds:
            held, wanted = (" or ".join(map(_called, words)) for words in ((kind,), kinds))
            raise ModelFileError(f"{path}: the file holds {held}, not {wanted}", hint)
        file.seek(0)
        yield stream.Opener(file, key=key, path=path)


@contextmanager
def sealing(
    path: str | Path, *, key: str | None, header: Header, length: int, overwrite: bool
) -> Iterator[stream.Sealer]:
    """Opens a sealed file for writing a payload of `length` bytes; the old file stays until all is on disk."""
    assert header.kind in KINDS, f"no kind of model file: {header.kind}"
    key = seal_key.required(key, path)
    files.refuse_existing(path, overwrite)
    with files.atomic(path) as file:
        yield stream.Sealer(file, key=key, kind=header.kind, task=header.task, stage=header.stage, length=length)


def public(header: seal.Header) -> Header:
    return Header(header.version, header.kind, header.task, header.stage)


@contextmanager
def _reading(path: str | Path) -> Iterator[BinaryIO]:
    path = Path(path)
    try:
        if not path.is_file():
            raise foreign(path, flavour(path))  # or, from flavour, ModelFileError where there is nothing
        with path.open("rb", buffering=0) as file:
            if not is_sealed(file.read(len(seal.MAGIC))):
                raise foreign(path, flavour(path))
            file.seek(0)
            yield cast(BinaryIO, file)
    except OSError as error:
        raise unreadable(path, error) from error


def _called(kind: str) -> str:
    return kind if kind == "weights" else f"a {kind}"
