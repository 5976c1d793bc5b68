"""Axis-aligned boxes as tensors: conversions, overlap, clipping, affine maps. Every function keeps device and dtype.

A box has the continuous extent (x2 - x1) * (y2 - y1); one that is turned inside out has none.
"""

import torch
from torch import Tensor


def cxcywh_to_xyxy(boxes_cxcywh: Tensor) -> Tensor:
    """[..., 4] centre and size -> [..., 4] corners."""
    centre, half = boxes_cxcywh[..., :2], boxes_cxcywh[..., 2:] / 2
    return torch.cat([centre - half, centre + half], dim=-1)


def xyxy_to_cxcywh(boxes_xyxy: Tensor) -> Tensor:
    """[..., 4] corners -> [..., 4] centre and size."""
    low, high = boxes_xyxy[..., :2], boxes_xyxy[..., 2:]
    return torch.cat([(low + high) / 2, high - low], dim=-1)


def areas(boxes_xyxy: Tensor) -> Tensor:
    """[..., 4] -> [...]."""
    return (boxes_xyxy[..., 2:] - boxes_xyxy[..., :2]).clamp(min=0).prod(dim=-1)


def iou_matrix(a_xyxy: Tensor, b_xyxy: Tensor) -> Tensor:
    """Every box of one set against every box of the other.

    [..., N, 4], [..., M, 4] -> [..., N, M], the leading dimensions broadcast. Zero where neither box has an area.
    """
    return iou_pairs(a_xyxy[..., :, None, :], b_xyxy[..., None, :, :])


def iou_pairs(a_xyxy: Tensor, b_xyxy: Tensor) -> Tensor:
    """[..., 4], [..., 4] -> [...], all leading dimensions broadcast. Zero where neither box has an area."""
    low = torch.maximum(a_xyxy[..., :2], b_xyxy[..., :2])
    high = torch.minimum(a_xyxy[..., 2:], b_xyxy[..., 2:])
    shared = (high - low).clamp_(min=0).prod(dim=-1)
    return _ratio(shared, areas(a_xyxy) + areas(b_xyxy) - shared)


def iou_sizes(a_hw: Tensor, b_hw: Tensor) -> Tensor:
    """Overlap of boxes laid on one centre: [..., N, 2], [..., M, 2] -> [..., N, M]. Zero where neither has an area."""
    shared = torch.minimum(a_hw[..., :, None, :], b_hw[..., None, :, :]).prod(dim=-1)
    return _ratio(shared, a_hw.prod(dim=-1)[..., :, None] + b_hw.prod(dim=-1)[..., None, :] - shared)


def clip_boxes(boxes_xyxy: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """[..., 4] -> [..., 4] with x in 0..width and y in 0..height; a box that lies outside is left without an area."""
    height, width = size_hw
    x, y = boxes_xyxy[..., 0::2].clamp(0, width), boxes_xyxy[..., 1::2].clamp(0, height)  # [..., 2] each
    return torch.stack([x, y], dim=-1).flatten(-2)  # [..., 2 corners, 2] -> [..., 4]


def transform_boxes(boxes_xyxy: Tensor, matrix: Tensor) -> Tensor:
    """The upright hulls of boxes after an affine map of the plane.

    [..., 4] by [2, 3] or [3, 3] (last row 0 0 1) -> [..., 4]. A box without an area keeps none under a map that does
    not turn it. Centre and half size suffice: the hull's half size is |A| times the box's.
    """
    linear = matrix[:2, :2].to(boxes_xyxy)
    shift = matrix[:2, 2].to(boxes_xyxy)
    low, high = boxes_xyxy[..., :2], boxes_xyxy[..., 2:]
    centre = (low + high) / 2 @ linear.T + shift
    half = (high - low) / 2 @ linear.abs().T
    return torch.cat([centre - half, centre + half], dim=-1)


def _ratio(shared: Tensor, union: Tensor) -> Tensor:
    """Finite, also in its gradient, where the union is zero."""
    return shared / union.clamp(min=torch.finfo(union.dtype).tiny)
