"""The payload of a sealed file: written and read in chunks of AES-256-GCM, at no time more than a chunk in memory.

The format and the paper stand in the room's docstring.
"""

import hashlib
import hmac
import os
from pathlib import Path
from typing import IO, Any, BinaryIO

from tltpy.crypto import header as header_module
from tltpy.crypto import key as key_module
from tltpy.crypto.header import TAG_SIZE, Header, damaged, truncated
from tltpy.errors import WrongKeyError

Buffer = bytes | bytearray | memoryview


class Sealer:
    """Writes one sealed file: the header at once, then exactly `length` bytes given to `write`, then `finish`."""

    def __init__(
        self, file: IO[Any], *, key: str, kind: str, task: str, stage: str, length: int, log2_chunk: int = 20
    ) -> None:
        master = key_module.for_writing(key)
        self.header = Header(
            kind=kind, task=task, stage=stage, length=length, salt=master.salt, seed=os.urandom(16),
            check=master.check(), log2_n=master.log2_n, log2_chunk=log2_chunk,
        )  # fmt: skip
        raw = header_module.pack(self.header)
        self._file = file
        self._cipher = _cipher(master.stream_key(header_module.authenticated(raw)))
        self._digest = hashlib.sha256(raw)
        self._pending = bytearray()  # less than a chunk, unless the chunk is the last
        self._index = 0
        file.write(raw)

    def write(self, data: Buffer) -> None:
        """Appends to the payload; the buffer is not kept."""
        view, size = memoryview(data).cast("B"), self.header.chunk_size
        if self._pending:
            taken = min(size - len(self._pending), len(view))
            self._pending += view[:taken]
            view = view[taken:]
            if len(self._pending) == size:
                self._seal(self._pending)
                self._pending = bytearray()
        whole = len(view) - len(view) % size
        for start in range(0, whole, size):
            self._seal(view[start : start + size])
        self._pending += view[whole:]

    def finish(self) -> str:
        """Writes what is left. Returns the digest of the file, 64 hex digits."""
        if self._pending or self.header.length == 0:
            self._seal(self._pending)
        assert self._index == self.header.chunks, "the payload has not the length that was announced"
        return self._digest.hexdigest()

    def _seal(self, plain: Buffer) -> None:
        last = self._index == self.header.chunks - 1
        assert len(plain) == _chunk_length(self.header, self._index), "the payload is not as long as was announced"
        sealed = self._cipher.encrypt(_nonce(self._index, last), plain, None)
        self._digest.update(sealed[-TAG_SIZE:])
        self._file.write(sealed)
        self._index += 1


class Opener:
    """Reads one sealed file in order. A byte is given out only after the tag of its chunk was found right.

    Raises what the room's docstring lists, at once for the header and the key, while reading for a chunk.
    """

    def __init__(self, file: BinaryIO, *, key: str | None, path: str | Path) -> None:
        self.header, raw = header_module.read(file, path)
        self.left = self.header.length  # bytes of the payload not read yet
        self._cipher = _cipher(_master(self.header, key, path).stream_key(header_module.authenticated(raw)))
        self._file, self._path = file, path
        self._digest = hashlib.sha256(raw)
        self._raw = bytearray(min(self.header.length, self.header.chunk_size) + TAG_SIZE)
        self._plain = memoryview(b"")  # the part of the newest chunk that nobody has taken
        self._index = 0

    def read_into(self, target: bytearray | memoryview) -> None:
        """Fills `target` with the next bytes of the payload; there must be as many."""
        view = memoryview(target).cast("B")
        assert len(view) <= self.left, "read beyond the end of the payload"
        self.left -= len(view)
        while len(view):
            if not len(self._plain):
                self._plain = memoryview(self._open())
            taken = min(len(self._plain), len(view))
            view[:taken] = self._plain[:taken]
            view, self._plain = view[taken:], self._plain[taken:]

    def read(self, size: int) -> bytearray:
        target = bytearray(size)
        self.read_into(target)
        return target

    def finish(self) -> str:
        """To be called when all was read. Returns the digest of the file, 64 hex digits."""
        assert self.left == 0, "the payload was not read to its end"
        if self._index < self.header.chunks:  # a payload of no bytes has a chunk, too
            self._open()
        return self._digest.hexdigest()

    def _open(self) -> bytes:
        from cryptography.exceptions import InvalidTag

        raw = memoryview(self._raw)[: _chunk_length(self.header, self._index) + TAG_SIZE]
        self._fill(raw)
        last = self._index == self.header.chunks - 1
        try:
            plain: bytes = self._cipher.decrypt(_nonce(self._index, last), raw, None)
        except InvalidTag:
            at = header_module.SIZE + self._index * (self.header.chunk_size + TAG_SIZE)
            raise damaged(self._path, f"bytes {at} to {at + len(raw) - 1} are not what was written") from None
        self._digest.update(raw[-TAG_SIZE:])
        self._index += 1
        return plain

    def _fill(self, raw: memoryview) -> None:
        while len(raw):
            count = self._file.readinto(raw)  # type: ignore[attr-defined]
            if not count:
                raise truncated(self._path, f"it ended while it was read, {len(raw)} bytes before the end of a chunk")
            raw = raw[count:]


def check_key(file: BinaryIO, *, key: str | None, path: str | Path) -> Header:
    """Reads the header of a sealed file and tries the key; the payload is not looked at."""
    header, _ = header_module.read(file, path)
    _master(header, key, path)
    return header


def _master(header: Header, key: str | None, path: str | Path) -> key_module.MasterKey:
    master = key_module.derive(key_module.required(key, path), header.salt, header.log2_n)
    if not hmac.compare_digest(master.check(), header.check):
        raise WrongKeyError(
            f"{path}: the key does not open this file", "give the key it was written with: -k KEY, -k @FILE or TLT_KEY"
        )
    return master


def _cipher(key: bytes) -> Any:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key)


def _nonce(index: int, last: bool) -> bytes:
    return index.to_bytes(11, "big") + bytes([last])


def _chunk_length(header: Header, index: int) -> int:
    return max(0, min(header.chunk_size, header.length - index * header.chunk_size))
