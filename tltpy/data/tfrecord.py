"""TFRecord files. A record: length (8 bytes, little-endian), its masked CRC32C, payload, the payload's masked CRC32C.

A file without a byte is a TFRecord file without a record. Every checksum is verified on reading.
"""

import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

import crc32c

from tltpy.errors import DataError
from tltpy.files import atomic

if TYPE_CHECKING:
    import numpy as np

_HEADER = struct.Struct("<QI")
_CRC = struct.Struct("<I")
_FRAME_BYTES = _HEADER.size + _CRC.size
_MASK_DELTA = 0xA282EAD8


def write(path: str | Path, payloads: Iterable[bytes]) -> int:
    """Writes one file that appears when it is complete; returns the number of records."""
    count = 0
    with atomic(path) as file:
        for payload in payloads:
            file.write(frame(payload))
            count += 1
    return count


def frame(payload: bytes) -> bytes:
    """A record as it stands in the file."""
    length = struct.pack("<Q", len(payload))
    return b"".join((length, _CRC.pack(masked_crc(length)), payload, _CRC.pack(masked_crc(payload))))


def read(path: str | Path) -> Iterator[bytes]:
    """The payloads in order; DataError names the record number and byte offset of a damaged or cut record."""
    path = Path(path)
    with _opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        offset = number = 0
        while offset < size:
            payload = _read_record(file, path, number, offset, size)
            yield payload
            offset += _FRAME_BYTES + len(payload)
            number += 1


def read_index(path: str | Path) -> "np.ndarray":
    """int64 [N]: byte offset of every record, found by seeking from length to length; no payload is read."""
    import numpy as np

    path = Path(path)
    offsets: list[int] = []
    with _opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        offset = 0
        while offset < size:
            file.seek(offset)
            length = _read_length(file, path, len(offsets), offset, size)
            offsets.append(offset)
            offset += _FRAME_BYTES + length
    return np.array(offsets, np.int64)


def read_at(path: str | Path, offset: int, number: int) -> bytes:
    """The payload of the record that starts at byte `offset`; `number` is only for the message of a DataError."""
    path = Path(path)
    with _opened(path) as file:
        file.seek(offset)
        return _read_record(file, path, number, offset, os.fstat(file.fileno()).st_size)


def masked_crc(data: bytes) -> int:
    """CRC32C rotated right by 15 bits plus a constant, as TensorFlow stores it."""
    crc = int(crc32c.crc32c(data))
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


def _opened(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {(error.strerror or '').lower()}") from error


def _read_record(file: IO[bytes], path: Path, number: int, offset: int, size: int) -> bytes:
    length = _read_length(file, path, number, offset, size)
    body = file.read(length + _CRC.size)
    if len(body) < length + _CRC.size:
        raise _truncated(path, number, offset)
    payload = body[:length]
    if masked_crc(payload) != _CRC.unpack(body[length:])[0]:
        raise DataError(
            f"{path}: record {number} at byte {offset} is damaged: the checksum of its payload does not match",
            "convert the data set again, or copy the file again",
        )
    return payload


def _read_length(file: IO[bytes], path: Path, number: int, offset: int, size: int) -> int:
    header = file.read(_HEADER.size)
    if len(header) < _HEADER.size:
        if offset == 0:
            raise _foreign(path)
        raise _truncated(path, number, offset)
    length, crc = _HEADER.unpack(header)
    if masked_crc(header[:8]) != crc:
        if offset == 0:
            raise _foreign(path)
        raise DataError(
            f"{path}: record {number} at byte {offset} is damaged: the checksum of its length does not match",
            "convert the data set again, or copy the file again",
        )
    if offset + _FRAME_BYTES + length > size:
        raise _truncated(path, number, offset)
    return int(length)


def _truncated(path: Path, number: int, offset: int) -> DataError:
    return DataError(
        f"{path}: the file is truncated: it ends within record {number}, which starts at byte {offset}",
        "convert the data set again, or copy the file again",
    )


def _foreign(path: Path) -> DataError:
    return DataError(
        f"{path}: no TFRecord file, or its record 0 at byte 0 is damaged: the checksum of its length does not match",
        "tfrecords_path is a glob that must match the shards of tlt-dataset-convert alone",
    )
