"""Rounding to the codes of a quantized tensor, in floats, with gradients: what training sees of the integers.

A code is round(x / scale) + zero point, half to even, saturated; the definition of ONNX's QuantizeLinear. Gradients
pass straight through where nothing saturates (Bengio et al. 2013). A learned scale has the gradient of Esser et al.,
"Learned step size quantization", ICLR 2020, equations 3 and 4.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tltpy.errors import ModelFileError
from tltpy.quant.observers import Observer
from tltpy.quant.settings import Settings

CHANNEL_FLOOR = 1e-3  # least scale of a channel, of the greatest of its layer
SCALE_FLOOR = 1e-8
BIAS_LIMIT = 2.0**30  # greatest code of a bias: half of what 32 bits hold


@dataclass(frozen=True)
class Format:
    """Codes of an activation."""

    low: int
    high: int
    dtype: torch.dtype


UINT8 = Format(0, 255, torch.uint8)
INT16 = Format(-32768, 32767, torch.int16)
FORMATS = {8: UINT8, 16: INT16}


class _Round(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """Nearest multiple of `scale`, from low to high times it."""
        ctx.save_for_backward(x, scale, low, high)
        return (x / scale).round_().clamp_(low, high).mul_(scale)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,), (x, scale, low, high) = grads, ctx.saved_tensors
        ratio = x / scale
        rounded = ratio.round()
        inside = (rounded >= low) & (rounded <= high)
        to_scale = None
        if ctx.needs_input_grad[1]:
            slope = torch.where(inside, rounded - ratio, rounded.clamp(low, high))
            to_scale = ((grad * slope).sum() / (x.numel() * high).sqrt()).reshape(scale.shape)
        return grad * inside, to_scale, None, None


def fake_quantize(x: Tensor, scale: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """x to the nearest of the multiples low..high of `scale` (broadcast against x), half to even."""
    found: Tensor = _Round.apply(x.float(), scale, low, high)
    return found


class ActivationQuantizer(nn.Module):
    """One scale a tensor: observes values, and rounds them once it has a scale (0: none yet).

    nonnegative: the values are known to be; all codes are for them then. limit: the range never needs to exceed it.
    """

    zero_point: Tensor

    def __init__(self, settings: Settings, *, nonnegative: bool = False, limit: float | None = None) -> None:
        super().__init__()
        self.nonnegative, self.limit = nonnegative, limit
        self.averaging = settings.averaging
        self.bits = 8
        self.active = True  # False: the value stays a float
        self.fixed_reach: float | None = None
        self.observing = self.quantizing = False
        self.observer = Observer(settings.observer, percentile=settings.percentile, averaging=settings.averaging)
        self.scale: Tensor
        if settings.learned_scales:
            self.scale = nn.Parameter(torch.tensor(0.0))
        else:
            self.register_buffer("scale", torch.tensor(0.0))
        self.register_buffer("zero_point", torch.tensor(0, dtype=torch.int32))
        self._ready = False

    @property
    def format(self) -> Format:
        return FORMATS[self.bits]

    @property
    def ready(self) -> bool:
        """Whether there is a scale."""
        if not self._ready:  # once it is, looking at the tensor would only make a GPU wait
            self._ready = bool(self.scale > 0)
        return self._ready

    def forward(self, x: Tensor) -> Tensor:
        if not self.active:
            return x
        if self.observing:
            self._observe(x)
        if not (self.quantizing and self.ready):
            return x
        zero = self.zero_point.to(x.device, torch.float32)
        return fake_quantize(x, self.positive_scale(), self.format.low - zero, self.format.high - zero)

    def positive_scale(self) -> Tensor:
        return self.scale.clamp(min=SCALE_FLOOR)

    @torch.no_grad()
    def finish(self) -> None:
        """Scale and zero point from what was observed, or from the fixed range; without either they stay."""
        observed, form = self.observer.seen, self.format
        if self.observer.broken:
            raise ModelFileError("the network computes values that are no finite numbers", "train it further, or anew")
        if not observed and self.fixed_reach is None:
            return
        unsigned = self.bits == 8 and (self.nonnegative or (observed and bool(self.observer.low >= 0)))
        levels = form.high - form.low + 1
        if self.fixed_reach is not None:  # codes of a power of two then stand for whole steps: 128 has the scale 1
            scale = self.fixed_reach / (levels - 1 if unsigned else levels // 2)
        else:
            scale = self.observer.reach(levels, not unsigned) / ((levels - 1) / (1 if unsigned else 2))
        self._set(scale, 0 if unsigned or self.bits == 16 else 128)

    @torch.no_grad()
    def _set(self, scale: float | Tensor, zero_point: int | Tensor) -> None:
        self.scale.copy_(torch.as_tensor(scale).clamp(min=SCALE_FLOOR))
        self.zero_point.copy_(torch.as_tensor(zero_point))
        if self.limit is not None:
            # engines drop a clipping only where no code lies beyond it
            most = torch.tensor(self.limit / (self.format.high if self.bits == 8 else self.format.high + 1))
            self.scale.clamp_(max=float(torch.nextafter(most, torch.tensor(0.0))))

    @torch.no_grad()
    def _observe(self, x: Tensor) -> None:
        """Calibration gathers; training moves the scale."""
        if not self.quantizing:
            self.observer(x)
        elif self.training and self.fixed_reach is None and (self.averaging > 0 or not self.ready):
            if not self.ready:
                self.observer(x)
                self.finish()
                return
            low, high = torch.aminmax(x.detach())
            span = self.format.high - self.format.low
            codes = torch.where(self.zero_point == self.format.low, span, span / 2)
            seen = torch.maximum(-low, high).float() / codes
            self._set(torch.lerp(self.scale, seen, self.averaging), self.zero_point)


class WeightQuantizer(nn.Module):
    """One scale an output channel, from the weights as they are; keeps nothing."""

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits
        self.high = 2 ** (bits - 1) - 1
        self.active = True
        self.quantizing = False

    @torch.no_grad()
    def scale(self, weight: Tensor, axis: int, bias: Tensor | None, source_scale: Tensor) -> Tensor:
        """[C]. A dead channel gets a scale at which its bias, a multiple of source_scale times it, has 32 bits."""
        greatest = weight.detach().abs().amax([d for d in range(weight.dim()) if d != axis]) / self.high
        scale = torch.maximum(greatest, greatest.max() * CHANNEL_FLOOR).clamp(min=SCALE_FLOOR)
        if bias is not None:
            needed = bias.detach().abs() / (source_scale * BIAS_LIMIT)
            if needed.numel() != scale.numel():  # a transposed convolution in groups: channels share scales
                needed = needed.view(-1, scale.numel()).amax(0)
            scale = torch.maximum(scale, needed)
        return scale

    def forward(self, weight: Tensor, scale: Tensor, axis: int) -> Tensor:
        bound = torch.tensor(float(self.high), device=weight.device)
        return fake_quantize(weight, along(scale, weight.dim(), axis), -bound, bound)

    @torch.no_grad()
    def codes(self, weight: Tensor, scale: Tensor, axis: int) -> Tensor:
        ratio = weight.detach() / along(scale, weight.dim(), axis)
        return ratio.round().clamp(-self.high, self.high).to(torch.int8)


def along(values: Tensor, dims: int, axis: int) -> Tensor:
    """[C] -> [1, .., C, .., 1], to be broadcast along `axis`."""
    shape = [1] * dims
    shape[axis] = -1
    return values.reshape(shape)


def bias_codes(bias: Tensor, scale: Tensor) -> Tensor:
    """A bias in units of the products: round half to even of bias / scale, as float."""
    return (bias / scale).round()
