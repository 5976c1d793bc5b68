"""The arithmetic of the fixed-point network; every value an integer, held exactly in float64.

Products are summed exactly. A sum becomes codes by one multiplication in float32 with (scale of the input * scale of
the weight) / scale of the output, rounding half to even, adding the zero point and saturating. It is what the integer
kernels of ONNX Runtime do, operation by operation.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tltpy.quant.fake import along


@dataclass(frozen=True)
class Grid:
    """What codes stand for: (code - zero) * scale. `scale` is a float32 scalar."""

    scale: Tensor
    zero: int
    low: int
    high: int

    @property
    def eight(self) -> bool:
        return self.high - self.low == 255

    def same(self, other: "Grid") -> bool:
        mine, theirs = (self.zero, self.low, self.high), (other.zero, other.low, other.high)
        return mine == theirs and bool(self.scale == other.scale)


@dataclass(frozen=True)
class Codes:
    """A quantized tensor."""

    values: Tensor  # float64
    grid: Grid

    def centred(self) -> Tensor:
        return self.values - self.grid.zero

    def floats(self) -> Tensor:
        return self.centred().float() * self.grid.scale


@dataclass(frozen=True)
class Products:
    """Sums of products, before they become codes. `unit` is the scale of the input, `weight` that of each channel."""

    values: Tensor  # float64
    unit: Tensor
    weight: Tensor
    channel: int  # axis of the channels

    def floats(self) -> Tensor:
        return self.values.float() * along(self.unit * self.weight, self.values.dim(), self.channel)

    def rectified(self) -> "Products":
        return replace(self, values=self.values.clamp(min=0))


@dataclass(frozen=True)
class Pair:
    """Two tensors that are being added or multiplied, and the rectifier behind."""

    kind: str  # add or mul
    first: Codes
    second: Codes
    activation: str | None = None

    def floats(self) -> Tensor:
        first, second = self.first.floats(), self.second.floats()
        value = first + second if self.kind == "add" else first * second
        if self.activation is None:
            return value
        return value.clamp(min=0, max=6 if self.activation == "relu6" else None)


@dataclass(frozen=True)
class Parts:
    """Tensors that are being concatenated along `axis`; each becomes codes by itself."""

    parts: tuple[Codes, ...]
    axis: int

    def floats(self) -> Tensor:
        return torch.cat([part.floats() for part in self.parts], self.axis)


Value = Tensor | Codes | Products | Pair | Parts


def floats(value: Value) -> Tensor:
    return value if isinstance(value, Tensor) else value.floats()


def to_codes(value: Value, grid: Grid) -> Codes:
    """A value on the grid of a quantizer."""
    if isinstance(value, Codes) and value.grid.same(grid):
        return value
    if isinstance(value, Products):
        return Codes(_requantize(value, grid), grid)
    if isinstance(value, Pair) and grid.eight:
        return Codes(_add(value, grid) if value.kind == "add" else _multiply(value, grid), grid)
    if isinstance(value, Parts):
        return Codes(torch.cat([to_codes(part, grid).values for part in value.parts], value.axis), grid)
    return Codes(quantize(floats(value), grid), grid)


def quantize(x: Tensor, grid: Grid) -> Tensor:
    """ONNX's QuantizeLinear."""
    return ((x / grid.scale).round() + grid.zero).clamp(grid.low, grid.high).double()


def _requantize(value: Products, grid: Grid) -> Tensor:
    ratio = (value.unit * value.weight) / grid.scale
    scaled = value.values.float() * along(ratio, value.values.dim(), value.channel)
    return (scaled.clamp(grid.low - grid.zero, grid.high - grid.zero).round() + grid.zero).double()


def _add(pair: Pair, grid: Grid) -> Tensor:
    """Two fused multiplications and additions, each of which rounds once; a rectifier is the saturation at 0."""
    a, b = pair.first, pair.second
    to_a, to_b = a.grid.scale / grid.scale, b.grid.scale / grid.scale
    fixed = torch.tensor(float(grid.zero), device=to_a.device) - (to_a * a.grid.zero + to_b * b.grid.zero)
    partial = (a.values * to_a.double() + fixed.double()).float()
    total = (b.values * to_b.double() + partial.double()).float()
    return total.round().clamp(grid.low, grid.high).double()


def _multiply(pair: Pair, grid: Grid) -> Tensor:
    a, b = pair.first, pair.second
    ratio = a.grid.scale * b.grid.scale / grid.scale
    product = (a.centred() * b.centred()).float() * ratio
    return (product.round() + grid.zero).clamp(grid.low, grid.high).double()
