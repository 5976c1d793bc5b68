"""What a backend says of a graph: every operator that it refuses by name, and layers that stay in float."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnx as library
import pytest
from torch import nn

from tltpy.deploy import support
from tltpy.deploy.support import Problem, Support
from tltpy.errors import UsageError
from tltpy.log import Log
from tltpy.steps import model_check
from tltpy.steps.parts import Part
from tltpy.tasks.contract import Graph

helper, FLOAT = library.helper, library.TensorProto.FLOAT
WITHOUT_OPENVINO = pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="openvino is not installed")
BACKENDS = ["onnxruntime", pytest.param("openvino", marks=WITHOUT_OPENVINO)]
WITHOUT_TENSORRT = pytest.mark.skipif(importlib.util.find_spec("tensorrt") is not None, reason="tensorrt is installed")


def graph(nodes: list[Any], weights: dict[str, np.ndarray], out: list[Any], domains: tuple[str, ...] = ()) -> bytes:
    value = helper.make_tensor_value_info
    ports = [value("x", FLOAT, ["batch", 4, 16, 24])], [value("out", FLOAT, out)]
    stored = [library.numpy_helper.from_array(array, name) for name, array in weights.items()]
    opsets = [helper.make_opsetid("", 21), *(helper.make_opsetid(domain, 1) for domain in domains)]
    made = helper.make_model(helper.make_graph(nodes, "g", *ports, stored), opset_imports=opsets, ir_version=10)
    content: bytes = made.SerializeToString()
    return content


def quantized(zero_point: int = 128, kind: Any = np.uint8) -> bytes:
    """Two convolutions between quantized values, and a third that nothing quantizes."""
    rng = np.random.default_rng(0)
    weights: dict[str, np.ndarray] = {"s": np.array(0.05, np.float32), "z": np.array(zero_point, kind)}
    nodes = [helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q0"], "in:quantize"),
             helper.make_node("DequantizeLinear", ["q0", "s", "z"], ["f0"], "in:dequantize")]
    for index in (1, 2):
        weights |= {
            f"w{index}": rng.integers(-100, 100, (4, 4, 3, 3)).astype(np.int8),
            f"ws{index}": np.full(4, 0.01, np.float32), f"wz{index}": np.zeros(4, np.int8),
        }  # fmt: skip
        nodes += [
            helper.make_node("DequantizeLinear", [f"w{index}", f"ws{index}", f"wz{index}"], [f"wf{index}"], axis=0),
            helper.make_node(
                "Conv", [f"f{index - 1}", f"wf{index}"], [f"y{index}"], f"body.{index}:conv", pads=[1] * 4
            ),
            helper.make_node("QuantizeLinear", [f"y{index}", "s", "z"], [f"q{index}"], f"body.{index}:quantize"),
            helper.make_node("DequantizeLinear", [f"q{index}", "s", "z"], [f"f{index}"], f"body.{index}:dequantize"),
        ]
    weights["w3"] = rng.standard_normal((4, 4, 3, 3)).astype(np.float32)
    nodes.append(helper.make_node("Conv", ["f2", "w3"], ["out"], "head:conv", pads=[1] * 4))
    return graph(nodes, weights, ["batch", 4, 16, 24])


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_graph_that_runs(detector_onnx: bytes, backend: str) -> None:
    found = support.check(detector_onnx, backend)
    assert backend in found.asked and found.problems == () and found.floats == ()
    assert found.layers == {"float32": 2} and found.operators["Conv"] == 2


@pytest.mark.parametrize("backend", BACKENDS)
def test_layers_that_stay_in_float_are_named(backend: str) -> None:
    content = quantized()
    assert support.quantized(content)
    found = support.check(content, backend)
    assert found.layers == {"int8": 2, "float32": 1}
    assert [(one.node, one.reason) for one in found.floats] == [("head:conv", "computes in float32")]
    assert found.problems == ()


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_operator_that_does_not_run_is_named(backend: str) -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], "body:relu"),
        helper.make_node("Shrinkwrap", ["a"], ["b"], "body.odd:one", domain="com.example"),
        helper.make_node("Twirl", ["b"], ["out"], "head.odd:two", domain="com.example"),
    ]
    content = graph(nodes, {}, ["batch", 4, 16, 24], ("com.example",))
    found = support.check(content, backend)
    assert {one.operator for one in found.problems} & {"Shrinkwrap", "Twirl"}
    assert {one.node for one in found.problems} <= {"body.odd:one", "head.odd:two"}
    assert all(one.reason for one in found.problems) and found.layers == {}


def test_onnxruntime_names_all_that_it_has_no_kernel_for() -> None:
    """Standard operators in a type that its CPU part does not compute in."""
    value, half = helper.make_tensor_value_info, library.TensorProto.BFLOAT16
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], "body:relu"),
        helper.make_node("Softplus", ["a"], ["b"], "body:softplus"),
        helper.make_node("Erf", ["b"], ["out"], "head:erf"),
    ]
    shape = ["batch", 4]
    ports = [value("x", half, shape)], [value("out", half, shape)]
    made = helper.make_graph(nodes, "g", *ports, value_info=[value(name, half, shape) for name in "ab"])
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    found = support.check(model.SerializeToString(), "onnxruntime")
    assert len(found.problems) >= 2
    assert {one.node for one in found.problems} <= {"body:relu", "body:softplus", "head:erf"}


@WITHOUT_TENSORRT
def test_tensorrt_by_its_documentation(detector_onnx: bytes) -> None:
    found = support.check(detector_onnx, "tensorrt")
    assert "documented operators of TensorRT 10" in found.asked and found.problems == ()
    unsigned, shifted, fine = (
        support.check(content, "tensorrt").problems
        for content in (quantized(), quantized(3, np.int8), quantized(0, np.int8))
    )
    assert "values of uint8: it takes int8" in unsigned[0].reason and len(unsigned) == 6
    assert "a zero point that is not 0" in shifted[0].reason
    assert fine == ()
    many = np.array([5000], np.int64)
    nodes = [
        helper.make_node("TopK", ["x", "k"], ["v", "i"], "head:top"),
        helper.make_node("Det", ["v"], ["out"], "head:det"),
    ]
    told = support.check(graph(nodes, {"k": many}, ["batch", 4]), "tensorrt").problems
    assert [(one.node, one.reason) for one in told] == [("head:top", "a K above 3840"), ("head:det", "not listed")]


def test_tensorrt_that_is_installed_is_asked(detector_onnx: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    library: Any = ModuleType("tensorrt")
    parser = SimpleNamespace(parse=lambda content: False, num_errors=1, get_error=lambda index: "In node 3 (Erf): no")
    library.__version__ = "10.4.0"
    library.Logger = type("Logger", (), {"ERROR": 1, "__init__": lambda self, level: None})
    library.Builder = lambda logger: SimpleNamespace(create_network=lambda flags: None)
    library.OnnxParser = lambda network, logger: parser
    monkeypatch.setitem(sys.modules, "tensorrt", library)
    monkeypatch.setattr(support, "find_spec", lambda name: object())
    found = support.check(detector_onnx, "tensorrt")
    assert found.asked == "tensorrt 10.4.0" and found.problems[0].reason == "In node 3 (Erf): no"


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_check_of_a_quantized_graph_ends_with_its_float_layers(tmp_path: Path, backend: str) -> None:
    (tmp_path / "q.onnx").write_bytes(quantized())
    log = Log("tlt-test", quiet=True)
    request = model_check.ModelCheckRequest(task="yolo", cfg=None, model=tmp_path / "q.onnx", key=None, backend=backend)
    result = model_check.run(request, log)
    assert (result["precision"], result["offenders"]) == ("int8", 1)
    assert [one["name"] for one in result["graphs"][0]["offenders"]] == ["head:conv"]
    assert "layers that multiply: 2 in int8, 1 in float32" in model_check.text(result)
    with pytest.raises(UsageError, match="a quantized model runs in int8, not in fp16"):
        model_check.run(replace(request, precision="fp16"), log)


def test_what_the_spec_keeps_in_float_is_no_offender(detector: nn.Module) -> None:
    class Wishing(nn.Module):
        settings = SimpleNamespace(keep_float=("^head",), int16=())

        def __init__(self) -> None:
            super().__init__()
            self.network = detector

    part = Part("g", Graph("g", Wishing(), {}, ()), detector)
    floats = (Problem("network.head:conv2d", "Conv", "computes in float32"),
              Problem("network.stem.0:Conv", "Conv", "computes in float32"))  # fmt: skip
    offenders, kept = model_check._offenders(part, Support("x", {}, {}, (), floats), "int8")
    assert [one["name"] for one in offenders] == ["stem.0:Conv"] and [one["name"] for one in kept] == ["head:conv2d"]
