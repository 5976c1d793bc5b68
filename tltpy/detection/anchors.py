"""Anchor shapes from the boxes of a data set: k-means with the distance 1 - IoU of boxes laid on one centre.

After Redmon & Farhadi, YOLO9000 (2017), section 2; as TLT's tool does it: a cluster's shape is the median of its boxes,
and it is over when no box changes its cluster. The boxes are those that the network sees, in pixels of its input.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class View:
    """How a picture comes to the network's input: cropped, scaled, then fitted in with its shape kept, or stretched."""

    input_hw: tuple[int, int]
    stretch: bool = False
    crop_xyxy: tuple[int, int, int, int] | None = None  # 0 for x2 or y2: to the edge
    scale_xy: tuple[float, float] = (1.0, 1.0)

    def sizes(self, boxes_xyxy: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
        """Boxes [N, 4] of a picture of `size_hw` -> float64 [N, 2], width and height in the input; 0 outside."""
        height, width = size_hw
        x1, y1, x2, y2 = self.crop_xyxy or (0, 0, width, height)
        x1, y1, x2, y2 = min(x1, width - 1), min(y1, height - 1), min(x2 or width, width), min(y2 or height, height)
        x2, y2 = max(x2, x1 + 1), max(y2, y1 + 1)
        boxes = np.clip(boxes_xyxy.astype(np.float64), (x1, y1, x1, y1), (x2, y2, x2, y2))
        scale = np.array(self.scale_xy)
        seen = np.maximum(np.round(scale * (x2 - x1, y2 - y1)), 1)
        fit = np.array(self.input_hw[::-1]) / seen
        sizes: np.ndarray = (boxes[:, 2:] - boxes[:, :2]) * scale * (fit if self.stretch else fit.min())
        return sizes


@dataclass(frozen=True)
class Anchors:
    """Shapes [K, 2] (width, height), by area; how well they fit; whether the boxes came to rest within the steps."""

    shapes_wh: np.ndarray
    nearest: np.ndarray  # int64 [N]: for each box its shape
    mean_iou: float  # of each box with its shape
    steps: int
    at_rest: bool

    def scales(self) -> dict[str, np.ndarray]:
        """The first third is small, the last is big; where there are one or two over, small and mid have them."""
        return dict(zip(("small", "mid", "big"), np.array_split(self.shapes_wh, 3), strict=True))


def cluster(sizes_wh: np.ndarray, count: int, *, seed: int, max_steps: int) -> Anchors:
    """`count` shapes for boxes [N, 2], N >= count; the same seed gives the same.

    The first shapes are boxes far from each other (k-means++, Arthur & Vassilvitskii 2007). A shape that loses its last
    box becomes the box that fits its own shape least.
    """
    shapes = _spread(sizes_wh, count, np.random.default_rng(seed))
    nearest = np.full(len(sizes_wh), -1)
    steps, at_rest = 0, False
    while steps < max_steps and not at_rest:
        steps += 1
        overlap = iou(sizes_wh, shapes)
        previous, nearest = nearest, overlap.argmax(axis=1)
        at_rest = np.array_equal(nearest, previous)
        if not at_rest:
            shapes = _medians(sizes_wh, nearest, overlap.max(axis=1), count)
    order = np.argsort(shapes.prod(axis=1), kind="stable")
    overlap = iou(sizes_wh, shapes[order])
    return Anchors(shapes[order], overlap.argmax(axis=1), float(overlap.max(axis=1).mean()), steps, at_rest)


def iou(sizes_wh: np.ndarray, shapes_wh: np.ndarray) -> np.ndarray:
    """Overlap of boxes laid on one centre: [N, 2], [K, 2] -> [N, K]. A side must not be 0."""
    shared = np.minimum(sizes_wh[:, None, 0], shapes_wh[None, :, 0])
    shared = shared * np.minimum(sizes_wh[:, None, 1], shapes_wh[None, :, 1])
    overlap: np.ndarray = shared / (sizes_wh.prod(axis=1)[:, None] + shapes_wh.prod(axis=1)[None] - shared)
    return overlap


def _spread(sizes_wh: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    chosen = [int(rng.integers(len(sizes_wh)))]
    distance = np.full(len(sizes_wh), np.inf)
    while len(chosen) < count:
        distance = np.minimum(distance, 1 - iou(sizes_wh, sizes_wh[chosen[-1:]])[:, 0])
        weight = distance**2
        weight[chosen] = 0
        if weight.sum() == 0:  # fewer different boxes than shapes
            weight = np.ones(len(sizes_wh))
        chosen.append(int(rng.choice(len(sizes_wh), p=weight / weight.sum())))
    return sizes_wh[chosen].copy()


def _medians(sizes_wh: np.ndarray, nearest: np.ndarray, fit: np.ndarray, count: int) -> np.ndarray:
    shapes = np.empty((count, 2))
    worst = iter(np.argsort(fit, kind="stable"))
    for number in range(count):  # shapes, not boxes
        own = sizes_wh[nearest == number]
        shapes[number] = np.median(own, axis=0) if len(own) else sizes_wh[next(worst)]
    return shapes
