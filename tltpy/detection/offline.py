"""What tlt-augment does to one picture and its boxes: one affine map, one colour matrix, one blur.

Published order (TLT 2.0 to TAO 4), in its row vectors [x y 1] M: resize, flip, rotate, translate, shear, boxes by
their corners' hull, then hue and saturation, contrast, brightness, then the blur. TAO 5 rotates, flips, shears,
translates, resizes. Here the same with column vectors, hence from right to left, and with pixel centres at whole
numbers; the edges of a picture, which boxes are measured from, lie half a pixel further out.

Picture `index` of a data set draws its values from (seed, index) alone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from tltpy.detection.augment import color_matrix, flip, recolor, resize, rotation, shear, translation
from tltpy.detection.warp import warp

BLACK = (0.0, 0.0, 0.0)
GREY_BGR = (0.114, 0.587, 0.299)
CENTER = 127.5
DECIMALS = 2  # of a box in a label file


@dataclass(frozen=True)
class Change:
    """What is done to one picture. `matrix`: pixel of the stored picture -> pixel of the copy, float64 [2, 3]."""

    matrix: np.ndarray
    output_hw: tuple[int, int]
    color: np.ndarray | None = None  # [3, 4] for (r, g, b, 1), pixels 0..255
    blur: tuple[int, float] | None = None  # reach of the kernel in pixels, standard deviation
    channels: int = 3
    refine: bool = False  # tighter boxes


def draw(config: Any, index: int, size_hw: tuple[int, int]) -> Change:
    """The change of the picture `index`, of `size_hw`, that an AugmentConfig asks for."""
    values = _Values(np.random.default_rng([config.random_seed, index]).random(14).tolist())
    place, color, blur = config.spatial_config, config.color_config, config.blur_config
    output_hw = (config.output_image_height or size_hw[0], config.output_image_width or size_hw[1])
    return Change(
        matrix=_matrix(place, config.order, values, size_hw, output_hw)[:2],
        output_hw=output_hw,
        color=_color(color, values),
        blur=_blur(blur, values, min(output_hw) - 1),
        channels=config.output_image_channel,
        refine=place.rotation_config.refine_box.enabled,
    )


def apply(image: np.ndarray, change: Change) -> np.ndarray:
    """uint8 [H, W, 3] BGR -> uint8 [h, w, 3] BGR or [h, w, 1] grey. What lies outside the picture is black."""
    still = image.shape[:2] == change.output_hw and np.allclose(change.matrix, np.eye(2, 3), rtol=0, atol=1e-9)
    picture = image if still else warp(image, change.matrix, change.output_hw, BLACK)
    if change.color is not None:
        picture = recolor(picture, change.color)
    if change.blur is not None:
        reach, sigma = change.blur
        picture = cv2.GaussianBlur(picture, (2 * reach + 1, 2 * reach + 1), sigma)
    if change.channels == 1:
        picture = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)[..., None]
    return np.asarray(picture)


def move_boxes(boxes_xyxy: np.ndarray, change: Change) -> tuple[np.ndarray, np.ndarray]:
    """Boxes [N, 4] through the map: (the upright hulls within the copy, rounded as label files are; which are left).

    The hull of a box's corners; with `refine` the hull of the ellipse within the box, which is tighter where the map
    turns or shears and the same where it does not: Kalra et al., Towards Rotation Invariance in Object Detection, ICCV
    2021. A box that falls outside, or to nothing, is not left.
    """
    height, width = change.output_hw
    linear, shift = change.matrix[:, :2], change.matrix[:, 2]
    boxes = boxes_xyxy.astype(np.float64)
    centre = ((boxes[:, :2] + boxes[:, 2:]) / 2 - 0.5) @ linear.T + shift + 0.5
    half = (boxes[:, 2:] - boxes[:, :2]) / 2
    half = np.sqrt(half**2 @ (linear**2).T) if change.refine else half @ np.abs(linear).T
    hulls = np.concatenate([centre - half, centre + half], axis=1)
    hulls = np.clip(hulls, 0, (width, height, width, height)).round(DECIMALS)
    kept: np.ndarray = (hulls[:, 2:] > hulls[:, :2]).all(axis=1)
    return hulls + 0.0, kept  # no negative zeros


class _Values:
    """Values of the fields of a spec, each with a random number of its own, used or not."""

    def __init__(self, numbers: Sequence[float]) -> None:
        self._numbers = iter(numbers)

    def real(self, given: Sequence[float], default: float = 0.0) -> float:
        """One value: itself; two: between them; more: one of them."""
        number = next(self._numbers)
        if len(given) == 2:
            return given[0] + number * (given[1] - given[0])
        return given[int(number * len(given))] if given else default

    def whole(self, given: Sequence[int]) -> int:
        """The same; both ends of a range are in it."""
        number = next(self._numbers)
        if len(given) == 2:
            low, high = sorted(given)
            return low + int(number * (high - low + 1))
        return given[int(number * len(given))] if given else 0

    def switch(self, given: Sequence[bool]) -> bool:
        number = next(self._numbers)
        return bool(given) and given[int(number * len(given))]


def _matrix(
    config: Any, order: int, values: _Values, size_hw: tuple[int, int], output_hw: tuple[int, int]
) -> np.ndarray:
    last = order == 1  # AugmentConfig.RESIZE_LAST
    frame_hw = size_hw if last else output_hw
    unit = 1.0 if config.rotation_config.units == "radians" else math.pi / 180
    turned = rotation(unit * values.real(config.rotation_config.angle), frame_hw)
    ratios = (values.real(config.shear_config.shear_ratio_x), values.real(config.shear_config.shear_ratio_y))
    moved = translation(
        values.real(config.translation_config.translate_x), values.real(config.translation_config.translate_y)
    )
    flips = (values.switch(config.flip_config.flip_horizontal), values.switch(config.flip_config.flip_vertical))
    sheared, flipped, resized = shear(*ratios, frame_hw), flip(*flips, frame_hw), resize(size_hw, output_hw)
    if last:
        return np.asarray(resized @ moved @ sheared @ flipped @ turned)
    return np.asarray(sheared @ moved @ turned @ flipped @ resized)


def _color(config: Any, values: _Values) -> np.ndarray | None:
    hue = math.radians(values.real(config.hue_saturation_config.hue_rotation_angle))
    saturation = values.real(config.hue_saturation_config.saturation_shift, 1.0)
    contrast = values.real(config.contrast_config.contrast)
    center = values.real(config.contrast_config.center, CENTER)
    offset = values.real(config.brightness_config.offset)
    if (hue, saturation, contrast, offset) == (0.0, 1.0, 0.0, 0.0):
        return None
    return color_matrix(hue, saturation, contrast, center, offset)


def _blur(config: Any, values: _Values, most: int) -> tuple[int, float] | None:
    reach, sigma = min(values.whole(config.size), most), values.real(config.std)
    return (reach, sigma or 0.3 * ((reach - 1) * 0.5 - 1) + 0.8) if reach > 0 else None
