"""The fixed-point network: a graph whose weights are int8, whose biases are int32, computed with integers.

`FixedPoint` runs it by the rules of `integers`. While it is `exporting`, it is a graph of floats in which standard
QuantizeLinear and DequantizeLinear operators say the same to an engine.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, fx, nn

from tltpy.quant.execute import Execution, FixedQuantizer, FixedWeighted
from tltpy.quant.fake import ActivationQuantizer
from tltpy.quant.operators import SEVERAL, SHARE
from tltpy.quant.quantized import Op, Quantized
from tltpy.quant.settings import Settings
from tltpy.quant.weighted import Weighted


class FixedPoint(nn.Module):
    """{name: Tensor} -> {name: Tensor} of floats that stand for codes. Its state is codes, scales and zero points, and
    fits every FixedPoint of the same network and settings."""

    def __init__(
        self,
        graph: fx.GraphModule,
        inputs: tuple[str, ...],
        outputs: tuple[str, ...],
        ops: tuple[Op, ...],
        settings: Settings,
    ) -> None:
        super().__init__()
        self.graph = graph
        self.inputs, self.outputs = inputs, outputs
        self.ops, self.settings = ops, settings
        self._exporting = False

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        values = [inputs[name] for name in self.inputs]
        found = self.graph(*values) if self._exporting else Execution(self.graph).run(*values)
        return dict(zip(self.outputs, found, strict=True))

    @torch.no_grad()
    def trace(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Name of a quantizer (`Op.quantizers`) -> the value that it gives, for every one that stands behind an op."""
        execution = Execution(self.graph, trace=True)
        execution.run(*(inputs[name] for name in self.inputs))
        return execution.traced

    @contextmanager
    def exporting(self) -> Iterator[None]:
        """Within, torch.onnx.export of a module that holds this one writes standard operators, set 21 or newer."""
        self._exporting = True
        try:
            yield
        finally:
            self._exporting = False


@torch.no_grad()
def to_fixed_point(quantized: Quantized) -> FixedPoint:
    """The same network in integers; scales that were never set make a network of the same shape for a state to fill."""
    source = copy.deepcopy(quantized).eval().requires_grad_(False)
    source.fold()
    module = source.graph
    _share_codes(module)
    _replace_parts(module, source)
    _tell_neighbours(module)
    module.graph.lint()
    module.recompile()
    return FixedPoint(module, source.inputs, source.outputs, source.ops, source.settings).eval()


def _share_codes(module: fx.GraphModule) -> None:
    """Engines keep codes through an operator that moves values when a quantizer stands on both sides of it."""
    quantizer_of: dict[fx.Node, str] = {}
    graph = module.graph
    for node in list(graph.nodes):
        if node.op == "call_module" and isinstance(module.get_submodule(str(node.target)), ActivationQuantizer):
            quantizer_of[node] = str(node.target)
        elif node.op == "call_function" and node.target in SHARE and node.args[0] in quantizer_of:
            name = quantizer_of[node.args[0]]
            quantizer_of[node] = name
            if node.target in SEVERAL:
                continue
            with graph.inserting_after(node):
                again = graph.call_module(name, (node,))
            node.replace_all_uses_with(again, delete_user_cb=lambda user, again=again: user is not again)
            quantizer_of[again] = name


def _replace_parts(module: fx.GraphModule, source: Quantized) -> None:
    active = {name for name, part in source.activation_quantizers().items() if part.active}
    for node in list(module.graph.nodes):
        if node.op != "call_module":
            continue
        name = str(node.target)
        part = module.get_submodule(name)
        if isinstance(part, Weighted) and part.integer:
            module.set_submodule(name, FixedWeighted.of(part))
        elif isinstance(part, ActivationQuantizer) and name in active:
            module.set_submodule(name, FixedQuantizer.of(part))
        elif isinstance(part, ActivationQuantizer):
            node.replace_all_uses_with(node.args[0])
            module.graph.erase_node(node)
    module.delete_all_unused_submodules()


def _tell_neighbours(module: fx.GraphModule) -> None:
    """A linear layer of many dimensions is exported as one of two, between the quantizers of its input and output."""
    for node in module.graph.nodes:
        if node.op != "call_module":
            continue
        part = module.get_submodule(str(node.target))
        users = [user for user in node.users if user.op == "call_module"]
        if isinstance(part, FixedWeighted) and len(node.users) == len(users) == 1:
            before, behind = node.args[0], module.get_submodule(str(users[0].target))
            assert isinstance(before, fx.Node)
            quantizer = module.get_submodule(str(before.target)) if before.op == "call_module" else None
            if isinstance(quantizer, FixedQuantizer) and isinstance(behind, FixedQuantizer):
                part.between = (quantizer, behind)
