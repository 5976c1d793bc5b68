"""A record as the network's picture and targets.

Every picture, in training, evaluation and inference, goes the same way: crop, then letterbox (kept in shape, centred,
the margin filled with the mean colour), bilinear. Training puts its random map on top; it is one warp in all.

Sample and batch keys (a batch stacks them; objects are padded to the longest list, their labels with -1):

image        uint8   [B, C, H, W]  BGR or grey; int32 0..65535 with an output_depth of 16
boxes_yxhw   float32 [B, M, 4]     centre and size, shares of the network's input
labels       int64   [B, M]
matrix       float32 [B, 2, 3]     pixel of the stored picture -> pixel of the network's input
size_hw      int64   [B, 2]        of the stored picture
truth        list of Truth         what evaluation compares with, in pixels of the stored picture
"""

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from tltpy.data.loader import Draw
from tltpy.detection.augment import jitter
from tltpy.detection.classes import map_classes
from tltpy.detection.letterbox import letterbox_matrix
from tltpy.detection.records import DetectionRecord
from tltpy.detection.warp import warp
from tltpy.geometry.boxes import transform_boxes
from tltpy.tasks.yolo.settings import Settings

LEAST_SHARE = 1e-3  # of the input size; narrower boxes are no objects
CELL = 32  # pixels that the sides of the input are multiples of
VARIED = (0.6, 1.5)  # of the configured size, when the input size is varied


@dataclass(frozen=True)
class Truth:
    """The objects of one picture that count in evaluation."""

    boxes_xyxy: np.ndarray  # float32 [N, 4], pixels of the stored picture
    labels: np.ndarray  # int64 [N]
    difficult: np.ndarray  # bool [N]


def sample(record: DetectionRecord, plan: Settings, draw: Draw | None) -> dict[str, Any]:
    """Opens a record; varied at random when a draw is given. Keys: see above, without B."""
    stored = record.image()
    if plan.channels == 1 and stored.shape[2] == 3:
        stored = cv2.cvtColor(stored, cv2.COLOR_BGR2GRAY)[..., None]
    rng = draw.rng if draw else None
    if draw and plan.size_period:
        plan = replace(plan, input_hw=varied_size(plan, draw.shared(plan.size_period)))
    size_hw = (stored.shape[0], stored.shape[1])
    region = crop_region(size_hw, plan)
    matrix = base_matrix(_jittered(region, plan, rng), plan)
    if rng is not None:
        matrix = plan.spatial.draw(rng, plan.input_hw) @ matrix
    left, top, right, bottom = (int(side) for side in region)
    # cut out, lest the margin show what the crop leaves out
    image = warp(stored[top:bottom, left:right], (matrix @ _move(left, top))[:2], plan.input_hw, plan.mean)
    if rng is not None and not plan.color.still:
        image = plan.color.apply(image, rng)
    truth = labelled(record, plan, region)
    boxes_yxhw, kept = targets(truth, matrix[:2], plan, training=rng is not None)
    return {
        "image": torch.from_numpy(_planes(image)),
        "boxes_yxhw": boxes_yxhw,
        "labels": torch.from_numpy(truth.labels[kept]),
        "matrix": torch.from_numpy(matrix[:2].astype(np.float32)),
        "size_hw": torch.tensor(size_hw),
        "truth": truth,
    }


def varied_size(plan: Settings, rng: np.random.Generator) -> tuple[int, int]:
    """An input size (height, width): each side a multiple of 32, on its own between 0.6 and 1.5 of the configured one.

    The anchors are shares of the input and stretch with it.
    """
    cells = np.array(plan.input_hw) / CELL
    low, high = np.maximum(np.round(VARIED[0] * cells), 1).astype(int), np.round(VARIED[1] * cells).astype(int)
    height, width = (CELL * rng.integers(low, high, endpoint=True)).tolist()
    return height, width


def crop_region(size_hw: tuple[int, int], plan: Settings) -> tuple[float, float, float, float]:
    """The part of the stored picture that is used, x1 y1 x2 y2 in its pixels: the spec's crop, as far as there is
    picture."""
    height, width = size_hw
    if plan.crop_xyxy is None:
        return (0.0, 0.0, float(width), float(height))
    x1, y1, x2, y2 = plan.crop_xyxy
    x1, x2 = min(x1, width - 1), min(x2 or width, width)
    y1, y2 = min(y1, height - 1), min(y2 or height, height)
    return (float(x1), float(y1), float(max(x2, x1 + 1)), float(max(y2, y1 + 1)))


def base_matrix(region_xyxy: tuple[float, float, float, float], plan: Settings) -> np.ndarray:
    """float64 [3, 3] that letterboxes a region of the stored picture into the network's input."""
    x1, y1, x2, y2 = region_xyxy
    scale_x, scale_y = plan.scale_xy
    size = (max(round((y2 - y1) * scale_y), 1), max(round((x2 - x1) * scale_x), 1))
    # pixel centres: the region's first pixel (x1 + 0.5 from the edge) goes to scale / 2 from the edge
    move = np.array([[scale_x, 0, scale_x * (0.5 - x1) - 0.5], [0, scale_y, scale_y * (0.5 - y1) - 0.5], [0, 0, 1.0]])
    return np.vstack([letterbox_matrix(size, plan.input_hw), [0, 0, 1]]) @ move


def labelled(record: DetectionRecord, plan: Settings, region_xyxy: tuple[float, float, float, float]) -> Truth:
    """The objects of mapped classes, clipped to the region; those less than a pixel wide or high there are left out."""
    mapped, labels = map_classes(record, plan.class_ids)
    x1, y1, x2, y2 = region_xyxy
    low, high = np.array([x1, y1, x1, y1], np.float32), np.array([x2, y2, x2, y2], np.float32)
    boxes = np.clip(record.boxes_xyxy[mapped], low, high)
    kept = ((boxes[:, 2:] - boxes[:, :2]) >= 1).all(axis=1)
    return Truth(boxes[kept], labels[kept], (record.occlusion != 0)[mapped][kept])


def targets(truth: Truth, matrix: np.ndarray, plan: Settings, *, training: bool) -> tuple[Tensor, np.ndarray]:
    """Objects through the map [2, 3], clipped to the input: float32 [M, 4] (y, x, h, w) and the mask [N] of those
    kept."""
    height, width = plan.input_hw
    moved = transform_boxes(torch.from_numpy(truth.boxes_xyxy - 0.5), torch.from_numpy(matrix)).numpy() + 0.5
    limit = np.array([width, height, width, height], np.float32)
    clipped = np.clip(moved, 0, limit)
    size = clipped[:, 2:] - clipped[:, :2]
    least = np.maximum(plan.min_box_wh if training else (0.0, 0.0), (LEAST_SHARE * width, LEAST_SHARE * height))
    kept: np.ndarray = np.all(size >= least, axis=1)
    if training and not plan.train_difficult:
        kept &= ~truth.difficult
    shares = clipped[kept] / limit
    centre, size = (shares[:, :2] + shares[:, 2:]) / 2, shares[:, 2:] - shares[:, :2]
    return torch.from_numpy(np.concatenate([centre[:, ::-1], size[:, ::-1]], axis=1)), kept


def collate(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """A list of samples -> a batch."""
    stacked = ("image", "matrix", "size_hw")
    batch: dict[str, Any] = {key: torch.stack([one[key] for one in samples]) for key in stacked}
    pad = torch.nn.utils.rnn.pad_sequence
    batch["boxes_yxhw"] = pad([one["boxes_yxhw"] for one in samples], batch_first=True)
    batch["labels"] = pad([one["labels"] for one in samples], batch_first=True, padding_value=-1)
    batch["truth"] = [one["truth"] for one in samples]
    return batch


def inputs(batch: dict[str, Any], plan: Settings) -> dict[str, Tensor]:
    """{"Input": float32 [B, C, H, W]}: the picture minus the mean, on the batch's device."""
    image = batch["image"]
    mean = torch.tensor(plan.mean, device=image.device).view(1, -1, 1, 1)
    return {"Input": image.float().sub_(mean)}


def _planes(image: np.ndarray) -> np.ndarray:
    """[H, W, C] -> [C, H, W]; torch does little with 16 bits without a sign."""
    planes = image.transpose(2, 0, 1)
    return np.ascontiguousarray(planes if planes.dtype == np.uint8 else planes.astype(np.int32))


def _move(x: float, y: float) -> np.ndarray:
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def _jittered(
    region_xyxy: tuple[float, float, float, float], plan: Settings, rng: np.random.Generator | None
) -> tuple[float, float, float, float]:
    if rng is None or not plan.jitter:
        return region_xyxy
    x1, y1, x2, y2 = region_xyxy
    left, top, right, bottom = jitter(rng, plan.jitter)
    width, height = x2 - x1, y2 - y1
    return (x1 + left * width, y1 + top * height, x2 - right * width, y2 - bottom * height)
