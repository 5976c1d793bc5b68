"""Convolutions and linear layers with quantized weights, their batch normalization folded in or alive.

While it is alive (Jacob et al. 2018, section 3.2), the weights are quantized as they will be once folded, scaled by
gamma / sqrt(running variance), and the product is scaled back for the normalization to learn from.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tltpy.quant.fake import ActivationQuantizer, WeightQuantizer, along, bias_codes

FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "conv2d": F.conv2d,
    "conv_transpose2d": F.conv_transpose2d,
    "linear": F.linear,
}
ACTIVATIONS: dict[str | None, Callable[[Tensor], Tensor]] = {None: lambda x: x, "relu": F.relu, "relu6": F.relu6}
LEAST_RATIO = 1e-6  # a channel that normalization silences is not divided by 0


@dataclass(frozen=True)
class Product:
    """What multiplies: one of FUNCTIONS, its arguments after the bias, and what follows: relu, relu6 or nothing."""

    kind: str
    arguments: tuple[Any, ...] = ()
    activation: str | None = None

    @property
    def axis(self) -> int:
        """Of the output channels in the weights."""
        return 1 if self.kind == "conv_transpose2d" else 0

    @property
    def channel(self) -> int:
        """Of the channels in the output."""
        return -1 if self.kind == "linear" else 1

    def __call__(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return FUNCTIONS[self.kind](x, weight, bias, *self.arguments)

    def activate(self, x: Tensor) -> Tensor:
        return ACTIVATIONS[self.activation](x)

    def bias_scale(self, scale: Tensor, bias: Tensor, source_scale: Tensor) -> Tensor:
        """One scale a value of the bias."""
        return (source_scale * scale).repeat(bias.numel() // scale.numel())


class Weighted(nn.Module):
    """`source` quantizes what it is fed. `frozen`: the normalization keeps its statistics in training too."""

    def __init__(
        self,
        product: Product,
        weight: nn.Parameter,
        bias: nn.Parameter | None,
        *,
        bits: int,
        batch_norm: nn.BatchNorm2d | None = None,
        frozen: bool = False,
    ) -> None:
        super().__init__()
        self.product = product
        self.weight = weight
        self.register_parameter("bias", bias)
        self.batch_norm = batch_norm
        self.frozen = frozen
        self.weight_quantizer = WeightQuantizer(bits)
        # in a tuple, or it would become a part of this module too
        self._source: tuple[ActivationQuantizer, ...] = ()

    @property
    def source(self) -> ActivationQuantizer | None:
        return self._source[0] if self._source else None

    def feed(self, source: ActivationQuantizer) -> None:
        self._source = (source,)

    @property
    def integer(self) -> bool:
        """Whether it computes on codes."""
        return self.weight_quantizer.active and self.source is not None and self.source.active

    def forward(self, x: Tensor) -> Tensor:
        if self.batch_norm is not None and self.batch_norm.training:
            return self.product.activate(self._live(x, self.batch_norm))
        weight, bias = self.folded()
        if self._rounds():
            scale = self.scale(weight, bias)
            weight = self.weight_quantizer(weight, scale, self.product.axis)
            if bias is not None:
                unit = self.product.bias_scale(scale, bias, self._source_scale())
                bias = bias + (bias_codes(bias, unit) * unit - bias).detach()
        return self.product.activate(self.product(x, weight, bias))

    def folded(self) -> tuple[Tensor, Tensor | None]:
        """Weights and bias of the one layer that this and its normalization are."""
        if self.batch_norm is None:
            return self.weight, self.bias
        bn = self.batch_norm
        assert bn.running_mean is not None and bn.running_var is not None
        ratio = bn.weight / torch.sqrt(bn.running_var + bn.eps)
        shift = -bn.running_mean if self.bias is None else self.bias - bn.running_mean
        return self.weight * along(ratio, self.weight.dim(), self.product.axis), bn.bias + shift * ratio

    @torch.no_grad()
    def fold(self) -> None:
        """The normalization becomes part of weights and bias; outputs in evaluation mode stay what they are."""
        if self.batch_norm is None:
            return
        weight, bias = self.folded()
        assert bias is not None
        trained = self.weight.requires_grad
        self.weight = nn.Parameter(weight.clone(), requires_grad=trained)
        self.bias = nn.Parameter(bias.clone(), requires_grad=trained or self.batch_norm.bias.requires_grad)
        self.batch_norm = None

    def scale(self, weight: Tensor, bias: Tensor | None) -> Tensor:
        return self.weight_quantizer.scale(weight, self.product.axis, bias, self._source_scale())

    def train(self, mode: bool = True) -> "Weighted":
        super().train(mode)
        if self.frozen and self.batch_norm is not None:
            self.batch_norm.eval()
        return self

    def _live(self, x: Tensor, bn: nn.BatchNorm2d) -> Tensor:
        weight, bias = self.folded()
        assert bn.running_var is not None
        ratio = (bn.weight / torch.sqrt(bn.running_var + bn.eps)).detach()
        ratio = torch.where(ratio.abs() < LEAST_RATIO, LEAST_RATIO, ratio)
        weight = self.weight * along(ratio, self.weight.dim(), self.product.axis)
        if self._rounds():
            weight = self.weight_quantizer(weight, self.scale(weight, bias), self.product.axis)
        y = self.product(x, weight, None) / along(ratio, 4, 1)
        found: Tensor = bn(y if self.bias is None else y + along(self.bias, 4, 1))
        return found

    def _rounds(self) -> bool:
        source = self.source
        return self.weight_quantizer.quantizing and self.integer and source is not None and source.ready

    def _source_scale(self) -> Tensor:
        assert self.source is not None
        return self.source.positive_scale().detach()
