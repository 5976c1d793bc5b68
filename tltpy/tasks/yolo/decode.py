"""Raw maps -> boxes -> the four published outputs -> detections on the picture.

The graph that is evaluated and exported is `Detector`: the network, the decoding of its maps and class-wise
non-maximum suppression in one module, with the outputs of TLT's plugin:

BatchedNMS   int32   [B, 1]     number of boxes
BatchedNMS_1 float32 [B, K, 4]  boxes (xmin, ymin, xmax, ymax), 0..1 of the network's input, zeros behind the last
BatchedNMS_2 float32 [B, K]     scores, descending
BatchedNMS_3 float32 [B, K]     class ids

B batch, N boxes of all scales, A anchors of a scale, C classes, K boxes kept (top_k).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tltpy.geometry.suppression import suppress

OUTPUTS = ("BatchedNMS", "BatchedNMS_1", "BatchedNMS_2", "BatchedNMS_3")
CANDIDATES = 2  # candidates of a class before suppression, in multiples of top_k (the plugin's topK)


@dataclass(frozen=True)
class Detections:
    """The boxes found on one picture, by descending score."""

    boxes_xyxy: np.ndarray  # float32 [N, 4], pixels of the picture as stored
    scores: np.ndarray  # float32 [N]
    labels: np.ndarray  # int64 [N]


@dataclass(frozen=True)
class Anchors:
    """Heights and widths of the big, mid and small scale's anchors, as shares of the network's input size."""

    scales: tuple[tuple[tuple[float, float], ...], ...]  # (h, w)

    def counts(self) -> list[int]:
        return [len(scale) for scale in self.scales]


def grid(sizes_hw: Sequence[tuple[int, int]], anchors: Anchors, device: torch.device) -> Tensor:
    """Where each of the N boxes stands: [N, 6] = cell_y, cell_x (its top-left corner), anchor_h, anchor_w, step_y,
    step_x.

    Order: big, mid, small; in a scale the cells row by row, in a cell the anchors. All are shares of the input size.
    """
    parts = []
    for (height, width), scale in zip(sizes_hw, anchors.scales, strict=True):
        ys = torch.arange(height, device=device, dtype=torch.float32) / height
        xs = torch.arange(width, device=device, dtype=torch.float32) / width
        sizes = torch.tensor(scale, device=device, dtype=torch.float32)  # [A, 2]
        part = torch.empty(height, width, len(scale), 6, device=device)
        part[..., 0], part[..., 1] = ys[:, None, None], xs[None, :, None]
        part[..., 2:4] = sizes
        part[..., 4], part[..., 5] = 1.0 / height, 1.0 / width
        parts.append(part.flatten(0, 2))  # [H * W * A, 6]
    return torch.cat(parts)


def flatten(outputs: dict[str, Tensor], anchors: Anchors) -> Tensor:
    """The three maps as one tensor [B, N, 5 + C] in the order of `grid`."""
    parts = []
    for name, count in zip(("big", "mid", "small"), anchors.counts(), strict=True):
        raw = outputs[name]
        batch, channels, height, width = raw.shape
        raw = raw.view(batch, count, channels // count, height, width)
        parts.append(raw.permute(0, 3, 4, 1, 2).flatten(1, 3))  # [B, H * W * A, 5 + C]
    return torch.cat(parts, dim=1)


def sizes_hw(outputs: dict[str, Tensor]) -> list[tuple[int, int]]:
    return [(outputs[name].shape[2], outputs[name].shape[3]) for name in ("big", "mid", "small")]


def decode_yxhw(raw: Tensor, cells: Tensor) -> Tensor:
    """Raw boxes [..., N, 4+] at `cells` [N, 6] -> centre and size [..., N, 4] (y, x, h, w), shares of the input
    size."""
    centre = cells[:, 0:2] + torch.sigmoid(raw[..., 0:2]) * cells[:, 4:6]
    size = cells[:, 2:4] * torch.exp(raw[..., 2:4])
    return torch.cat([centre, size], dim=-1)


def yxhw_to_xyxy(boxes_yxhw: Tensor) -> Tensor:
    """Centre and size (y, x, h, w) -> corners (xmin, ymin, xmax, ymax), any leading shape."""
    y, x, h, w = boxes_yxhw.unbind(-1)
    return torch.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], dim=-1)


class Postprocess(nn.Module):
    """Raw maps -> the four outputs. The input size is fixed when it is made, so that the grid is a constant of the
    graph."""

    def __init__(
        self,
        *,
        anchors: Anchors,
        input_hw: tuple[int, int],
        confidence: float,
        iou: float,
        top_k: int,
        strides: tuple[int, int, int] = (32, 16, 8),
    ) -> None:
        super().__init__()
        self.anchors = anchors
        self.confidence, self.iou, self.top_k = confidence, iou, top_k
        sizes = [(input_hw[0] // stride, input_hw[1] // stride) for stride in strides]
        self.register_buffer("cells", grid(sizes, anchors, torch.device("cpu")), persistent=False)
        self.cells: Tensor

    def forward(self, outputs: dict[str, Tensor]) -> dict[str, Tensor]:
        boxes, scores = self.candidates(outputs)
        return self.select(boxes, scores.transpose(1, 2))

    def candidates(self, outputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """All boxes before suppression: corners [B, N, 4], shares of the input size, and scores [B, N, C]."""
        raw = flatten(outputs, self.anchors).float()  # [B, N, 5 + C]
        boxes = yxhw_to_xyxy(decode_yxhw(raw, self.cells))  # [B, N, 4]
        return boxes, torch.sigmoid(raw[..., 4:5]) * torch.sigmoid(raw[..., 5:])

    def select(self, boxes_xyxy: Tensor, scores: Tensor) -> dict[str, Tensor]:
        """Class-wise suppression: boxes [B, N, 4], scores [B, C, N] -> the four outputs."""
        batch, classes, number = scores.shape
        width = min(CANDIDATES * self.top_k, number)  # W
        scores, index = scores.topk(width, dim=2)  # [B, C, W]
        flat = index.flatten(1)[..., None].expand(-1, -1, 4)  # [B, C * W, 4]
        candidates = boxes_xyxy.gather(1, flat)  # [B, C * W, 4]
        keep = suppress(
            candidates.reshape(-1, width, 4), scores.reshape(-1, width), self.iou, self.confidence
        )  # [B * C, W]
        left = torch.where(keep.reshape(-1, classes * width), scores.flatten(1), -1.0)  # [B, C * W]
        best, order = left.topk(min(self.top_k, classes * width), dim=1)  # [B, K]
        there = best > 0
        chosen = candidates.gather(1, order[..., None].expand(-1, -1, 4)).clamp(0.0, 1.0)  # [B, K, 4]
        labels = torch.div(order, width, rounding_mode="floor")
        count = there.sum(dim=1, keepdim=True).to(torch.int32)
        rows = (
            torch.where(there[..., None], chosen, 0.0),
            torch.where(there, best, 0.0),
            torch.where(there, labels, 0),
        )
        return dict(zip(OUTPUTS, (count, *(self._padded(values.float()) for values in rows)), strict=True))

    def _padded(self, values: Tensor) -> Tensor:
        """Zeros up to top_k rows where the network has fewer boxes than that."""
        if values.shape[1] == self.top_k:
            return values
        shape = (values.shape[0], self.top_k - values.shape[1], *values.shape[2:])
        return torch.cat([values, values.new_zeros(shape)], dim=1)


class Detector(nn.Module):
    """Network and postprocess: {"Input": [B, 3, H, W]} -> the four outputs."""

    def __init__(self, network: nn.Module, postprocess: Postprocess) -> None:
        super().__init__()
        self.network = network
        self.postprocess: Postprocess = postprocess

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        found: dict[str, Tensor] = self.postprocess(self.network(inputs))
        return found


class Candidates(nn.Module):
    """The Detector without suppression: {"Input": [B, 3, H, W]} -> candidate_boxes [B, N, 1, 4] and
    candidate_scores [B, N, C]."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        boxes, scores = self.detector.postprocess.candidates(self.detector.network(inputs))
        return {"candidate_boxes": boxes[:, :, None], "candidate_scores": scores}


def decode(outputs: dict[str, Tensor], batch: dict[str, Any], input_hw: tuple[int, int]) -> list[Detections]:
    """The four outputs of a batch -> detections in pixels of each stored picture (batch["matrix"] leads back there)."""
    counts = outputs["BatchedNMS"].flatten().tolist()
    scale = torch.tensor([input_hw[1], input_hw[0]] * 2, dtype=torch.float32)
    boxes = outputs["BatchedNMS_1"].float().cpu() * scale  # [B, K, 4], network pixels
    scores, labels = outputs["BatchedNMS_2"].float().cpu().numpy(), outputs["BatchedNMS_3"].cpu().numpy()
    matrix = batch["matrix"]  # [B, 2, 3], picture -> network; no rotation in it
    zoom = torch.stack([matrix[:, 0, 0], matrix[:, 1, 1]] * 2, dim=1)[:, None]  # [B, 1, 4]
    shift = torch.stack([matrix[:, 0, 2], matrix[:, 1, 2]] * 2, dim=1)[:, None]
    # a box side at x is an edge between pixels, half a pixel before the centre that the matrix maps
    boxes = (boxes - 0.5 - shift) / zoom + 0.5
    limit = torch.stack([batch["size_hw"][:, 1], batch["size_hw"][:, 0]] * 2, dim=1)[:, None].float()
    stored = torch.minimum(boxes.clamp(min=0.0), limit).numpy()
    return [Detections(stored[i, :n], scores[i, :n], labels[i, :n].astype(np.int64)) for i, n in enumerate(counts)]
