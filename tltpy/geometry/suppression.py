"""Greedy non-maximum suppression of many groups of boxes at once, as one operator that exporters can see.

The result is that of the ONNX operator NonMaxSuppression, tie for tie: the sums are done in the same order in float32.
Shapes: G groups (image x class), K boxes a group, M candidates of the fullest group.
"""

import torch
from torch import Tensor

PAIRS_CPU = 250_000  # pairs of boxes looked at together: what stays in the cache
PAIRS_CUDA = 32_000_000


# not with torch.library.custom_op: its first call imports the compiler, two seconds in every process
torch.library.define(
    "tltpy::suppress", "(Tensor boxes_xyxy, Tensor scores, float iou_threshold, float score_threshold) -> Tensor"
)


def suppress(boxes_xyxy: Tensor, scores: Tensor, iou_threshold: float, score_threshold: float) -> Tensor:
    """Which boxes stay, bool [G, K].

    Per group, the best boxes first (of equals the one with the lower index): a box stays when its score is above
    `score_threshold` and its overlap with every better box that stays is not above `iou_threshold`.

    Args:
        boxes_xyxy: [G, K, 4] corners with x0 <= x1 and y0 <= y1, in any unit.
        scores: [G, K].
    """
    kept_boxes: Tensor = torch.ops.tltpy.suppress(boxes_xyxy, scores, iou_threshold, score_threshold)
    return kept_boxes


@torch.library.impl("tltpy::suppress", "CompositeExplicitAutograd")
@torch.no_grad()
def _suppress(boxes_xyxy: Tensor, scores: Tensor, iou_threshold: float, score_threshold: float) -> Tensor:
    kept = torch.zeros_like(scores, dtype=torch.bool)
    ranked, order = scores.sort(dim=1, descending=True, stable=True)
    candidates = ranked > score_threshold  # [G, K], a run of ones and then zeros
    counts = candidates.sum(dim=1)
    busy = torch.nonzero(counts)[:, 0]
    if len(busy) == 0:
        return kept
    width = int(counts.max())  # M
    order = order[busy, :width]
    corners = boxes_xyxy[busy].float().gather(1, order[:, :, None].expand(-1, -1, 4)).movedim(2, 0).contiguous()
    stay = _greedy(corners, candidates[busy, :width], iou_threshold)
    kept[busy] = kept[busy].scatter_(1, order, stay)
    return kept


@torch.library.register_fake("tltpy::suppress")
def _shape(boxes_xyxy: Tensor, scores: Tensor, iou_threshold: float, score_threshold: float) -> Tensor:
    return scores.new_empty(scores.shape, dtype=torch.bool)


def _greedy(corners: Tensor, candidates: Tensor, iou_threshold: float) -> Tensor:
    """Greedy suppression of boxes [4, G, M] that are sorted from the best to the worst; bool [G, M]."""
    groups, width = candidates.shape
    better = torch.ones(width, width, dtype=torch.bool, device=candidates.device).tril(-1)  # [i, j]: j is before i
    pairs = PAIRS_CUDA if candidates.is_cuda else PAIRS_CPU
    chunk = max(1, pairs // (width * width))
    parts = []
    for start in range(0, groups, chunk):
        rivals = (_iou(corners[:, start : start + chunk]) > iou_threshold) & better
        parts.append(_settle(rivals, candidates[start : start + chunk]))
    return torch.cat(parts)


def _settle(rivals: Tensor, candidates: Tensor) -> Tensor:
    """`rivals` [G, M, M] says that j suppresses i if j itself stays.

    Who stays is the only fixed point of "a candidate with no rival that stays". After n rounds the n best boxes of
    each group are settled for good, so the rounds end; there are as many as the longest chain of rivals, a handful.
    """
    stay = candidates
    while True:
        settled = candidates & ~(rivals & stay[:, None, :]).any(dim=2)
        if torch.equal(settled, stay):
            return stay
        stay = settled


def _iou(corners: Tensor) -> Tensor:
    """Intersection over union of all pairs of boxes [4, G, M] -> [G, M, M]; NaN where both are empty."""
    x0, y0, x1, y1 = corners
    area = (x1 - x0) * (y1 - y0)
    wide = (torch.minimum(x1[:, :, None], x1[:, None]) - torch.maximum(x0[:, :, None], x0[:, None])).clamp_(min=0)
    high = (torch.minimum(y1[:, :, None], y1[:, None]) - torch.maximum(y0[:, :, None], y0[:, None])).clamp_(min=0)
    both = wide.mul_(high)
    either = torch.add(area[:, :, None], area[:, None], out=high).sub_(both)
    return both.div_(either)
