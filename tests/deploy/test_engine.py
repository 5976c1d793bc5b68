"""Engines: they compute what the graph computes, in batches of any size; in half precision within what it allows."""

import copy
import importlib.util
from pathlib import Path

import numpy as np
import onnx as library
import pytest
import torch
from small_detector import Detector, pictures

from tltpy.deploy import engine, half, onnx
from tltpy.deploy.compare import compare, relative_error
from tltpy.deploy.proof import prove
from tltpy.deploy.runtime import open_runtime
from tltpy.errors import BackendError, ModelFileError, QualityError, UsageError

WITHOUT_OPENVINO = pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="openvino is not installed")
BACKENDS = ["onnxruntime", pytest.param("openvino", marks=WITHOUT_OPENVINO)]


def written(
    content: bytes, folder: Path, *, backend: str, precision: str = "fp32", batch_size: int | None = None
) -> Path:
    """Builds an engine into `folder`; the path that opens it."""
    files = engine.build(content, backend=backend, precision=precision, batch_size=batch_size)
    for suffix, part in files.items():
        (folder / f"engine{suffix}").write_bytes(part)
    return folder / f"engine{next(iter(files))}"


@pytest.mark.parametrize("backend", BACKENDS)
def test_equals_the_graph(detector_onnx: bytes, tmp_path: Path, backend: str) -> None:
    runtime = open_runtime(written(detector_onnx, tmp_path, backend=backend), threads=1)
    assert runtime.backend == backend
    assert runtime.inputs["Input"] == ((None, 3, 48, 80), np.float32)
    assert runtime.outputs["boxes"] == ((None, 12, 4), np.float32)
    assert runtime.metadata["labels"] == ["car", "cyclist", "pedestrian"]
    assert runtime.metadata["engine"]["precision"] == "fp32"
    for size in (1, 5):
        inputs = {"Input": pictures(size, size)}
        found = compare(runtime(inputs), open_runtime(detector_onnx)(inputs), absolute=1e-4)
        assert found.equal, found.describe()


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_engine_of_a_fixed_batch_takes_any_number_of_examples(
    detector_onnx: bytes, tmp_path: Path, backend: str
) -> None:
    runtime = open_runtime(written(detector_onnx, tmp_path, backend=backend, batch_size=3))
    assert runtime.batch_size == 3
    for size in (1, 3, 7):
        inputs = {"Input": pictures(size, 20 + size)}
        found = runtime(inputs)
        assert found["boxes"].shape == (size, 12, 4)
        assert compare(found, open_runtime(detector_onnx)(inputs), absolute=1e-4).equal


@pytest.mark.parametrize("backend", BACKENDS)
def test_half_precision_is_close(detector_onnx: bytes, tmp_path: Path, backend: str) -> None:
    inputs = {"Input": pictures(4, 9)}
    error = engine.verify(detector_onnx, backend=backend, precision="fp16", inputs=inputs)
    assert 1e-6 < error < 5e-3
    path = written(detector_onnx, tmp_path, backend=backend, precision="fp16")
    found, wanted = open_runtime(path)(inputs), open_runtime(detector_onnx)(inputs)
    assert all(value.dtype == wanted[name].dtype for name, value in found.items())
    assert relative_error(found["scores"], wanted["scores"]) < 5e-3


def test_half_precision_holds_the_layers_and_not_what_is_behind_them(detector_onnx: bytes) -> None:
    model = onnx.read(detector_onnx)
    halved = library.shape_inference.infer_shapes(half.to_half(model), strict_mode=True)
    library.checker.check_model(halved, full_check=True)
    values = (*halved.graph.value_info, *halved.graph.output)
    kinds = {value.name: value.type.tensor_type.elem_type for value in values}
    for node in halved.graph.node:
        if node.op_type == "Conv":
            assert kinds[node.output[0]] == library.TensorProto.FLOAT16
        if node.op_type in ("Exp", "Sigmoid", "TopK"):
            assert kinds[node.output[0]] == library.TensorProto.FLOAT
    assert len(half.boundary(model)) == 1
    assert [node.op_type for node in halved.graph.node].count("Cast") <= 2 + [
        node.op_type for node in model.graph.node
    ].count("Cast")


def test_half_precision_keeps_inputs_that_an_operator_wants_in_full() -> None:
    """Resize takes its scales in float32; a weight that two parts share exists twice."""
    helper, kind = library.helper, library.TensorProto.FLOAT
    value = helper.make_tensor_value_info
    weight = library.numpy_helper.from_array(np.full((4, 2, 1, 1), 0.3, np.float32), "weight")
    scales = library.numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales")
    nodes = [
        helper.make_node("Resize", ["x", "", "scales"], ["big"], mode="nearest"),
        helper.make_node("Conv", ["big", "weight"], ["raw"]),
        helper.make_node("ReduceSum", ["weight"], ["total"], keepdims=0),
        helper.make_node("Mul", ["raw", "total"], ["out"]),
    ]
    graph = helper.make_graph(
        nodes, "g", [value("x", kind, [2, 2, 3, 5])], [value("out", kind, [2, 4, 6, 10])], [weight, scales]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    halved = half.to_half(model)
    library.checker.check_model(halved, full_check=True)
    assert half.boundary(model) == ["raw"]
    inputs = {"x": torch.rand(2, 2, 3, 5)}
    found, wanted = (open_runtime(each.SerializeToString())(inputs)["out"] for each in (halved, model))
    assert 0 < relative_error(found, wanted) < 2e-3


def test_half_precision_that_overflows_is_refused(detector_onnx: bytes) -> None:
    model = onnx.read(detector_onnx)
    weight = next(each for each in model.graph.initializer if len(each.dims) == 4)
    array = library.numpy_helper.to_array(weight) * 1e6
    weight.CopyFrom(library.numpy_helper.from_array(array, weight.name))
    with pytest.raises(QualityError, match="fp16 engine differs"):
        engine.verify(
            model.SerializeToString(), backend="onnxruntime", precision="fp16", inputs={"Input": pictures(2, 3)}
        )


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_what_cannot_be_built(detector_onnx: bytes, backend: str) -> None:
    with pytest.raises(UsageError, match="int8 needs a quantized model"):
        engine.build(detector_onnx, backend=backend, precision="int8")
    with pytest.raises(ModelFileError, match="not an ONNX graph"):
        engine.build(b"garbage" * 9, backend=backend, precision="fp32")


def test_openvino_that_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tltpy.deploy.sessions.find_spec", lambda name: None)
    (tmp_path / "x.xml").write_text("<net/>")
    for action in (lambda: engine.require("openvino", "fp32"), lambda: open_runtime(tmp_path / "x.xml")):
        with pytest.raises(BackendError, match="openvino is not installed") as caught:
            action()
        assert caught.value.exit_code == 6 and "pip install tltpy[openvino]" in caught.value.hints[0]


def test_files_that_are_no_engines(tmp_path: Path) -> None:
    (tmp_path / "plan.engine").write_bytes(b"ptrt" + bytes(60))
    with pytest.raises(BackendError, match="tensorrt"):
        open_runtime(tmp_path / "plan.engine")
    with pytest.raises(ModelFileError, match="no such file"):
        open_runtime(tmp_path / "none.onnx")
    (tmp_path / "x.xml").write_text("<html></html>")
    if importlib.util.find_spec("openvino"):
        with pytest.raises(ModelFileError, match="not an OpenVINO model"):
            open_runtime(tmp_path / "x.xml")


def test_inputs_that_do_not_fit(detector_onnx: bytes) -> None:
    runtime = open_runtime(detector_onnx, name="cars.onnx")
    with pytest.raises(UsageError, match="cars.onnx: the graph takes Input of 3x48x80 and is fed 3x48x96"):
        runtime({"Input": torch.zeros(2, 3, 48, 96)})
    with pytest.raises(UsageError, match="an input Input"):
        runtime({"image": torch.zeros(2, 3, 48, 80)})


def test_inputs_of_any_layout_and_type(detector: Detector, detector_onnx: bytes) -> None:
    inputs = pictures(2, 30).to(memory_format=torch.channels_last).double()
    found = open_runtime(detector_onnx)({"Input": inputs})
    assert compare(found, detector({"Input": pictures(2, 30)}), absolute=1e-4).equal


def test_comparing_lists() -> None:
    boxes = torch.rand(2, 50, 4)
    scores = torch.linspace(0.9, 0.1, 50).expand(2, 50)
    wanted = {"boxes": boxes, "scores": scores, "count": torch.full((2, 1), 50)}
    order = torch.arange(50)
    order[[10, 11]] = order[[11, 10]]
    swapped = {**wanted, "boxes": boxes[:, order], "scores": scores[:, order]}
    assert compare(swapped, wanted).equal and compare(swapped, wanted).unmatched == 0
    moved = {**wanted, "boxes": boxes + torch.eye(50)[7][None, :, None]}
    assert compare(moved, wanted).equal is True and compare(moved, wanted).unmatched == 2
    assert not compare({**wanted, "boxes": boxes.flip(1)}, wanted).equal
    assert not compare({**wanted, "count": torch.full((2, 1), 49)}, wanted).equal
    assert not compare({**wanted, "scores": scores * float("nan")}, wanted).equal
    assert not compare({**wanted, "boxes": boxes[:, :40]}, wanted).equal
    raw = torch.rand(2, 3, 4, 5)
    assert compare({"raw": raw + 1e-4}, {"raw": raw}).equal
    assert not compare({"raw": raw + 1e-2}, {"raw": raw}).equal


def test_a_graph_of_other_weights_is_found_out(detector: Detector, detector_onnx: bytes) -> None:
    inputs = {"Input": pictures(3, 40)}
    proof = prove(detector, detector_onnx, inputs, "graph")
    assert proof.outputs.equal and proof.raw_error is not None and proof.raw_error < 1e-5
    other = copy.deepcopy(detector)
    other.head.bias[5:] -= 100  # nothing is found any more
    blind = {"Input": inputs["Input"] * 0 - 1e5}
    other.head.weight *= 1.01
    with pytest.raises(QualityError, match="relative error of the raw outputs"):
        prove(other, detector_onnx, blind, "graph")
