"""Small networks, made quantized, and what ONNX Runtime makes of them."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tltpy.deploy import onnx as graphs
from tltpy.deploy.sessions import DISABLED
from tltpy.quant.fixed import FixedPoint
from tltpy.quant.prepare import prepare
from tltpy.quant.quantized import Quantized
from tltpy.quant.settings import Settings

SIZE = (2, 8, 10, 14)


class Applied(nn.Module):
    """A function of a tensor between convolutions of 8 to 16 channels and 16 to 16; {"x": ...} -> {"y": ...}."""

    def __init__(self, function: Callable[["Applied", Tensor], Tensor], **parts: nn.Module) -> None:
        super().__init__()
        self.function = function
        self.a = nn.Conv2d(8, 16, 3, padding=1)
        self.b = nn.Conv2d(16, 16, 1)
        self.linear = nn.Linear(16, 16)
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"y": self.function(self, inputs["x"])}


class Detector(nn.Module):
    """Residual blocks of both kinds, a neck that concatenates, two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = unit(3, 16, 2, nn.LeakyReLU(0.1, inplace=True))
        self.one, self.two = unit(16, 16, 1, nn.LeakyReLU(0.1, inplace=True)), unit(16, 16, 1)
        self.down = unit(16, 24, 2, nn.ReLU(inplace=True))
        self.shortcut = unit(24, 24, 1)
        self.lateral = unit(24, 12, 1, nn.ReLU6(inplace=True))
        self.coarse, self.fine = nn.Conv2d(24, 9, 1), nn.Conv2d(28, 9, 1)

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        x = self.stem(inputs["image"])
        x = x + self.two(self.one(x))
        y = self.down(x)
        y = F.relu(y + self.shortcut(y))
        up = F.interpolate(self.lateral(y), scale_factor=2.0, mode="nearest")
        return {"coarse": self.coarse(y), "fine": self.fine(torch.cat([up, x], 1))}


def unit(before: int, after: int, stride: int, activation: nn.Module | None = None) -> nn.Sequential:
    parts = [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after)]
    return nn.Sequential(*parts, *([activation] if activation else []))


def images(seed: int, count: int, size: tuple[int, ...] = (2, 3, 24, 40)) -> list[dict[str, Tensor]]:
    return batches(seed, count, size, "image")


def settled(network: nn.Module, seen: list[dict[str, Tensor]]) -> nn.Module:
    network.train()
    with torch.no_grad():
        for batch in seen:
            network(batch)
    return network.eval()


def batches(seed: int = 0, count: int = 4, size: tuple[int, ...] = SIZE, name: str = "x") -> list[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    return [{name: torch.randn(size, generator=generator)} for _ in range(count)]


def calibrated(network: nn.Module, seen: list[dict[str, Tensor]], **settings: Any) -> Quantized:
    quantized = prepare(network.eval(), seen[0], Settings(**{"observer": "min_max", **settings}))
    calibrate(quantized, seen)
    return quantized


def calibrate(quantized: Quantized, seen: list[dict[str, Tensor]]) -> None:
    quantized.set_mode(observe=True, quantize=False)
    with torch.no_grad():
        for batch in seen:
            quantized(batch)
    quantized.finish()
    quantized.set_mode(observe=False, quantize=True)


def exported(fixed: FixedPoint, example: dict[str, Tensor]) -> bytes:
    twice = {name: value if len(value) > 1 else torch.cat([value, value]) for name, value in example.items()}
    with fixed.exporting():
        return graphs.write(fixed, twice, fixed.outputs, metadata={}, opset=21)


class Engine:
    """A graph in ONNX Runtime; `operators` counts those of the optimised graph."""

    def __init__(self, content: bytes, folder: Any, *, precise: bool = True, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        options.optimized_model_filepath = str(folder / "optimised.onnx")
        if precise:
            options.add_session_config_entry("session.x64quantprecision", "1")
        self.session = onnxruntime.InferenceSession(
            content, options, providers=["CPUExecutionProvider"], disabled_optimizers=DISABLED
        )
        optimised = onnx.load(options.optimized_model_filepath)
        self.operators = Counter(node.op_type for node in optimised.graph.node)
        self.names = [value.name for value in self.session.get_outputs()]

    def __call__(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        found = self.session.run(None, {name: value.numpy() for name, value in inputs.items()})
        return {name: torch.from_numpy(np.asarray(value)) for name, value in zip(self.names, found, strict=True)}


def steps_apart(fixed: FixedPoint, engine: Engine, seen: list[dict[str, Tensor]]) -> tuple[float, float]:
    """Largest difference in steps of the outputs' scales, and the share of values that differ."""
    largest, differing, count = 0.0, 0, 0
    with torch.no_grad():
        for batch in seen:
            ours, theirs = fixed(batch), engine(batch)
            for name, scale in output_scales(fixed).items():
                apart = ((ours[name] - theirs[name]) / scale).abs()
                largest = max(largest, float(apart.max()))
                differing += int((apart > 0.5).sum())
                count += apart.numel()
    return largest, differing / count


def output_scales(fixed: FixedPoint) -> dict[str, float]:
    node = next(node for node in fixed.graph.graph.nodes if node.op == "output")
    return {
        name: float(fixed.graph.get_submodule(str(value.target)).scale)
        for name, value in zip(fixed.outputs, node.args[0], strict=True)
    }
