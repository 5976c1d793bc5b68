"""Target assignment and the loss of TLT's YOLOv3.

Each object belongs to the one anchor of all scales whose shape fits best, in the cell of its centre; a later object
overwrites an earlier one of the same cell and anchor. The background loss spares predictions that overlap an object by
`neutral_iou` or more. Unlike the paper's, negatives are averaged over the negatives and the rest over the positives.

B batch, N boxes of all scales, M objects of a picture (padded), P positives, A anchors of all scales, C classes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from tltpy.geometry.boxes import iou_matrix, iou_sizes
from tltpy.tasks.yolo.decode import Anchors, decode_yxhw, flatten, grid, sizes_hw, yxhw_to_xyxy

LEAST = 1e-5  # of the counts that the sums are divided by


@dataclass(frozen=True)
class Weights:
    """Of the parts of the loss; the weight of the positive objectness is 1."""

    location: float
    negative: float
    classes: float
    neutral_iou: float


def assign(boxes_yxhw: Tensor, labels: Tensor, sizes: list[tuple[int, int]], anchors: Anchors) -> tuple[Tensor, Tensor]:
    """Objects [B, M, 4] (shares of the input size) with labels [B, M] (-1: padding) -> the boxes that answer for them.

    Returns positions in the flattened [B * N] predictions and in the flattened [B * M] objects, both int64 [P].
    """
    batch, most = labels.shape
    device = boxes_yxhw.device
    shapes = torch.tensor([size for scale in anchors.scales for size in scale], device=device)  # [A, 2]
    table = _scale_table(sizes, anchors, device)
    best = iou_sizes(boxes_yxhw[..., 2:4].reshape(-1, 2), shapes).argmax(dim=1)  # [B * M]
    offset, height, width, count, anchor = table[best].unbind(1)
    centres = boxes_yxhw[..., 0:2].reshape(-1, 2)
    rows = torch.minimum((centres[:, 0] * height).clamp(min=0), height - 1e-3).long()
    columns = torch.minimum((centres[:, 1] * width).clamp(min=0), width - 1e-3).long()
    number = sum(h * w * c for (h, w), c in zip(sizes, anchors.counts(), strict=True))  # N
    place = offset.long() + (rows * width.long() + columns) * count.long() + anchor.long()
    place = place + torch.arange(batch, device=device).repeat_interleave(most) * number
    order = torch.arange(batch * most, device=device)
    valid = labels.flatten() >= 0
    winner = torch.full((batch * number,), -1, device=device, dtype=torch.long)
    winner.scatter_reduce_(0, place[valid], order[valid], "amax")
    positions = (winner >= 0).nonzero().flatten()
    return positions, winner[positions]


def yolo_loss(
    outputs: dict[str, Tensor],
    boxes_yxhw: Tensor,
    labels: Tensor,
    *,
    anchors: Anchors,
    weights: Weights,
    mean: Callable[[Tensor], Tensor],
) -> dict[str, Tensor]:
    """Raw maps and objects [B, M, 4], [B, M] -> scalars: loss and its four weighted parts.

    `mean` averages the counts over processes, so that a batch split over ranks has the gradient of the whole batch.
    """
    raw = flatten(outputs, anchors).float()  # [B, N, 5 + C]
    sizes = sizes_hw(outputs)
    cells = grid(sizes, anchors, raw.device)  # [N, 6]
    positions, objects = assign(boxes_yxhw, labels, sizes, anchors)
    negative = _negatives(raw, cells, boxes_yxhw, positions, objects, weights.neutral_iou)  # [B * N]
    truth = boxes_yxhw.reshape(-1, 4)[objects]  # [P, 4]
    hit = raw.flatten(0, 1)[positions]  # [P, 5 + C]
    cell = cells[positions % cells.shape[0]]  # [P, 6]
    counts = mean(torch.stack([negative.new_tensor(float(len(positions))), negative.sum()])).clamp(min=LEAST)
    one_hot = F.one_hot(labels.flatten()[objects], raw.shape[-1] - 5).to(raw.dtype)  # [P, C]
    background = F.softplus(raw[..., 4]).flatten()  # binary cross entropy of a logit against 0
    parts = {
        "location": weights.location * _location(hit, cell, truth) / counts[0],
        "objectness": F.softplus(-hit[:, 4]).sum() / counts[0],
        "classes": weights.classes
        * F.binary_cross_entropy_with_logits(hit[:, 5:], one_hot, reduction="sum")
        / counts[0],
        "background": weights.negative * (background * negative).sum() / counts[1],
    }
    return {"loss": sum(parts.values(), torch.zeros((), device=raw.device)), **parts}


def encode(boxes_yxhw: Tensor, cells: Tensor) -> Tensor:
    """Boxes [P, 4] at their cells [P, 6] -> targets [P, 4]: place in the cell 0..1 (y, x), logarithm of the size (h,
    w)."""
    centre = (boxes_yxhw[:, 0:2] - cells[:, 0:2]) / cells[:, 4:6]
    size = (boxes_yxhw[:, 2:4] / cells[:, 2:4]).clamp(0.01, 100.0).log()
    return torch.cat([centre, size], dim=1)


def _location(hit: Tensor, cells: Tensor, truth_yxhw: Tensor) -> Tensor:
    """Half the squared error of the P positives, small boxes weighing up to twice as much."""
    target = encode(truth_yxhw, cells)
    predicted = torch.cat([torch.sigmoid(hit[:, 0:2]), hit[:, 2:4]], dim=1)
    weight = 2.0 - truth_yxhw[:, 2] * truth_yxhw[:, 3]
    return 0.5 * ((target - predicted).square().sum(dim=1) * weight).sum()


@torch.no_grad()
def _negatives(
    raw: Tensor, cells: Tensor, boxes_yxhw: Tensor, positions: Tensor, objects: Tensor, neutral_iou: float
) -> Tensor:
    """1 where a prediction is background: no positive, and overlapping no assigned object by `neutral_iou`; [B * N]."""
    batch, number, _ = raw.shape
    predicted = yxhw_to_xyxy(decode_yxhw(raw.detach(), cells))  # [B, N, 4]
    assigned = torch.zeros(boxes_yxhw.shape[:2], dtype=torch.bool, device=raw.device)
    assigned.view(-1)[objects] = True
    # an object that answers for nothing becomes an empty box, whose overlap is 0
    truth = yxhw_to_xyxy(boxes_yxhw) * assigned[..., None]  # [B, M, 4]
    if truth.shape[1] == 0:
        overlap = torch.zeros(batch, number, device=raw.device)
    else:
        overlap = iou_matrix(predicted, truth).amax(dim=2)  # [B, N]
    negative = (overlap < neutral_iou).flatten().float()
    negative[positions] = 0.0
    return negative


def _scale_table(sizes: list[tuple[int, int]], anchors: Anchors, device: torch.device) -> Tensor:
    """For each of the A anchors: first box of its scale, grid height and width, anchors of the scale, its number
    there."""
    rows, offset = [], 0
    for (height, width), scale in zip(sizes, anchors.scales, strict=True):
        rows += [[offset, height, width, len(scale), index] for index in range(len(scale))]
        offset += height * width * len(scale)
    return torch.tensor(rows, dtype=torch.float64, device=device)
