"""tlt-augment's map, colours and boxes against independent ones: the published row vectors, sampled one by one."""

import math
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from google.protobuf import text_format

from tltpy.detection import offline, offline_torch
from tltpy.spec.augment_pb2 import AugmentConfig

SIZE_HW, OUTPUT_HW = (60, 92), (72, 100)
# facts: hue and saturation for row vectors, luminance + s cos(h) A + s sin(h) B
LUMINANCE = np.array([[0.299] * 3, [0.587] * 3, [0.114] * 3])
A = np.array([[0.701, -0.299, -0.299], [-0.587, 0.413, -0.587], [-0.114, -0.114, 0.886]])
B = np.array([[0.168, -0.328, 1.25], [0.330, 0.035, -1.05], [-0.497, 0.292, -0.203]])
ALL = (
    "spatial_config { rotation_config { angle: 25 } shear_config { shear_ratio_x: 0.2 shear_ratio_y: -0.1 } "
    "translation_config { translate_x: 7.5 translate_y: -4 } flip_config { flip_horizontal: true } } "
    "color_config { hue_saturation_config { hue_rotation_angle: 40 saturation_shift: 1.4 } "
    "contrast_config { contrast: 0.3 center: 100 } brightness_config { offset: -12 } } blur_config { size: 2 std: 1.1 }"
    " output_image_width: 100 output_image_height: 72 "
)


def config(text: str) -> Any:
    return text_format.Parse(text, AugmentConfig())


def smooth(size_hw: tuple[int, int] = SIZE_HW, seed: int = 0) -> np.ndarray:
    """uint8 [H, W, 3] whose neighbours are much alike, so that bilinear samplers agree."""
    noise = np.random.default_rng(seed).uniform(0, 255, (*size_hw, 3)).astype(np.float32)
    image = cv2.GaussianBlur(noise, (0, 0), 4)
    image = (image - image.min()) / (image.max() - image.min()) * 255
    return np.asarray(image.round().astype(np.uint8))


def published(
    order: str, angle: float, ratios: tuple[float, float], moves: tuple[float, float], flip: bool
) -> np.ndarray:
    """[3, 3] for rows (x, y, 1) measured from the upper left edge, not from the centre of the first pixel."""
    (height, width), (out_height, out_width) = SIZE_HW, OUTPUT_HW
    resize = np.diag([out_width / width, out_height / height, 1])
    h, w = SIZE_HW if order == "last" else OUTPUT_HW
    c, s = math.cos(angle), math.sin(angle)
    to, back = (np.array([[1, 0, 0], [0, 1, 0], [sign * w / 2, sign * h / 2, 1]]) for sign in (-1, 1))
    rotate = to @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) @ back
    mirror = np.array([[-1, 0, 0], [0, 1, 0], [w, 0, 1]]) if flip else np.eye(3)
    translate = np.array([[1, 0, 0], [0, 1, 0], [*moves, 1]])
    rx, ry = ratios
    shear = np.array([[1, ry, 0], [rx, 1, 0], [-h * rx / 2, -w * ry / 2, 1]])
    if order == "last":
        return np.asarray(rotate @ mirror @ shear @ translate @ resize)
    return np.asarray(resize @ mirror @ rotate @ translate @ shear)


def sampled(image: np.ndarray, rows: np.ndarray, output_hw: tuple[int, int]) -> np.ndarray:
    """float [h, w, 3]: for each pixel of the copy, the four around its place in the image; black outside."""
    height, width = image.shape[:2]
    y, x = np.mgrid[: output_hw[0], : output_hw[1]] + 0.5
    places = np.stack([x, y, np.ones_like(x)], axis=-1) @ np.linalg.inv(rows)  # [h, w, 3]
    x, y = places[..., 0] - 0.5, places[..., 1] - 0.5
    total = np.zeros((*output_hw, 3))
    for dy in (0, 1):
        for dx in (0, 1):
            column, row = np.floor(x).astype(int) + dx, np.floor(y).astype(int) + dy
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            weight = (1 - np.abs(x - column)) * (1 - np.abs(y - row)) * inside
            total += weight[..., None] * image[row.clip(0, height - 1), column.clip(0, width - 1)]
    return total


@pytest.mark.parametrize("order", ["first", "last"])
def test_the_map_is_the_published_one(order: str) -> None:
    size = "output_image_width: 100 output_image_height: 72"
    text = ALL.split("color_config")[0] + f"{size} order: RESIZE_{order.upper()}"
    change = offline.draw(config(text), 0, SIZE_HW)
    rows = published(order, math.radians(25), (0.2, -0.1), (7.5, -4), True)
    difference = np.abs(offline.apply(smooth(), change) - sampled(smooth(), rows, OUTPUT_HW))
    assert difference.max() < 5 and difference.mean() < 0.6  # cv2 knows a place to 1/32 pixel
    assert change.color is None and change.blur is None


def test_the_two_orders_differ() -> None:
    matrices = [offline.draw(config(ALL + f"order: RESIZE_{order}"), 0, SIZE_HW).matrix for order in ("FIRST", "LAST")]
    assert np.abs(matrices[0] - matrices[1]).max() > 0.1


def test_boxes_are_the_hulls_of_their_corners() -> None:
    boxes = np.array([[10, 12, 50, 30], [0, 0, 92, 60], [3.25, 40, 9.5, 58], [85, 1, 91, 5]], np.float64)
    change = offline.draw(config(ALL), 0, SIZE_HW)
    rows = published("first", math.radians(25), (0.2, -0.1), (7.5, -4), True)
    corners = np.stack([boxes[:, [0, 2, 0, 2]], boxes[:, [1, 1, 3, 3]], np.ones((4, 4))], axis=-1) @ rows  # [N, 4, 3]
    hulls = np.concatenate([corners[..., :2].min(1), corners[..., :2].max(1)], axis=1)
    moved, kept = offline.move_boxes(boxes, change)
    clamped = np.clip(hulls, 0, [100, 72, 100, 72])
    assert np.allclose(moved, clamped, atol=0.0051)
    assert kept.tolist() == ((clamped[:, 2:] - clamped[:, :2]) > 0.01).all(1).tolist()


def test_a_box_that_leaves_the_picture_is_dropped() -> None:
    change = offline.draw(config("spatial_config { translation_config { translate_x: 30 } }"), 0, (40, 64))
    boxes = np.array([[10, 5, 20, 9], [34, 5, 60, 9], [33.99, 5, 60, 9], [33.996, 5, 60, 9]], np.float64)
    moved, kept = offline.move_boxes(boxes, change)
    assert kept.tolist() == [True, False, True, False]
    assert moved[[0, 2]].tolist() == [[40, 5, 50, 9], [63.99, 5, 64, 9]]


@pytest.mark.parametrize("angle", [0.0, 30.0, 90.0, 200.0])
def test_refined_boxes_hold_the_ellipse_within_the_box(angle: float) -> None:
    text = f"spatial_config {{ rotation_config {{ angle: {angle} refine_box {{ enabled: true }} }} }}"
    box = np.array([[300.0, 310, 340, 390]])
    turns = np.linspace(0, 2 * math.pi, 100001)
    ellipse = np.stack([320 + 20 * np.cos(turns), 350 + 40 * np.sin(turns)], axis=1)
    c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    turned = (ellipse - [400, 350]) @ np.array([[c, s], [-s, c]]) + [400, 350]
    refined, _ = offline.move_boxes(box, offline.draw(config(text), 0, (700, 800)))
    assert np.allclose(refined[0], [*turned.min(0), *turned.max(0)], atol=0.0051)
    plain, _ = offline.move_boxes(box, offline.draw(config(text.replace("true", "false")), 0, (700, 800)))
    inner = np.concatenate([refined[:, :2] - plain[:, :2], plain[:, 2:] - refined[:, 2:]])
    assert (inner > 1).all() if angle % 90 else np.abs(inner).max() == 0


def test_colours_are_the_published_ones() -> None:
    image = np.random.default_rng(1).integers(0, 256, (*SIZE_HW, 3), np.uint8)
    text = ALL[ALL.index("color_config") : ALL.index("blur_config")]
    turn = math.radians(40)
    rgb = image[..., ::-1] @ (LUMINANCE + 1.4 * math.cos(turn) * A + 1.4 * math.sin(turn) * B)
    wanted = np.clip(1.3 * rgb - 0.3 * 100 - 12, 0, 255)[..., ::-1]
    got = offline.apply(image, offline.draw(config(text), 0, SIZE_HW))
    assert np.abs(got - wanted).max() < 1  # cv2 works in fixed point


def test_blur_is_a_gauss_kernel_of_the_published_width() -> None:
    image = np.random.default_rng(1).integers(0, 256, (*SIZE_HW, 3), np.uint8)
    for size, std, sigma in ((3, 0, 0.8), (3, 2.0, 2.0), (1, 0, 0.5)):  # facts: 0.3 ((size - 1) 0.5 - 1) + 0.8
        kernel = np.exp(-(np.arange(-size, size + 1) ** 2) / (2 * sigma**2))
        kernel /= kernel.sum()
        wanted = np.pad(image.astype(np.float64), ((size, size), (size, size), (0, 0)), mode="reflect")
        for axis in (0, 1):
            wanted = np.apply_along_axis(np.convolve, axis, wanted, kernel, "valid")
        got = offline.apply(image, offline.draw(config(f"blur_config {{ size: {size} std: {std} }}"), 0, SIZE_HW))
        assert np.abs(got - wanted).max() < 1.6


def test_nothing_asked_for_is_nothing_done() -> None:
    image = np.random.default_rng(1).integers(0, 256, (*SIZE_HW, 3), np.uint8)
    for text in ("", "spatial_config {} color_config {}", "color_config { contrast_config { center: 127.5 } }"):
        change = offline.draw(config(text), 3, SIZE_HW)
        assert np.array_equal(offline.apply(image, change), image)
        assert offline.move_boxes(np.array([[1.25, 2, 3, 4]]), change)[0].tolist() == [[1.25, 2, 3, 4]]


def test_steps_of_whole_pixels_are_exact() -> None:
    image = np.random.default_rng(1).integers(0, 256, (*SIZE_HW, 3), np.uint8)

    def made(text: str) -> np.ndarray:
        return offline.apply(image, offline.draw(config(f"spatial_config {{ {text} }}"), 0, SIZE_HW))

    both = made("flip_config { flip_horizontal: true flip_vertical: true }")
    assert np.array_equal(both, image[::-1, ::-1])
    assert np.array_equal(made("rotation_config { angle: 180 }"), both)
    assert np.array_equal(made('rotation_config { angle: 3.141592653589793 units: "radians" }'), both)
    assert np.array_equal(made("translation_config { translate_x: 5 translate_y: -3 }")[:-3, 5:], image[3:, :-5])


def test_there_and_back_again() -> None:
    matrices = [
        np.vstack([offline.draw(config(f"spatial_config {{ {text} }}"), 0, SIZE_HW).matrix, [0, 0, 1]])
        for text in ("rotation_config { angle: 33 }", "rotation_config { angle: -33 }",
                     "shear_config { shear_ratio_x: 0.5 }", "shear_config { shear_ratio_x: -0.5 }")
    ]  # fmt: skip
    assert np.allclose(matrices[0] @ matrices[1], np.eye(3), atol=1e-6)
    assert np.allclose(matrices[2] @ matrices[3], np.eye(3))
    image = smooth()
    there = offline.apply(image, offline.draw(config("spatial_config { rotation_config { angle: 20 } }"), 0, SIZE_HW))
    back = offline.apply(there, offline.draw(config("spatial_config { rotation_config { angle: -20 } }"), 0, SIZE_HW))
    middle = (slice(25, 35), slice(35, 57))
    assert np.abs(back[middle].astype(int) - image[middle]).max() < 6


def test_a_positive_angle_turns_clockwise_on_the_screen() -> None:
    image = np.zeros((41, 61, 3), np.uint8)
    image[20, 50:] = 255  # to the right of the centre
    turned = offline.apply(image, offline.draw(config("spatial_config { rotation_config { angle: 45 } }"), 0, (41, 61)))
    assert turned[21:, 31:].sum() > 0 and turned[:20].sum() == 0


def test_grey_has_the_published_weights() -> None:
    image = np.random.default_rng(1).integers(0, 256, (*SIZE_HW, 3), np.uint8)
    grey = offline.apply(image, offline.draw(config("output_image_channel: 1"), 0, SIZE_HW))
    assert grey.shape == (*SIZE_HW, 1)
    assert np.abs(grey[..., 0] - image @ np.array([0.114, 0.587, 0.299])).max() < 0.6


def angles(text: str, count: int, seed: int = 42) -> list[float]:
    """Degrees that pictures are turned by."""
    made = config(f"random_seed: {seed} spatial_config {{ rotation_config {{ {text} }} }}")
    matrices = [offline.draw(made, index, SIZE_HW).matrix for index in range(count)]
    return [math.degrees(math.atan2(matrix[1, 0], matrix[0, 0])) for matrix in matrices]


def test_one_value_is_fixed_two_are_a_range_more_a_choice() -> None:
    assert angles("angle: 12", 5) == pytest.approx([12] * 5)
    spread = angles("angle: [-10, 30]", 400)
    assert -10 <= min(spread) < -8 and 28 < max(spread) <= 30 and abs(np.mean(spread) - 10) < 2
    chosen = np.array(angles("angle: [0, 90, 45]", 300)).round(4)
    assert sorted(set(chosen)) == [0, 45, 90] and min(np.unique(chosen, return_counts=True)[1]) > 70


def test_what_is_drawn_follows_from_seed_and_index_alone() -> None:
    text = "angle: [-10, 30]"
    assert angles(text, 5) == angles(text, 9)[:5]
    assert angles(text, 5) != angles(text, 5, seed=43)
    with_more = config(f"random_seed: 42 spatial_config {{ rotation_config {{ {text} }} "
                       "flip_config { flip_vertical: [true, false] } } blur_config { size: [0, 3] }")  # fmt: skip
    changes = [offline.draw(with_more, index, SIZE_HW) for index in range(200)]
    turned = [math.degrees(math.atan2(change.matrix[1, 0], change.matrix[0, 0])) for change in changes[:5]]
    assert turned == pytest.approx(angles(text, 5))
    assert {change.blur and change.blur[0] for change in changes} == {None, 1, 2, 3}
    assert 60 < sum(change.matrix[1, 1] < 0 for change in changes) < 140


DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("size_hw", [SIZE_HW, (200, 330), (145, 100)])
@pytest.mark.parametrize("more", ["", "output_image_channel: 1"])
def test_torch_gives_the_same_pixels(device: str, size_hw: tuple[int, int], more: str) -> None:
    """Also where the picture shrinks, and is averaged first."""
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    image, change = smooth(size_hw), offline.draw(config(ALL + more), 0, size_hw)
    wanted, got = offline.apply(image, change), offline_torch.apply(image, change, device)
    assert got.shape == wanted.shape and got.dtype == wanted.dtype
    difference = np.abs(got.astype(int) - wanted)
    assert difference.max() <= 3 and difference.mean() < 0.7
