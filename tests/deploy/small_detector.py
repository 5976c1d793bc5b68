"""A network small enough to be exported in a test, with all that a detector's graph has in it."""

import torch
from torch import Tensor, nn

from tltpy.geometry.suppression import suppress

SIZE_HW = (48, 80)
KEPT = 12
OUTPUTS = ("count", "boxes", "scores", "classes")


class Detector(nn.Module):
    """Two convolutions, decoding and suppression: {"Input": [B, 3, 48, 80]} -> lists of 12 boxes of 3 classes."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.LeakyReLU(0.1))
        self.head = nn.Conv2d(16, 8, 3, 4, 1)

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        raw = self.head(self.stem(inputs["Input"] / 64)).flatten(2).transpose(1, 2)  # [B, N, 8]
        centre, size = raw[..., :2].sigmoid(), raw[..., 2:4].exp() * 0.2
        boxes = torch.cat((centre - size / 2, centre + size / 2), dim=2)  # [B, N, 4]
        scores = (raw[..., 4:5].sigmoid() * raw[..., 5:].sigmoid()).transpose(1, 2)  # [B, 3, N]
        scores, index = scores.topk(2 * KEPT, dim=2)
        boxes = boxes.gather(1, index.flatten(1)[..., None].expand(-1, -1, 4))  # [B, 3 * 24, 4]
        stay = suppress(boxes.reshape(-1, 2 * KEPT, 4), scores.flatten(0, 1), 0.4, 0.22)
        best, order = torch.where(stay.view_as(scores), scores, 0.0).flatten(1).topk(KEPT, dim=1)
        there = best > 0
        chosen = boxes.gather(1, order[..., None].expand(-1, -1, 4)) * there[..., None]
        classes = torch.div(order, 2 * KEPT, rounding_mode="floor") * there
        return {"count": there.sum(1, keepdim=True).int(), "boxes": chosen, "scores": best, "classes": classes.float()}


def pictures(count: int, seed: int) -> Tensor:
    """[count, 3, 48, 80], smooth, about -100 to 150."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 6, 10, generator=generator) * 250 - 100
    return nn.functional.interpolate(coarse, size=SIZE_HW, mode="bilinear", align_corners=False)
