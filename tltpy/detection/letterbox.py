"""The one way an image becomes the network's picture and boxes come back: kept in shape, centred, padded with a colour.

A matrix [2, 3] maps the pixel (x, y) of the source to that of the picture, the centre of the first pixel being (0, 0);
boxes are moved by the same matrix, so that pixels and boxes never part. The offline and online augmentations put their
own matrix through the same warp.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from tltpy.detection.warp import warp
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
