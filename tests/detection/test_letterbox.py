import cv2
import numpy as np
import pytest
import torch

from tltpy.detection import letterbox as box
from tltpy.detection.warp import warp
from tltpy.geometry.boxes import transform_boxes

BORDER = (104.0, 117.0, 124.0)


def scene(size_hw: tuple[int, int], seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (*size_hw, 3), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (7, 7), 2)


def apart(a: np.ndarray, b: np.ndarray) -> int:
    return int(np.abs(a.astype(int) - b.astype(int)).max())


@pytest.mark.parametrize(
    ("size_hw", "output_hw"), [((40, 60), (100, 150)), ((60, 90), (50, 75)), ((33, 71), (66, 142))]
)
def test_equals_resize_where_the_shapes_agree(size_hw: tuple[int, int], output_hw: tuple[int, int]) -> None:
    image = scene(size_hw)
    picture, _ = box.letterbox(image, output_hw, BORDER)
    expected = cv2.resize(image, output_hw[::-1], interpolation=cv2.INTER_LINEAR)
    assert apart(picture[2:-2, 2:-2], expected[2:-2, 2:-2]) <= 2  # the outermost pixels blend with the border


@pytest.mark.parametrize(("size_hw", "output_hw"), [((30, 80), (61, 80)), ((40, 21), (40, 64))])
def test_unscaled_image_is_kept_to_the_bit_and_centred(size_hw: tuple[int, int], output_hw: tuple[int, int]) -> None:
    image = scene(size_hw)
    picture, _ = box.letterbox(image, output_hw, BORDER)
    top, left = ((out - size) // 2 for out, size in zip(output_hw, size_hw, strict=True))
    inside = (slice(top, top + size_hw[0]), slice(left, left + size_hw[1]))
    assert np.array_equal(picture[inside], image)
    outside = np.ones(output_hw, bool)
    outside[inside] = False
    assert outside.any() and (picture[outside] == np.array(BORDER)).all()


def test_one_scale_for_both_axes_and_nothing_cut() -> None:
    for size_hw, output_hw in [((375, 1242), (384, 1248)), ((480, 640), (320, 416)), ((1000, 300), (64, 96))]:
        matrix = box.letterbox_matrix(size_hw, output_hw)
        assert matrix.dtype == np.float32 and matrix[0, 0] == matrix[1, 1] and matrix[0, 1] == matrix[1, 0] == 0
        whole = torch.tensor([[-0.5, -0.5, size_hw[1] - 0.5, size_hw[0] - 0.5]])  # the outer edges of the outer pixels
        x1, y1, x2, y2 = transform_boxes(whole, torch.from_numpy(matrix))[0].add(0.5).tolist()
        assert min(x1, y1) > -1e-3 and x2 < output_hw[1] + 1e-3 and y2 < output_hw[0] + 1e-3
        assert x2 - x1 == pytest.approx(output_hw[1], abs=1e-3) or y2 - y1 == pytest.approx(output_hw[0], abs=1e-3)
        assert abs(x1 - (output_hw[1] - x2)) < 2 and abs(y1 - (output_hw[0] - y2)) < 2


def test_boxes_come_back() -> None:
    matrix = box.letterbox_matrix((375, 1242), (192, 640))
    boxes_xyxy = torch.tensor([[0.0, 0, 1242, 375], [100.25, 50.5, 300, 299.75], [7, 7, 7, 7]])
    there = transform_boxes(boxes_xyxy, torch.from_numpy(matrix))
    torch.testing.assert_close(box.to_image(there, matrix), boxes_xyxy, atol=1e-3, rtol=0)


def test_boxes_follow_the_pixels() -> None:
    image = np.zeros((200, 330, 3), np.uint8)
    image[60:120, 90:200] = 255
    for output_hw in [(96, 128), (320, 416), (40, 64)]:
        picture, matrix = box.letterbox(image, output_hw, (0, 0, 0))
        ys, xs = np.nonzero(picture[..., 0] > 127)
        drawn = torch.tensor([xs.min(), ys.min(), xs.max(), ys.max()]).float()
        moved = transform_boxes(torch.tensor([[89.5, 59.5, 199.5, 119.5]]), torch.from_numpy(matrix))[0]
        assert (moved + torch.tensor([0.5, 0.5, -0.5, -0.5]) - drawn).abs().max() <= 0.51


@pytest.mark.parametrize("shrink", [1.6, 2.3, 4, 7.5])
def test_shrinking_averages_and_does_not_skip(shrink: float) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (300, 480, 3), dtype=np.uint8)
    output_hw = (round(300 / shrink), round(480 / shrink))
    picture, _ = box.letterbox(noise, output_hw, (127.5,) * 3)
    inner = picture[3:-3, 3:-3].astype(float)
    assert inner.std() < 1.25 * 73.9 / shrink  # uniform noise has deviation 73.9; the mean of n pixels 73.9 / sqrt(n)
    assert inner.mean() == pytest.approx(127.5, abs=1.5)


@pytest.mark.parametrize("window", [2, 3, 4])
def test_averaging_does_not_move_the_image(window: int) -> None:
    """Whole factors: each pixel of the picture is the mean of the block that it stands for."""
    rng = np.random.default_rng(2)
    image = rng.integers(0, 256, (10 * window, 17 * window, 3), dtype=np.uint8)
    picture, _ = box.letterbox(image, (10, 17), (0, 0, 0))
    blocks = image.reshape(10, window, 17, window, 3).mean(axis=(1, 3))  # [10, w, 17, w, 3] -> [10, 17, 3]
    assert np.abs(picture - blocks).max() <= 1


def test_single_channel_and_sixteen_bits_are_kept() -> None:
    image = np.random.default_rng(3).integers(0, 60000, (50, 90, 1)).astype(np.uint16)
    for output_hw in [(64, 96), (20, 32)]:
        picture, _ = box.letterbox(image, output_hw, (30000.0,))
        assert picture.shape == (*output_hw, 1) and picture.dtype == np.uint16
        assert picture[0, 0, 0] == 30000


@pytest.mark.parametrize("window_wh", [(1, 2), (2, 1), (2, 2), (3, 2), (4, 4)])
def test_white_stays_white_where_pixels_are_averaged(window_wh: tuple[int, int]) -> None:
    """Whatever OpenCV makes of it."""
    image = np.random.default_rng(3).integers(0, 256, (60, 97, 3), np.uint8)
    image[20:40] = 255
    matrix = np.array([[1 / window_wh[0], 0, 0], [0, 1 / window_wh[1], 0]])
    output_hw = (60 // window_wh[1], 97 // window_wh[0])
    picture = warp(image, matrix, output_hw, (0, 0, 0))
    exact = warp(image.astype(np.float32), matrix, output_hw, (0, 0, 0))
    assert np.abs(picture - exact).max() <= 2
