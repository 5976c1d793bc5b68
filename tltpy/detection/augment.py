"""Maps of place and colour, and how training draws them at random: one affine map and one colour map a picture.

tlt-augment puts the same matrices together (offline.py). Of training, two published forms draw their numbers
differently (facts of the originals): TLT 2.0 (Spatial, Color) and TLT 3 (Jitter, Hsv). Both end in one cv2.warpAffine
from the stored picture to the network's input and one pass over its colours. Matrices map pixel centres, column
vectors: (x', y', 1) = M (x, y, 1).
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

Matrix = np.ndarray  # float64 [3, 3]

# Hue rotation and saturation about the luminance axis, for column vectors of (r, g, b)
LUMINANCE = np.array([[0.299, 0.587, 0.114]] * 3)
COSINE = np.array([[0.701, -0.587, -0.114], [-0.299, 0.413, -0.114], [-0.299, -0.587, 0.886]])
SINE = np.array([[0.168, 0.330, -0.497], [-0.328, 0.035, 0.292], [1.25, -1.05, -0.203]])
JITTER_LIMIT = 0.8  # of a side, and of two opposite sides together


@dataclass(frozen=True)
class Spatial:
    """TLT 2.0: ranges of the random changes of place; translation in pixels of the output, rotation in radians."""

    hflip: float = 0.0
    vflip: float = 0.0
    zoom_min: float = 1.0
    zoom_max: float = 1.0
    translate_x: float = 0.0
    translate_y: float = 0.0
    rotate: float = 0.0
    rotate_probability: float = 1.0

    def draw(self, rng: np.random.Generator, output_hw: tuple[int, int]) -> Matrix:
        """Flip, then rotation about the centre, then zoom, then translation, in the frame of the output."""
        height, width = output_hw
        matrix = flip(rng.random() < self.hflip, rng.random() < self.vflip, output_hw)
        turned = rng.random() < self.rotate_probability
        angle = rng.uniform(-self.rotate, self.rotate)
        if turned and angle:
            matrix = rotation(angle, output_hw) @ matrix
        ratio = rng.uniform(self.zoom_min, self.zoom_max)
        # the window that stays visible is 1 / ratio of the picture, anywhere in it (or the picture anywhere in the
        # window)
        left, top = rng.random(2) * (width - width / ratio, height - height / ratio)
        matrix = np.array([[ratio, 0, _centred(ratio, left)], [0, ratio, _centred(ratio, top)], [0, 0, 1]]) @ matrix
        limits = np.array([self.translate_x, self.translate_y]).astype(int)
        shift = rng.integers(-limits, limits, endpoint=True)
        return translation(float(shift[0]), float(shift[1])) @ matrix


@dataclass(frozen=True)
class Color:
    """TLT 2.0: ranges of the random changes of colour; pixels 0..1, hue in degrees."""

    hue: float = 0.0
    saturation: float = 0.0
    contrast: float = 0.0
    contrast_center: float = 0.5
    brightness: float = 0.0

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """[3, 4] for (r, g, b, 1), pixels 0..255: hue and saturation, then contrast, then brightness."""
        hue = math.radians(_truncated_normal(rng, self.hue / 2, 1)[0])
        saturation = 1.0 + rng.uniform(-self.saturation, self.saturation)
        contrast = _truncated_normal(rng, self.contrast / 2, 1)[0]
        brightness = _truncated_normal(rng, self.brightness, 3)
        center = self.contrast_center / 255 if self.contrast_center > 1 else self.contrast_center
        return color_matrix(hue, saturation, contrast, 255.0 * center, 255.0 * brightness)

    def apply(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """[H, W, 3] BGR or [H, W, 1] grey, uint8 or uint16 -> the same, new colours. Grey has no hue and no saturation,
        and takes the mean of the channels' brightness."""
        matrix = self.draw(rng)
        if image.shape[2] == 3:
            return recolor(image, matrix)
        # rows of the hue matrix sum to 1, so a row's sum is the contrast
        scale, shift = matrix[0, :3].sum(), matrix[:, 3].mean() * (_top(image) / 255)
        return _rounded(image * scale + shift, image)

    @property
    def still(self) -> bool:
        return not (self.hue or self.saturation or self.contrast or self.brightness)


@dataclass(frozen=True)
class Hsv:
    """TLT 3: the hue turns by up to `hue` of half the circle; saturation and value times or over a factor up to
    theirs."""

    hue: float = 0.0
    saturation: float = 1.0
    exposure: float = 1.0

    @property
    def still(self) -> bool:
        return self.hue == 0 and self.saturation == 1 and self.exposure == 1

    def apply(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """uint8 [H, W, 3] BGR or [H, W, 1] grey, uint8 or uint16 -> the same, new colours. Grey is all value."""
        shift = rng.uniform(-self.hue, self.hue) * 90.0  # cv2 counts half degrees
        factors = rng.uniform(1.0, [self.saturation, self.exposure])
        factors = np.where(rng.random(2) < 0.5, factors, 1.0 / factors)
        if image.shape[2] == 1:
            return _rounded(image * factors[1], image)
        levels = np.arange(256)
        tables = np.stack([np.mod(levels + round(shift), 180), levels * factors[0], levels * factors[1]], axis=1)
        table = np.clip(np.rint(tables), 0, 255).astype(np.uint8)[None]  # [1, 256, 3]
        hsv: np.ndarray = cv2.LUT(cv2.cvtColor(image, cv2.COLOR_BGR2HSV), table)
        return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)


def jitter(rng: np.random.Generator, amount: float) -> np.ndarray:
    """TLT 3: how far the left, top, right and lower side move inwards (negative: outwards), shares of the size [4]."""
    moves = np.minimum(rng.uniform(-amount, amount, 4), JITTER_LIMIT)
    for first, second in ((0, 2), (1, 3)):
        if moves[first] + moves[second] > JITTER_LIMIT:
            moves[[first, second]] = np.minimum(moves[[first, second]], JITTER_LIMIT / 2)
    return moves


def flip(horizontal: bool, vertical: bool, size_hw: tuple[int, int]) -> Matrix:
    matrix = np.eye(3)
    if horizontal:
        matrix[0, 0], matrix[0, 2] = -1, size_hw[1] - 1
    if vertical:
        matrix[1, 1], matrix[1, 2] = -1, size_hw[0] - 1
    return matrix


def rotation(angle_rad: float, size_hw: tuple[int, int]) -> Matrix:
    """About the centre of the picture; a positive angle turns x towards y (clockwise on the screen)."""
    cosine, sine = math.cos(angle_rad), math.sin(angle_rad)
    cy, cx = (size_hw[0] - 1) / 2, (size_hw[1] - 1) / 2
    return np.array(
        [[cosine, -sine, cx - cosine * cx + sine * cy], [sine, cosine, cy - sine * cx - cosine * cy], [0, 0, 1]]
    )


def shear(ratio_x: float, ratio_y: float, size_hw: tuple[int, int]) -> Matrix:
    """The centre stays; a pixel moves by ratio_x to the right for each pixel it lies below it, by ratio_y down for each
    pixel to the right of it."""
    cy, cx = (size_hw[0] - 1) / 2, (size_hw[1] - 1) / 2
    return np.array([[1, ratio_x, -ratio_x * cy], [ratio_y, 1, -ratio_y * cx], [0, 0, 1]])


def translation(x: float, y: float) -> Matrix:
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]])


def resize(size_hw: tuple[int, int], output_hw: tuple[int, int]) -> Matrix:
    """Edges go to edges; each axis has its own scale."""
    sy, sx = output_hw[0] / size_hw[0], output_hw[1] / size_hw[1]
    return np.array([[sx, 0, (sx - 1) / 2], [0, sy, (sy - 1) / 2], [0, 0, 1]])


def color_matrix(
    hue_rad: float, saturation: float, contrast: float, center: float, brightness: float | np.ndarray
) -> np.ndarray:
    """[3, 4] for (r, g, b, 1), pixels 0..255: hue and saturation, then contrast about a centre, then brightness."""
    matrix = np.empty((3, 4))
    matrix[:, :3] = (1.0 + contrast) * hue_saturation(hue_rad, saturation)
    matrix[:, 3] = brightness - contrast * center
    return matrix


def hue_saturation(hue_rad: float, saturation: float) -> np.ndarray:
    """[3, 3] for columns (r, g, b)."""
    return LUMINANCE + saturation * (math.cos(hue_rad) * COSINE + math.sin(hue_rad) * SINE)


def recolor(image_bgr: np.ndarray, matrix_rgb: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3] BGR through a [3, 4] colour matrix of RGB; rounded and clipped to 0..255."""
    order = [2, 1, 0]
    matrix_bgr = np.concatenate([matrix_rgb[order][:, order], matrix_rgb[order, 3:]], axis=1)
    return cv2.transform(image_bgr, matrix_bgr)


def _top(image: np.ndarray) -> int:
    return int(np.iinfo(image.dtype).max)


def _rounded(values: np.ndarray, like: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, _top(like)).astype(like.dtype)


def _centred(ratio: float, offset: float) -> float:
    """Translation of a zoom about a window that starts at the edge `offset`, for pixel centres."""
    return ratio * (0.5 - offset) - 0.5


def _truncated_normal(rng: np.random.Generator, sigma: float, count: int) -> np.ndarray:
    """Normal numbers, drawn again while beyond two standard deviations."""
    values = rng.standard_normal(count)
    while (wide := np.abs(values) > 2).any():
        values[wide] = rng.standard_normal(int(wide.sum()))
    return sigma * values
