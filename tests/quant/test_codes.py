"""The fixed-point network against ONNX Runtime, operator by operator: the same codes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from quantizing import (
    Applied,
    Detector,
    Engine,
    batches,
    calibrated,
    exported,
    images,
    output_scales,
    settled,
    steps_apart,
)
from torch import Tensor, nn
from torch.nn import functional as F

from tltpy.quant.fixed import FixedPoint, to_fixed_point


def tokens(x: Tensor) -> Tensor:
    return x.flatten(2).transpose(1, 2)


def conv(*args: int, **options: int) -> Callable[[], nn.Module]:
    return lambda: nn.Conv2d(*args, **options)


ZOO: dict[str, Any] = {  # name: the network, or that and a part of its own
    "conv": lambda m, x: m.b(m.a(x)),
    "relu": lambda m, x: m.b(F.relu(m.a(x))),
    "leaky_relu": lambda m, x: m.b(F.leaky_relu(m.a(x), 0.1)),
    "relu6": lambda m, x: m.b(F.relu6(m.a(x))),
    "relu6_alone": lambda m, x: m.b(F.relu6(m.a(x) * 4)),
    "silu": lambda m, x: m.b(F.silu(m.a(x))),
    "sigmoid": lambda m, x: m.b(torch.sigmoid(m.a(x))),
    "tanh": lambda m, x: m.b(torch.tanh(m.a(x))),
    "gelu": lambda m, x: m.b(F.gelu(m.a(x))),
    "hardswish": lambda m, x: m.b(F.hardswish(m.a(x))),
    "add": lambda m, x: m.b(m.a(x) + m.b(m.a(x))),
    "add_relu": lambda m, x: m.b(F.relu(m.a(x) + m.b(m.a(x)))),
    "add_constant": lambda m, x: m.b(m.a(x) * 2 + 1),
    "sub": lambda m, x: m.b(m.a(x) - m.b(m.a(x))),
    "mul": lambda m, x: m.b(m.a(x) * torch.sigmoid(m.b(m.a(x)))),
    "excitation": lambda m, x: m.b(m.a(x) * torch.sigmoid(F.adaptive_avg_pool2d(m.b(m.a(x)), 1))),
    "cat": (lambda m, x: m.e(torch.cat([m.a(x), m.b(m.a(x))], 1)), conv(32, 8, 1)),
    "two_narrow": (lambda m, x: m.e(m.e(m.a(x)[:, :4])), conv(4, 4, 1)),
    "depthwise": (lambda m, x: m.b(m.e(m.a(x))), conv(16, 16, 3, padding=1, groups=16)),
    "grouped": (lambda m, x: m.b(m.e(m.a(x))), conv(16, 16, 3, padding=1, groups=4)),
    "dilated": (lambda m, x: m.b(m.e(m.a(x))), conv(16, 16, 3, padding=2, dilation=2)),
    "strided": (lambda m, x: m.b(m.e(m.a(x))), conv(16, 16, 3, padding=1, stride=2)),
    "no_bias": (lambda m, x: m.b(m.e(m.a(x))), conv(16, 16, 3, bias=False)),
    "max_pool": lambda m, x: m.b(F.max_pool2d(m.a(x), 2)),
    "avg_pool": lambda m, x: m.b(F.avg_pool2d(m.a(x), 2)),
    "global_pool": lambda m, x: m.b(F.adaptive_avg_pool2d(m.a(x), 1)),
    "nearest": lambda m, x: m.b(F.interpolate(m.a(x), scale_factor=2.0)),
    "bilinear": lambda m, x: m.b(F.interpolate(m.a(x), scale_factor=2.0, mode="bilinear")),
    "linear": lambda m, x: F.relu(m.linear(F.relu(m.linear(tokens(m.a(x)))))),
    "classifier": lambda m, x: m.linear(m.a(x).mean((2, 3))),
    "layer_norm": lambda m, x: m.linear(F.layer_norm(tokens(m.a(x)), (16,))),
    "matmul": lambda m, x: torch.matmul(m.a(x).flatten(2), tokens(m.b(m.a(x)))),
    "chunk": (lambda m, x: m.e(m.a(x).chunk(2, 1)[1] + m.a(x).chunk(2, 1)[0]), conv(8, 8, 1)),
    "pixel_shuffle": (lambda m, x: m.e(F.pixel_shuffle(m.a(x), 2)), conv(4, 8, 1)),
    "grid_sample": lambda m, x: m.b(
        F.grid_sample(m.a(x), torch.tanh(m.b(m.a(x))[:, :2]).permute(0, 2, 3, 1), align_corners=False)
    ),
    "unknown": lambda m, x: m.b(m.a(x).abs()),
    "softmax": lambda m, x: m.linear(torch.softmax(tokens(m.a(x)), -1)),
    "transposed": (lambda m, x: m.b(m.e(m.a(x))), lambda: nn.ConvTranspose2d(16, 16, 2, 2)),
}
ONE_STEP = {"softmax", "transposed"}  # an integer softmax; an operator without an integer kernel


class Zoo(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.animals = nn.ModuleDict()
        for name, entry in ZOO.items():
            function, part = entry if isinstance(entry, tuple) else (entry, None)
            self.animals["_" + name] = Applied(function, **({"e": part()} if part else {}))

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"of_" + name: self.animals["_" + name](inputs)["y"] for name in ZOO}


class Compared(NamedTuple):
    fixed: FixedPoint
    engine: Engine
    ours: dict[str, Tensor]
    theirs: dict[str, Tensor]


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Compared:
    torch.manual_seed(1)
    seen = batches()
    fixed = to_fixed_point(calibrated(Zoo(), seen))
    engine = Engine(exported(fixed, seen[0]), tmp_path_factory.mktemp("zoo"))
    batch = batches(9, 1, (3, 8, 10, 14))[0]  # another size of batch
    with torch.no_grad():
        return Compared(fixed, engine, fixed(batch), engine(batch))


@pytest.mark.slow
@pytest.mark.parametrize("name", ZOO)
def test_operator(zoo: Compared, name: str) -> None:
    ours, theirs = zoo.ours["of_" + name], zoo.theirs["of_" + name]
    assert ours.shape == theirs.shape
    apart = ((ours - theirs) / output_scales(zoo.fixed)["of_" + name]).abs().round()
    assert int(apart.max()) <= (1 if name in ONE_STEP else 0)
    assert len(ours.unique()) > 20


@pytest.mark.slow
def test_operators_of_the_engine_are_integer(zoo: Compared) -> None:
    found = zoo.engine.operators
    assert found["Conv"] == found["FusedConv"] == found["Gemm"] == found["MatMul"] == found["LeakyRelu"] == 0
    assert found["Relu"] == found["Clip"] == found["Concat"] == found["Add"] - 1 == 0  # one adds a constant
    assert found["QLinearConv"] > 50 and found["QGemm"] == 5 and found["QLinearAdd"] == 3
    assert found["QLinearConcat"] == found["QLinearLeakyRelu"] == found["QLinearMatMul"] == 1


@pytest.fixture(scope="module")
def detector() -> nn.Module:
    torch.manual_seed(2)
    return settled(Detector(), images(0, 6))


def test_a_detector_has_the_same_codes_at_another_size(detector: nn.Module, tmp_path: Path) -> None:
    fixed = to_fixed_point(calibrated(detector, images(1, 3), keep_batch_norm=True))
    for size in ((3, 3, 24, 40), (1, 3, 32, 16)):
        batch = images(5, 2, size)
        content = exported(fixed, batch[0])
        for threads in (1, 2):
            engine = Engine(content, tmp_path, threads=threads)
            assert steps_apart(fixed, engine, batch) == (0, 0)
    assert engine.operators["Conv"] == engine.operators["FusedConv"] == 0
    assert engine.operators["QLinearConv"] == 8 and engine.operators["QLinearAdd"] == 2


def test_seven_bits_need_no_promise_of_the_processor(detector: nn.Module, engine_of: Callable[..., Engine]) -> None:
    fixed = to_fixed_point(calibrated(detector, images(1, 3), weight_bits=7))
    batch = images(5, 2)
    assert steps_apart(fixed, engine_of(fixed, batch[0], precise=False), batch) == (0, 0)


def test_an_op_of_sixteen_bits_is_at_most_one_step_apart(
    detector: nn.Module, engine_of: Callable[..., Engine]
) -> None:
    fixed = to_fixed_point(calibrated(detector, images(1, 3), int16=("coarse:conv2d", "lateral.*")))
    batch = images(5, 2)
    assert steps_apart(fixed, engine_of(fixed, batch[0]), batch)[0] <= 1


def test_a_network_of_sixteen_bits_is_a_few_of_its_steps_apart(
    detector: nn.Module, engine_of: Callable[..., Engine]
) -> None:
    # engines compute these regions in float32; a code that falls to the other side moves those behind it
    fixed = to_fixed_point(calibrated(detector, images(1, 3), int16=(".*",)))
    batch = images(5, 2)
    largest, share = steps_apart(fixed, engine_of(fixed, batch[0]), batch)
    assert largest <= 5 and share < 0.1  # of 65536, an 8-bit step is 257 of these


def test_ops_kept_in_float(detector: nn.Module, engine_of: Callable[..., Engine]) -> None:
    fixed = to_fixed_point(calibrated(detector, images(1, 3), keep_float=("coarse:conv2d", "lateral.0:conv2d")))
    batch = images(5, 2)[0]
    engine = engine_of(fixed, batch)
    with torch.no_grad():
        ours, theirs = fixed(batch), engine(batch)
    assert torch.allclose(ours["coarse"], theirs["coarse"], atol=1e-5)
    assert torch.allclose(ours["fine"], theirs["fine"], atol=1e-5)
    assert engine.operators["Conv"] + engine.operators["FusedConv"] == 2


class Whole(nn.Module):
    """What follows the raw outputs stays float."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        raw = self.network(inputs)
        return {"scores": raw["coarse"].sigmoid().flatten(1).amax(1), "fine": raw["fine"].exp()}


def test_within_a_larger_module(detector: nn.Module, tmp_path: Any) -> None:
    from tltpy.deploy import onnx as graphs

    fixed = to_fixed_point(calibrated(detector, images(1, 3)))
    whole = Whole(fixed).eval()
    batch = images(5, 1)[0]
    with fixed.exporting():
        content = graphs.write(whole, batch, ("scores", "fine"), metadata={}, opset=21)
    found = Engine(content, tmp_path)(batch)
    with torch.no_grad():
        expected = whole(batch)
    for name, value in expected.items():
        assert torch.allclose(found[name], value, rtol=1e-5)
