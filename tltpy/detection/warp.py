"""An affine warp of a picture: what letterbox, training and tlt-augment all put their matrices through. Knows no torch.

A matrix [2, 3] maps the pixel (x, y) of the image to that of the picture, the centre of the first pixel being (0, 0).
"""

from collections.abc import Sequence

import cv2
import numpy as np


def warp(image: np.ndarray, matrix: np.ndarray, output_hw: tuple[int, int], border: Sequence[float]) -> np.ndarray:
    """The picture [h, w, C] that an affine map [2, 3] (image pixel -> picture pixel) makes of an image [H, W, C].

    Bilinear. A map that shrinks by 1.5 or more would skip pixels: there the image is first averaged over as many pixels
    as fall on one of the picture (a box blur: half the time of an area resize, and as close to the true averages).
    `border`: what lies outside the image, one value a channel.
    """
    window_wh, matrix = averaging(matrix.astype(np.float64), (image.shape[0], image.shape[1]))
    blurred = image if max(window_wh) == 1 else _average(image, window_wh)
    height, width = output_hw
    picture = cv2.warpAffine(
        blurred,
        matrix,
        (width, height),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=tuple(border),
    )
    return picture.reshape(height, width, -1)  # cv2 drops a single channel


def averaging(matrix: np.ndarray, size_hw: tuple[int, int]) -> tuple[tuple[int, int], np.ndarray]:
    """How many pixels of the image (across, down) are averaged first, and the matrix from the averages to the picture.

    An average stands at the pixel in the middle of its window, of the two in the middle the second.
    """
    step_xy = np.hypot(matrix[0, :2], matrix[1, :2])  # how far the picture moves for one image pixel along x, along y
    window_xy = np.clip(np.round(1 / np.maximum(step_xy, 1e-6)), 1, (size_hw[1], size_hw[0])).astype(int)
    offset_xy = (window_xy - 1) / 2 - window_xy // 2  # middle of the window, seen from the pixel that holds its mean
    shifted = np.column_stack([matrix[:2, :2], matrix[:2, 2] + matrix[:2, :2] @ offset_xy])
    return (int(window_xy[0]), int(window_xy[1])), shifted


def _average(image: np.ndarray, window_wh: tuple[int, int]) -> np.ndarray:
    """Means over windows. OpenCV 5.0's blur rounds the mean of two whites up, to black: two are for another filter."""
    width, height = window_wh
    if width * height == 2:
        return np.asarray(cv2.filter2D(image, -1, np.full((height, width), 0.5)))
    return np.asarray(cv2.blur(image, window_wh))
