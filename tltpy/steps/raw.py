"""The raw outputs of networks in integers, before decoding and suppression: are they the same codes in an engine?"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from tltpy.deploy import half, onnx
from tltpy.deploy.runtime import open_runtime
from tltpy.deploy.sessions import QUANTIZED
from tltpy.quant.execute import FixedQuantizer
from tltpy.quant.fixed import FixedPoint

Outputs = Callable[[dict[str, Tensor]], list[Tensor]]


@dataclass
class Codes:
    """Counts equal codes of a fixed-point network and of a second one; batches are added one by one."""

    network: FixedPoint
    other: Outputs
    equal: int = 0
    total: int = 0
    steps: float = 0.0
    scales: dict[str, float] = field(default_factory=dict)

    @torch.inference_mode()
    def add(self, inputs: dict[str, Tensor]) -> None:
        """Raw outputs of both on `inputs`; of equal shapes the nearest are compared."""
        self.scales = self.scales or output_scales(self.network)
        found = self.other(inputs)
        for name, wanted in self.network(inputs).items():
            alike = [value.to(wanted.device) for value in found if value.shape == wanted.shape]
            if not alike:
                continue
            nearest = min(alike, key=lambda value: float((value - wanted).abs().sum()))
            apart = ((nearest - wanted) / self.scales[name]).abs()
            self.steps = max(self.steps, float(apart.max()))
            self.equal += int((apart < 0.5).sum())
            self.total += apart.numel()

    def result(self) -> dict[str, Any]:
        """bit_equal: share of equal codes; max_steps: the largest difference, in steps of the output's scale."""
        return {"bit_equal": self.equal / max(self.total, 1), "max_steps": round(self.steps), "values": self.total}


def output_scales(network: FixedPoint) -> dict[str, float]:
    """One step of each output."""
    node = next(node for node in network.graph.graph.nodes if node.op == "output")
    found = {}
    for name, value in zip(network.outputs, node.args[0], strict=True):
        part = network.graph.get_submodule(str(value.target)) if value.op == "call_module" else None
        found[name] = float(part.scale) if isinstance(part, FixedQuantizer) else 1.0
    return found


def of_graph(content: bytes) -> Outputs | None:
    """The raw outputs of an ONNX graph with integer layers; None for another graph."""
    if QUANTIZED not in content:
        return None
    model = onnx.read(content)
    names = half.boundary(model)
    runtime = open_runtime(onnx.with_outputs(content, names))

    def run(inputs: dict[str, Tensor]) -> list[Tensor]:
        found = runtime(inputs)
        return [found[name] for name in names]

    return run


def of_module(module: nn.Module) -> FixedPoint | None:
    """The fixed-point network within a module."""
    return next((part for part in module.modules() if isinstance(part, FixedPoint)), None)
