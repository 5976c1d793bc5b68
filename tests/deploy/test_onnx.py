"""The ONNX files: what stands in them, and that they compute what the network computes."""

import json
import random

import onnx as library
import pytest
import torch
from small_detector import OUTPUTS, Detector, pictures
from torch import Tensor, nn

from tltpy.deploy import onnx
from tltpy.deploy.compare import compare
from tltpy.deploy.runtime import open_runtime
from tltpy.errors import ModelFileError, UsageError
from tltpy.geometry.suppression import suppress


class Suppress(nn.Module):
    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"stay": suppress(inputs["boxes"], inputs["scores"], 0.45, 0.3)}


@pytest.fixture(scope="module")
def suppress_onnx() -> bytes:
    return onnx.write(Suppress().eval(), boxes(2, 20, 0, 0), ("stay",), metadata={})


def boxes(groups: int, count: int, steps: int, seed: int) -> dict[str, Tensor]:
    """Random boxes and scores; on a coarse grid, full of ties, where `steps` is not zero."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.rand(groups, count, 2, generator=generator)
    sizes = torch.rand(groups, count, 2, generator=generator) * 0.4
    found = {
        "boxes": torch.cat((centres - sizes / 2, centres + sizes / 2), dim=2),
        "scores": torch.rand(groups, count, generator=generator),
    }
    return {name: (value * steps).round() / steps for name, value in found.items()} if steps else found


@pytest.mark.parametrize("steps", [0, 3, 10, 64])
def test_suppression_is_bit_equal_to_onnx_runtime(suppress_onnx: bytes, steps: int) -> None:
    """Thousands of groups, with ties of scores and of overlaps."""
    runtime = open_runtime(suppress_onnx)
    for seed in range(4):
        case = boxes(300, 20, steps, seed)
        case["scores"][::7] = 0.25  # groups in which nothing is good enough
        case["boxes"][1::9, :, 2:] = case["boxes"][1::9, :, :2]  # boxes without area
        wanted = suppress(case["boxes"], case["scores"], 0.45, 0.3)
        assert torch.equal(runtime(case)["stay"], wanted)
        assert 0 < int(wanted.sum()) < wanted.numel()


def test_suppression_finds_nothing_where_there_is_nothing(suppress_onnx: bytes) -> None:
    case = boxes(3, 20, 0, 1)
    assert not open_runtime(suppress_onnx)({**case, "scores": case["scores"] * 0.1})["stay"].any()


@pytest.mark.parametrize("size", [1, 2, 5])
def test_equals_the_network_at_any_batch_size(detector: Detector, detector_onnx: bytes, size: int) -> None:
    inputs = {"Input": pictures(size, seed=size)}
    found, wanted = open_runtime(detector_onnx)(inputs), detector(inputs)
    assert list(found) == list(OUTPUTS)
    assert int(wanted["count"].min()) > 2
    for name in OUTPUTS:
        assert found[name].shape == wanted[name].shape and found[name].dtype == wanted[name].dtype
    assert compare(found, wanted, absolute=1e-4, relative=1e-4, share=0).difference < 1e-4


def test_is_a_plain_file_of_standard_operators(detector_onnx: bytes) -> None:
    model = library.load_from_string(detector_onnx)
    library.checker.check_model(model, full_check=True)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]
    assert model.ir_version <= 8 and model.producer_name == "tltpy" and not model.functions
    kinds = {node.op_type for node in model.graph.node}
    assert "BatchNormalization" not in kinds and "NonMaxSuppression" in kinds
    assert all(weight.data_location == library.TensorProto.DEFAULT for weight in model.graph.initializer)
    batch = model.graph.input[0].type.tensor_type.shape.dim[0]
    assert batch.dim_param == "batch"
    assert [value.type.tensor_type.shape.dim[0].dim_param for value in model.graph.output] == ["batch"] * 4


def test_holds_the_metadata_and_no_word_of_this_machine(detector_onnx: bytes) -> None:
    model = library.load_from_string(detector_onnx)
    texts = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(texts["labels"]) == ["car", "cyclist", "pedestrian"]
    assert open_runtime(detector_onnx).metadata == {
        "labels": ["car", "cyclist", "pedestrian"], "ranges": {"Input": [-100, 150]}
    }
    assert b".py" not in detector_onnx and b"conftest" not in detector_onnx


def test_writes_an_older_operator_set_for_one_batch_size_in_silence(
    detector: Detector, detector_onnx: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    inputs = {"Input": pictures(3, 0)}
    content = onnx.write(detector, inputs, OUTPUTS, metadata={}, opset=17, dynamic_batch=False)
    assert capfd.readouterr() == ("", "")
    assert library.load_from_string(content).opset_import[0].version == 17
    runtime = open_runtime(content)
    assert runtime.batch_size == 3
    assert compare(runtime(inputs), detector(inputs), absolute=1e-4).difference < 1e-4
    with pytest.raises(UsageError, match="batches of 3, not of 4"):
        onnx.fix_batch(content, 4)
    assert open_runtime(onnx.fix_batch(detector_onnx, 3)).batch_size == 3


@pytest.mark.parametrize("opset", [9, 99])
def test_refuses_operator_sets_that_it_cannot_write(detector: Detector, opset: int) -> None:
    with pytest.raises(UsageError, match=f"operator set {opset}"):
        onnx.write(detector, {"Input": pictures(2, 0)}, OUTPUTS, metadata={}, opset=opset)


def test_does_not_fit_into_one_file(monkeypatch: pytest.MonkeyPatch, detector: Detector) -> None:
    monkeypatch.setattr(onnx, "LIMIT_BYTES", 1000)
    with pytest.raises(ModelFileError, match="2 GiB at most"):
        onnx.write(detector, {"Input": pictures(2, 0)}, OUTPUTS, metadata={})


@pytest.mark.parametrize("content", [b"", b"\x00" * 40, b"not a graph at all", bytes(range(256)) * 8])
def test_damaged_bytes_are_no_graph(content: bytes) -> None:
    for opening in (onnx.read, open_runtime):
        with pytest.raises(ModelFileError, match="not an ONNX graph"):
            opening(content)


def test_a_truncated_graph_is_refused(detector_onnx: bytes) -> None:
    for seed in range(6):
        cut = random.Random(seed).randrange(20, len(detector_onnx) - 1)
        with pytest.raises(ModelFileError, match="not an ONNX graph"):
            open_runtime(detector_onnx[:cut])
