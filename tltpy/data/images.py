"""Picture files as stored: rotation flags (EXIF) are ignored, because labels refer to the stored pixels.

`read_size` looks at the header alone; `read` decodes, and refuses a file whose end is missing. The threads that OpenCV
uses are the caller's business.
"""

import os
import struct
from pathlib import Path
from typing import IO

import cv2
import numpy as np

from tltpy.data.extensions import PICTURES
from tltpy.errors import DataError

EXTENSIONS = PICTURES

DEEPER = 257  # 255 * 257 = 65535: white stays white

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG_SIZES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})  # start-of-frame markers
_JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length
_JPEG_SCAN = 0xDA


def read(path: str | Path, channels: int = 3) -> np.ndarray:
    """uint8 [H, W, 3] BGR, or [H, W, 1] grey with one channel; DataError for a file that is no whole picture."""
    image = _decode(Path(path), cv2.IMREAD_COLOR if channels == 3 else cv2.IMREAD_GRAYSCALE)
    return np.asarray(image if channels == 3 else image[:, :, None])


def read_deep(path: str | Path) -> np.ndarray:
    """uint16 [H, W, 1] grey: 16 bits as stored, 8 bits spread over 0..65535; DataError for what is no whole picture."""
    image = _decode(Path(path), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH)
    return (image if image.dtype == np.uint16 else image.astype(np.uint16) * DEEPER)[:, :, None]


def to_bgr(image: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3], for people to look at: a picture of one channel or of 16 bits, or what is so already."""
    if image.dtype == np.uint16:
        image = np.rint(image / DEEPER).astype(np.uint8)
    return image if image.shape[2] == 3 else np.repeat(image, 3, axis=2)


def read_size(path: str | Path) -> tuple[int, int]:
    """(height, width) of the stored pixels, from the header of PNG, JPEG, BMP and GIF; other formats are decoded."""
    try:
        with open(path, "rb", buffering=4096) as file:
            size = _header_size(file)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {(error.strerror or '').lower()}") from error
    except (struct.error, IndexError) as error:
        raise DataError(f"{path}: the file is no picture that can be read") from error
    if size is None:
        size = read(path).shape[:2]
    if size[0] <= 0 or size[1] <= 0:
        raise DataError(f"{path}: the file is no picture that can be read")
    return size


def _decode(path: Path, flags: int) -> np.ndarray:
    data = _read_bytes(path)
    if not data:
        raise DataError(f"{path}: the picture file is empty")
    if _is_cut(data):
        raise DataError(f"{path}: the picture is truncated: its end is missing", "copy the file again")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        image = None
    if image is None:
        raise DataError(f"{path}: the file is no picture that can be read")
    return np.asarray(image)


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {(error.strerror or '').lower()}") from error


def _header_size(file: IO[bytes]) -> tuple[int, int] | None:
    head = file.read(26)
    if head.startswith(_PNG):
        width, height = struct.unpack(">II", head[16:24])
        return height, width
    if head.startswith(b"\xff\xd8\xff"):
        return _jpeg_size(file)
    if head.startswith((b"GIF87a", b"GIF89a")):
        width, height = struct.unpack("<HH", head[6:10])
        return height, width
    if head.startswith(b"BM") and struct.unpack("<I", head[14:18])[0] >= 40:
        width, height = struct.unpack("<ii", head[18:26])
        return abs(height), width  # a negative height: rows from top to bottom
    return None


def _jpeg_size(file: IO[bytes]) -> tuple[int, int]:
    file.seek(2)
    while True:
        marker = file.read(2)
        while marker[1] == 0xFF:  # fill bytes
            marker = marker[1:] + file.read(1)
        if marker[0] != 0xFF:
            raise IndexError
        if marker[1] in _JPEG_BARE:
            continue
        length = struct.unpack(">H", file.read(2))[0]
        if marker[1] in _JPEG_SIZES:
            height, width = struct.unpack(">xHH", file.read(5))
            return height, width
        if marker[1] == _JPEG_SCAN:
            raise IndexError
        file.seek(length - 2, os.SEEK_CUR)


def _is_cut(data: bytes) -> bool:
    """Whether the end mark is missing; decoders fill what is missing with grey and say nothing."""
    if data.startswith(_PNG):
        return b"IEND" not in data[-12:] and data.rfind(b"IEND") < 0
    if data.startswith(b"\xff\xd8\xff"):
        # inside a scan the end mark cannot occur, but a preview in the header has one of its own
        return not data.endswith(b"\xff\xd9") and data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")
    if data.startswith(b"BM") and len(data) >= 6:
        return int(struct.unpack("<I", data[2:6])[0]) > len(data)
    return False
