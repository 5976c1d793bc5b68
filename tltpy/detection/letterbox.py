"""The one way an image becomes the network's picture and boxes come back: kept in shape, centred, padded with a colour.

A matrix [2, 3] maps the pixel (x, y) of the source to that of the picture, the centre of the first pixel being (0, 0);
boxes are moved by the same matrix, so that pixels and boxes never part. The offline and online augmentations put their
own matrix through the same `warp`.
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from tltpy.geometry.boxes import transform_boxes


def letterbox(image: np.ndarray, output_hw: tuple[int, int], border: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """The picture [h, w, C] of an image [H, W, C], and the matrix [2, 3] that leads to it.

    `border`: the colour of the margins, one value a channel.
    """
    matrix = letterbox_matrix((image.shape[0], image.shape[1]), output_hw)
    return warp(image, matrix, output_hw, border), matrix


def letterbox_matrix(size_hw: tuple[int, int], output_hw: tuple[int, int]) -> np.ndarray:
    """The float32 [2, 3] that fits an image of `size_hw` into `output_hw`: one scale for both axes, centred.

    The image's edge falls between two pixels (the left and top margins are whole), lest all of it be blurred by half a
    pixel; where one pixel of margin is odd it is on the right, at the bottom.
    """
    scale = min(output_hw[0] / size_hw[0], output_hw[1] / size_hw[1])
    margin_yx = [math.floor((out - scale * size) / 2 + 1e-6) for size, out in zip(size_hw, output_hw, strict=True)]
    shift_yx = [margin + (scale - 1) / 2 for margin in margin_yx]
    return np.array([[scale, 0, shift_yx[1]], [0, scale, shift_yx[0]]], np.float32)


def inverse(matrix: np.ndarray) -> np.ndarray:
    """The float32 [2, 3] from the picture back to the image."""
    linear = np.linalg.inv(matrix[:2, :2].astype(np.float64))
    return np.column_stack([linear, -linear @ matrix[:2, 2]]).astype(np.float32)


def to_image(boxes_xyxy: Tensor, matrix: np.ndarray | Tensor) -> Tensor:
    """Boxes [N, 4] in pixels of the picture -> pixels of the image that `matrix` led away from."""
    return transform_boxes(boxes_xyxy, torch.from_numpy(inverse(np.asarray(matrix))))


def warp(image: np.ndarray, matrix: np.ndarray, output_hw: tuple[int, int], border: Sequence[float]) -> np.ndarray:
    """The picture [h, w, C] that an affine map [2, 3] (image pixel -> picture pixel) makes of an image [H, W, C].

    Bilinear. A map that shrinks by 1.5 or more would skip pixels: there the image is first averaged over as many pixels
    as fall on one of the picture (a box blur: half the time of an area resize, and as close to the true averages).
    `border`: what lies outside the image, one value a channel.
    """
    blurred, matrix = _average(image, matrix.astype(np.float64))
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


def _average(image: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The image averaged over the pixels that `matrix` merges, and the matrix from the averages to the picture."""
    step_xy = np.hypot(matrix[0, :2], matrix[1, :2])  # how far the picture moves for one image pixel along x, along y
    window_xy = np.clip(np.round(1 / np.maximum(step_xy, 1e-6)), 1, (image.shape[1], image.shape[0])).astype(int)
    if window_xy.max() == 1:
        return image, matrix
    blurred = cv2.blur(image, (int(window_xy[0]), int(window_xy[1])))
    offset_xy = (window_xy - 1) / 2 - window_xy // 2  # middle of the window, seen from the pixel that holds its mean
    return blurred, np.column_stack([matrix[:, :2], matrix[:, 2] + matrix[:, :2] @ offset_xy])
