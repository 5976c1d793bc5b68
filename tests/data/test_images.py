"""Pictures: the header and the decoder agree, and what is no whole picture is refused."""

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from tltpy.data import images
from tltpy.errors import DataError

SIZE_HW = (37, 61)


def picture(path: Path, size_hw: tuple[int, int] = SIZE_HW, channels: int = 3) -> np.ndarray:
    pixels = np.random.default_rng(5).integers(0, 256, (*size_hw, channels), np.uint8)
    pixels = cv2.GaussianBlur(pixels, (5, 5), 0).reshape(*size_hw, channels)
    assert cv2.imwrite(str(path), pixels)
    return pixels


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".JPEG", ".bmp", ".gif", ".webp", ".ppm"])
def test_size_is_that_of_the_pixels(tmp_path: Path, suffix: str) -> None:
    picture(tmp_path / f"a{suffix}")
    assert images.read_size(tmp_path / f"a{suffix}") == SIZE_HW
    read = images.read(tmp_path / f"a{suffix}")
    assert read.shape == (*SIZE_HW, 3)
    assert read.dtype == np.uint8


def test_pixels_are_blue_green_red(tmp_path: Path) -> None:
    pixels = picture(tmp_path / "a.png")
    np.testing.assert_array_equal(images.read(tmp_path / "a.png"), pixels)
    grey = images.read(tmp_path / "a.png", channels=1)
    assert grey.shape == (*SIZE_HW, 1)
    luma = pixels @ np.array([0.114, 0.587, 0.299])
    assert np.abs(grey[..., 0] - luma).max() < 1


def test_a_grey_file_has_three_equal_channels(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", channels=1)
    read = images.read(tmp_path / "a.png")
    assert read.shape == (*SIZE_HW, 3)
    assert (read == read[..., :1]).all()


def test_the_rotation_flag_is_ignored(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    data = (tmp_path / "a.jpg").read_bytes()
    upright = images.read(tmp_path / "a.jpg")
    # orientation 6 (turn by 90 degrees) in a minimal EXIF block
    tiff = b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)
    block = b"Exif\0\0" + tiff
    turned = data[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + data[2:]
    (tmp_path / "b.jpg").write_bytes(turned)
    assert cv2.imread(str(tmp_path / "b.jpg")).shape[:2] == SIZE_HW[::-1]  # the flag is understood
    assert images.read_size(tmp_path / "b.jpg") == SIZE_HW
    np.testing.assert_array_equal(images.read(tmp_path / "b.jpg"), upright)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp"])
def test_a_cut_picture_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    picture(path, (120, 200))
    whole = path.read_bytes()
    for length in (0, 1, 11, 30, len(whole) // 2, len(whole) - 20):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=rf"a{suffix}: "):
            images.read(path)


def test_bytes_behind_the_end_do_no_harm(tmp_path: Path) -> None:
    for suffix in (".png", ".jpg"):
        path = tmp_path / f"a{suffix}"
        picture(path)
        path.write_bytes(path.read_bytes() + b"\0" * 50)
        assert images.read(path).shape == (*SIZE_HW, 3)


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xd8\xff", b"no picture at all", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM"]
)
def test_what_is_no_picture_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    for function in (images.read, images.read_size):
        with pytest.raises(DataError, match=r"a\.png: "):
            function(path)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        images.read(tmp_path / "none.png")
    with pytest.raises(DataError, match="no such file"):
        images.read_size(tmp_path / "none.png")
    with pytest.raises(DataError, match="directory"):
        images.read_size(tmp_path)
