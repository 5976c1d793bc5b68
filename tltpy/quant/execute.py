"""Parts of the fixed-point graph, and how it runs on integers.

Each part's own `forward` is what an engine is told when the graph is exported; `Execution` reads the parts' integers.
"""

from typing import Any

import torch
from torch import Tensor, fx, nn

from tltpy.quant.fake import FORMATS, ActivationQuantizer
from tltpy.quant.integers import Codes, Grid, Pair, Parts, Products, floats, to_codes
from tltpy.quant.operators import OWN, SEVERAL, SHARE, A
from tltpy.quant.weighted import Product, Weighted

OPSET = 21  # the first whose quantizing operators know 16 bits


class FixedQuantizer(nn.Module):
    """Scale and zero point of codes, whose type is that of the zero point."""

    scale: Tensor
    zero_point: Tensor

    def __init__(self, scale: Tensor, zero_point: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", scale)
        self.register_buffer("zero_point", zero_point)

    @classmethod
    def of(cls, quantizer: ActivationQuantizer) -> "FixedQuantizer":
        scale = quantizer.positive_scale().detach().float().reshape(()).clone()
        if quantizer.limit is not None:
            most = torch.tensor(quantizer.limit / quantizer.format.high)
            scale = scale.clamp(max=float(torch.nextafter(most, torch.tensor(0.0))))
        return cls(scale, quantizer.zero_point.reshape(()).to(quantizer.format.dtype))

    @property
    def grid(self) -> Grid:
        form = next(form for form in FORMATS.values() if form.dtype == self.zero_point.dtype)
        return Grid(self.scale, int(self.zero_point), form.low, form.high)

    def forward(self, x: Tensor) -> Tensor:
        parameters = (self.scale, self.zero_point)
        codes = torch.onnx.ops.symbolic(
            "::QuantizeLinear", (x, *parameters), {}, dtype=self.zero_point.dtype, shape=x.shape, version=OPSET
        )
        return _dequantized(codes, *parameters)


class FixedWeighted(nn.Module):
    """A product with int8 weights [-127, 127] and an int32 bias in units of input scale * weight scale."""

    weight: Tensor
    weight_scale: Tensor
    weight_zero: Tensor
    bias: Tensor | None
    bias_scale: Tensor
    bias_zero: Tensor

    def __init__(
        self, product: Product, weight: Tensor, scale: Tensor, bias: Tensor | None, bias_scale: Tensor
    ) -> None:
        super().__init__()
        self.product = product
        self.between: tuple[FixedQuantizer, FixedQuantizer] | None = None
        self.register_buffer("weight", weight)
        self.register_buffer("weight_scale", scale)
        # engines want the zeros spelled out
        self.register_buffer("weight_zero", torch.zeros_like(scale, dtype=torch.int8))
        self.register_buffer("bias", bias)
        if bias is not None:
            self.register_buffer("bias_scale", bias_scale)
            self.register_buffer("bias_zero", torch.zeros_like(bias))

    @classmethod
    def of(cls, part: Weighted) -> "FixedWeighted":
        assert part.source is not None
        weight, bias = part.folded()
        scale = part.scale(weight, bias).float()
        codes = part.weight_quantizer.codes(weight, scale, part.product.axis)
        if bias is None:
            return cls(part.product, codes, scale, None, scale)
        unit = part.product.bias_scale(scale, bias, FixedQuantizer.of(part.source).scale)
        return cls(part.product, codes, scale, (bias.detach() / unit).round().to(torch.int32), unit)

    def products(self, x: Codes) -> Products:
        bias = None if self.bias is None else self.bias.double()
        values = self.product(x.centred(), self.weight.double(), bias)
        scale = self.weight_scale
        scale = scale.repeat(values.shape[self.product.channel] // len(scale))
        found = Products(values, x.grid.scale, scale, self.product.channel)
        return found.rectified() if self.product.activation else found

    def forward(self, x: Tensor) -> Tensor:
        weight = _dequantized(self.weight, self.weight_scale, self.weight_zero, self.product.axis)
        bias = None if self.bias is None else _dequantized(self.bias, self.bias_scale, self.bias_zero, 0)
        if self.product.kind != "linear" or x.dim() == 2 or self.between is None:
            return self.product.activate(self.product(x, weight, bias))
        before, behind = self.between  # engines have integer kernels for matrices alone
        flat = before(x.reshape(-1, x.shape[-1]))
        y = behind(self.product.activate(self.product(flat, weight, bias)))
        return y.reshape(*x.shape[:-1], self.weight.shape[0])


class Execution(fx.Interpreter):
    """Runs a fixed-point graph; with `trace`, `traced` holds what each quantizer behind an op gave."""

    def __init__(self, graph: fx.GraphModule, *, trace: bool = False) -> None:
        super().__init__(graph)
        self.trace = trace
        self.traced: dict[str, Tensor] = {}

    def call_module(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        part = self.fetch_attr(target)
        if isinstance(part, FixedQuantizer):
            found = to_codes(args[0], part.grid)
            if self.trace and target not in self.traced:
                self.traced[target] = found.floats()
            return found
        if isinstance(part, FixedWeighted):
            return part.products(args[0])
        return part(floats(args[0]))

    def call_function(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        kind = OWN.get(target)
        if target in SHARE and isinstance(args[0], Codes):
            return _moved(target, args[0], args[1:], kwargs)
        if kind in ("add", "mul") and not kwargs and all(_eight(value) for value in args):
            return Pair(kind, *args)
        if kind == "cat" and all(isinstance(part, Codes) for part in args[0]):
            return Parts(tuple(args[0]), int(args[1]) if len(args) > 1 else 0)
        if kind == "matmul" and all(_eight(value) for value in args):
            first, second = args
            return Products(target(first.centred(), second.centred()), first.grid.scale, second.grid.scale[None], -1)
        if isinstance(args[0] if args else None, Pair):
            clipped = _clipped(target, args)
            if clipped:
                return Pair(args[0].kind, args[0].first, args[0].second, clipped)
        return target(*fx.node.map_aggregate(args, _plain), **{key: _plain(value) for key, value in kwargs.items()})

    def output(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return tuple(floats(value) for value in args[0])


def _plain(value: Any) -> Any:
    return floats(value) if isinstance(value, Codes | Products | Pair | Parts) else value


def _eight(value: Any) -> bool:
    return isinstance(value, Codes) and value.grid.eight


def _clipped(target: Any, args: tuple[Any, ...]) -> str | None:
    if target is A.relu.default:
        return "relu"
    clips = target is A.relu6.default or (target is A.hardtanh.default and tuple(args[1:3]) == (0.0, 6.0))
    return "relu6" if clips else None


def _moved(target: Any, codes: Codes, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    found = target(codes.values, *args, **kwargs)
    if target in SEVERAL:
        return [Codes(part, codes.grid) for part in found]
    return Codes(found, codes.grid)


def _dequantized(codes: Tensor, scale: Tensor, zero: Tensor, axis: int | None = None) -> Tensor:
    attributes: dict[str, Any] = {} if axis is None else {"axis": axis}
    return torch.onnx.ops.symbolic(
        "::DequantizeLinear", (codes, scale, zero), attributes, dtype=torch.float32, shape=codes.shape, version=OPSET
    )
