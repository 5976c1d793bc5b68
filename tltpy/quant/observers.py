"""What range an activation's codes should cover, from the values seen.

The histogram has a fixed number of bins over [-limit, limit]; when a value lies beyond, `limit` doubles and pairs of
bins are merged towards the centre, so that no value is ever needed twice. kl follows Migacz, "8-bit inference with
TensorRT", GTC 2017: of the ranges, that whose clipped and coarsened distribution loses the least information.
"""

import torch
from torch import Tensor, nn

BINS = 4096
SAMPLE = 2**18  # values of a batch that enter the histogram, evenly spaced
SMALLEST = 1e-8  # of a range
WITH_HISTOGRAM = ("percentile", "mse", "kl")


class Observer(nn.Module):
    """Sees tensors and remembers; its buffers are the same for every method, so that a state fits any."""

    low: Tensor
    high: Tensor
    limit: Tensor
    histogram: Tensor

    def __init__(self, method: str, *, percentile: float = 99.99, averaging: float = 0.01) -> None:
        super().__init__()
        self.method, self.percentile, self.averaging = method, percentile, averaging
        self.register_buffer("low", torch.tensor(torch.inf))
        self.register_buffer("high", torch.tensor(-torch.inf))
        self.register_buffer("limit", torch.tensor(0.0))
        self.register_buffer("histogram", torch.zeros(BINS))

    @property
    def seen(self) -> bool:
        return bool(self.low <= self.high)

    @property
    def broken(self) -> bool:
        """Whether a value was infinite or no number."""
        return bool(self.low.isnan() | (self.low == -torch.inf) | self.high.isnan() | (self.high == torch.inf))

    @torch.no_grad()
    def forward(self, values: Tensor) -> None:
        low, high = torch.aminmax(values.detach().float())
        if self.method == "moving_average":
            share = self.averaging if self.seen else 1.0
            self.low.copy_(low if share == 1 else torch.lerp(self.low, low, share))
            self.high.copy_(high if share == 1 else torch.lerp(self.high, high, share))
            return
        self.low.copy_(torch.minimum(self.low, low))
        self.high.copy_(torch.maximum(self.high, high))
        if self.method in WITH_HISTOGRAM:
            self._count(values.detach().float(), float(torch.maximum(-low, high)))

    def reach(self, levels: int, signed: bool) -> float:
        """The greatest absolute value to represent by `levels` codes, which lie on both sides of 0 where `signed`."""
        greatest = float(torch.maximum(-self.low, self.high))
        # 16 bits resolve the whole range: clipping could only lose
        if self.method not in WITH_HISTOGRAM or levels > 256 or not float(self.limit) > 0:
            return max(greatest, SMALLEST)
        histogram, limit = self.histogram.double().cpu(), float(self.limit)
        if self.method == "mse":
            found = mse_reach(histogram, limit, greatest, levels, signed)
        else:
            magnitudes = histogram[BINS // 2 :] + histogram[: BINS // 2].flip(0)
            if self.method == "percentile":
                found = percentile_reach(magnitudes, limit, self.percentile)
            else:
                found = kl_reach(magnitudes, limit, levels // 2 if signed else levels)
        return max(min(found, greatest), SMALLEST)

    def _count(self, values: Tensor, greatest: float) -> None:
        if not 0 < greatest < torch.inf:
            return
        if float(self.limit) == 0:
            self.limit.fill_(greatest)
        while greatest > float(self.limit):
            merged = self.histogram.view(BINS // 2, 2).sum(1)
            self.histogram.zero_()[BINS // 4 : BINS // 4 * 3] = merged
            self.limit.mul_(2)
        flat, limit = values.flatten(), float(self.limit)
        flat = flat[:: -(-flat.numel() // SAMPLE)]
        self.histogram += torch.histc(flat, BINS, -limit, limit)


def percentile_reach(magnitudes: Tensor, limit: float, percentile: float) -> float:
    """Upper edge of the bin that holds the percentile of a histogram [N] over 0..limit."""
    share = magnitudes.cumsum(0) / magnitudes.sum()
    place = int(torch.searchsorted(share, torch.tensor(percentile / 100, dtype=share.dtype) - 1e-12))
    return min(place + 1, len(magnitudes)) / len(magnitudes) * limit


def mse_reach(histogram: Tensor, limit: float, greatest: float, levels: int, signed: bool) -> float:
    """Of 100 % to 20 % of the greatest value, that with the least squared error; histogram [N] of -limit..limit."""
    count = len(histogram)
    centres = (torch.arange(count, dtype=torch.float64) + 0.5) * (2 * limit / count) - limit
    centres, weights = centres[histogram > 0], histogram[histogram > 0]
    reaches = greatest * torch.linspace(1.0, 0.2, 81, dtype=torch.float64)
    scales = (reaches * 2 / (levels - 1) if signed else reaches / (levels - 1))[:, None]
    low, high = (-levels // 2, levels // 2 - 1) if signed else (0, levels - 1)
    error = ((centres / scales).round().clamp(low, high) * scales - centres).square() @ weights  # [81]
    return float(reaches[error.argmin()])


def kl_reach(magnitudes: Tensor, limit: float, levels: int, steps: int = 128) -> float:
    """The range whose distribution, clipped and coarsened to `levels`, is nearest to that of a histogram [N]."""
    count = len(magnitudes)
    kept = torch.linspace(levels, count, steps).long()  # bins that a candidate keeps
    bins = torch.arange(count)
    inside = bins < kept[:, None]  # [steps, N]
    sliced = torch.where(inside, magnitudes, 0.0)
    clipped = sliced.clone()
    clipped[torch.arange(steps), kept - 1] += magnitudes.sum() - sliced.sum(1)
    level = torch.where(inside, bins * levels // kept[:, None], levels - 1)
    mass = torch.zeros(steps, levels, dtype=sliced.dtype).scatter_add_(1, level, sliced)
    taken = torch.zeros(steps, levels, dtype=sliced.dtype).scatter_add_(1, level, (sliced > 0).to(sliced.dtype))
    coarse = torch.where(sliced > 0, (mass / taken.clamp(min=1)).gather(1, level), 0.0)
    p = clipped / clipped.sum(1, keepdim=True)
    q = coarse / coarse.sum(1, keepdim=True).clamp(min=1e-30)
    loss = torch.where(p > 0, p * (p.clamp(min=1e-30) / q.clamp(min=1e-12)).log(), 0.0).sum(1)
    return float(kept[loss.argmin()]) / count * limit
