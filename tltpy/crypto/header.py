"""The clear header of a sealed file: fields to bytes and back. The layout stands in the room's docstring."""

import hashlib
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tltpy.errors import DamagedFileError, ForeignFileError, ModelFileError, TruncatedFileError

MAGIC = b"\x8aTLTPY\r\n"
VERSION = 1
SIZE = 160
TAG_SIZE = 16
SCRYPT_R, SCRYPT_P = 8, 1
LOG2_N_LIMITS = (10, 17)
LOG2_CHUNK_LIMITS = (8, 24)

_LAYOUT = struct.Struct("<8sHBBBBHQ16s32s32s16s16s16s")
_CHECKSUM_SIZE = 8
assert _LAYOUT.size + _CHECKSUM_SIZE == SIZE


@dataclass(frozen=True, kw_only=True)
class Header:
    """`length` is that of the payload in bytes; kind, task and stage are ASCII words that this room does not read."""

    kind: str
    task: str
    stage: str
    length: int
    salt: bytes
    seed: bytes
    check: bytes
    log2_n: int
    log2_chunk: int = 20
    version: int = VERSION

    @property
    def chunk_size(self) -> int:
        return 1 << self.log2_chunk

    @property
    def chunks(self) -> int:
        return max(1, -(-self.length // self.chunk_size))

    @property
    def file_size(self) -> int:
        return SIZE + self.length + self.chunks * TAG_SIZE


def pack(header: Header) -> bytes:
    """The SIZE bytes of a header."""
    fields = _LAYOUT.pack(
        MAGIC, header.version, header.log2_n, SCRYPT_R, SCRYPT_P, header.log2_chunk, 0, header.length,
        _pad(header.kind, 16), _pad(header.task, 32), _pad(header.stage, 32), header.salt, header.seed, header.check,
    )  # fmt: skip
    return fields + _checksum(fields)


def authenticated(raw: bytes) -> bytes:
    """The part of a packed header that the stream key depends on."""
    return raw[: _LAYOUT.size]


def read(file: BinaryIO, path: str | Path) -> tuple[Header, bytes]:
    """Reads and checks the header at the start of `file`, and that the file is as long as it says; no key is needed.

    Returns the header and its bytes. Raises ForeignFileError, TruncatedFileError, DamagedFileError, or ModelFileError
    for a later version.
    """
    raw = file.read(SIZE)
    header = _unpack(raw, path)
    size = os.fstat(file.fileno()).st_size
    if size < header.file_size:
        raise truncated(path, f"{header.file_size - size} of {header.file_size} bytes are missing")
    if size > header.file_size:
        raise damaged(path, f"{size - header.file_size} bytes follow its end")
    return header, raw


def damaged(path: str | Path, how: str) -> DamagedFileError:
    return DamagedFileError(f"{path}: the file is damaged: {how}", "copy it again from where it came, or make it again")


def truncated(path: str | Path, how: str) -> TruncatedFileError:
    return TruncatedFileError(
        f"{path}: the file is truncated: {how}", "copy it again from where it came; a download may have been cut"
    )


def _unpack(raw: bytes, path: str | Path) -> Header:
    if not raw or not MAGIC.startswith(raw[: len(MAGIC)]):
        raise ForeignFileError(f"{path}: no sealed file of tltpy: it does not start with the magic bytes")
    if len(raw) < SIZE:
        raise truncated(path, f"it ends in its header, after {len(raw)} bytes")
    fields = raw[: _LAYOUT.size]
    if _checksum(fields) != raw[_LAYOUT.size :]:
        raise damaged(path, "its header has another checksum")
    _, version, log2_n, r, p, log2_chunk, zero, length, kind, task, stage, salt, seed, check = _LAYOUT.unpack(fields)
    if version != VERSION:
        raise ModelFileError(
            f"{path}: format version {version} is not known, only {VERSION}", "a later tltpy wrote it: update tltpy"
        )
    if (r, p, zero) != (SCRYPT_R, SCRYPT_P, 0) or not _within(log2_n, LOG2_N_LIMITS):
        raise damaged(path, f"its header asks for scrypt with log2 N {log2_n}, r {r}, p {p}")
    if not _within(log2_chunk, LOG2_CHUNK_LIMITS):
        raise damaged(path, f"its header asks for chunks of 2^{log2_chunk} bytes")
    kind, task, stage = (_strip(text, path) for text in (kind, task, stage))
    return Header(
        kind=kind, task=task, stage=stage, length=length, salt=salt, seed=seed, check=check,
        log2_n=log2_n, log2_chunk=log2_chunk, version=version,
    )  # fmt: skip


def _checksum(fields: bytes) -> bytes:
    return hashlib.sha256(fields).digest()[:_CHECKSUM_SIZE]


def _within(value: int, limits: tuple[int, int]) -> bool:
    return limits[0] <= value <= limits[1]


def _pad(text: str, size: int) -> bytes:
    raw = text.encode("ascii")
    assert len(raw) <= size and text.isprintable(), f"no text for {size} bytes of a header: {text!r}"
    return raw.ljust(size, b"\0")


def _strip(raw: bytes, path: str | Path) -> str:
    text = raw.rstrip(b"\0")
    if any(not 0x20 <= byte < 0x7F for byte in text):
        raise damaged(path, "its header holds a text that is none")
    return text.decode("ascii")
