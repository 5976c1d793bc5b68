"""TensorRT's plugins: the graph that holds one is as published, and gives the boxes of the portable graph."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx as library
import pytest
import torch
from small_detector import KEPT, OUTPUTS, Detector, pictures
from torch import Tensor, nn

from tltpy.deploy import engine, half, onnx, plugins
from tltpy.deploy.compare import compare
from tltpy.deploy.runtime import open_runtime
from tltpy.errors import UsageError

METADATA: dict[str, Any] = {
    "labels": ["car", "cyclist", "pedestrian"],
    "boxes": dict(zip(plugins.PARTS, OUTPUTS, strict=True)),
    "nms": {
        "confidence_threshold": 0.22, "iou_threshold": 0.4, "top_k": KEPT, "candidates": 2 * KEPT, "score_bits": 7,
    },
}


class Candidates(nn.Module):
    """The small detector up to its candidates."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        raw = self.detector.head(self.detector.stem(inputs["Input"] / 64)).flatten(2).transpose(1, 2)
        centre, size = raw[..., :2].sigmoid(), raw[..., 2:4].exp() * 0.2
        boxes = torch.cat((centre - size / 2, centre + size / 2), dim=2)
        scores = raw[..., 4:5].sigmoid() * raw[..., 5:].sigmoid()
        return {"candidate_boxes": boxes[:, :, None], "candidate_scores": scores}


@pytest.fixture(scope="module")
def candidates(detector: Detector) -> bytes:
    return onnx.write(Candidates(detector).eval(), {"Input": pictures(2, 0)}, plugins.CANDIDATES, metadata={})


@pytest.fixture(scope="module", params=["batched", "efficient"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def graph(candidates: bytes, kind: str) -> bytes:
    return plugins.append(candidates, METADATA, kind)


def naive(boxes: np.ndarray, scores: np.ndarray, most: int) -> list[tuple[int, float, tuple[float, ...]]]:
    """One picture by the definition, box by box: boxes [N, 4], scores [N, C] -> (class, score, clipped box)."""
    found = []
    for label in range(scores.shape[1]):
        kept: list[int] = []
        for index in np.argsort(-scores[:, label], kind="stable")[: 2 * KEPT]:
            if scores[index, label] > 0.22 and all(overlap(boxes[index], boxes[other]) <= 0.4 for other in kept):
                kept.append(int(index))
        found += [(label, float(scores[i, label]), tuple(np.clip(boxes[i], 0, 1).tolist())) for i in kept]
    return sorted(found, key=lambda entry: -entry[1])[:most]


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    wide, high = (min(a[i + 2], b[i + 2]) - max(a[i], b[i]) for i in (0, 1))
    both = max(wide, 0.0) * max(high, 0.0)
    return float(both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both))


def test_the_selection_is_what_its_definition_says(candidates: bytes) -> None:
    graph = plugins.append(candidates, METADATA, "batched")
    rest, selection = plugins.cut(graph)
    raw = list(open_runtime(rest)({"Input": pictures(3, 8)}).values())
    count, boxes, scores, classes = selection(raw[0].numpy(), raw[1].numpy())
    for i in range(3):
        wanted = naive(raw[0][i, :, 0].numpy(), raw[1][i].numpy(), KEPT)
        number = int(count[i, 0])
        assert 0 < number == len(wanted)
        assert classes[i, :number].tolist() == [label for label, *_ in wanted]
        assert np.allclose(scores[i, :number], [score for _, score, _ in wanted], atol=1e-6)
        assert np.allclose(boxes[i, :number], [box for *_, box in wanted], atol=1e-6)
        assert (classes[i, number:] == -1).all() and not scores[i, number:].any()


def test_gives_the_boxes_of_the_portable_graph(graph: bytes, detector_onnx: bytes, kind: str) -> None:
    inputs = {"Input": pictures(5, 4)}
    runtime = open_runtime(graph)
    assert list(runtime.outputs) == list(OUTPUTS)
    found, wanted = runtime(inputs), open_runtime(detector_onnx)(inputs)
    assert int(wanted["count"].min()) > 0
    found = {name: value.clamp(0, 1) if name == "boxes" else value for name, value in found.items()}
    wanted["boxes"] = wanted["boxes"].clamp(0, 1)  # the small detector clips nothing, the one plugin does
    answer = compare(found, wanted, absolute=1e-4)
    assert answer.equal and not answer.unmatched, answer.describe()


def test_is_as_published(candidates: bytes) -> None:
    model = onnx.read(plugins.append(candidates, METADATA, "batched"))
    node = model.graph.node[-1]
    values = {entry.name: library.helper.get_attribute_value(entry) for entry in node.attribute}
    assert node.op_type == "BatchedNMSDynamic_TRT" and list(node.output) == list(OUTPUTS)
    assert values == {
        "plugin_version": b"1", "shareLocation": 1, "backgroundLabelId": -1, "numClasses": 3, "topK": 24,
        "keepTopK": 12, "scoreThreshold": pytest.approx(0.22), "iouThreshold": pytest.approx(0.4), "isNormalized": 1,
        "clipBoxes": 1, "scoreBits": 7,
    }  # fmt: skip
    shapes = {
        value.name: [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in model.graph.output
    }
    assert list(shapes.values()) == [["batch", 1], ["batch", 12, 4], ["batch", 12], ["batch", 12]]


def test_efficient_has_its_own_names(candidates: bytes) -> None:
    content = plugins.append(candidates, METADATA, "efficient")
    model = onnx.read(content)
    node = model.graph.node[-1]
    values = {entry.name: library.helper.get_attribute_value(entry) for entry in node.attribute}
    assert node.op_type == "EfficientNMS_TRT" and list(node.output) == list(plugins.EFFICIENT_OUTPUTS)
    assert values["max_output_boxes"] == 12 and values["box_coding"] == 0 and values["score_activation"] == 0
    ports = plugins.cut(content)[1].outputs
    assert ports["detection_classes"].dtype == np.int32 and ports["detection_boxes"].shape == (None, 12, 4)


def test_inner_values_can_be_looked_at(graph: bytes) -> None:
    (raw,) = half.boundary(onnx.read(graph))
    found = open_runtime(onnx.with_outputs(graph, [raw]))({"Input": pictures(2, 3)})
    assert list(found) == [*OUTPUTS, raw] and found[raw].shape == (2, 8, 6, 10)


def test_half_precision_stops_before_the_plugin(graph: bytes) -> None:
    model = onnx.read(graph)
    halved = half.to_half(model)
    assert len(half.boundary(model)) == 1
    inputs = {"Input": pictures(2, 3)}
    found = open_runtime(halved.SerializeToString())(inputs)
    wanted = open_runtime(graph)(inputs)
    assert float((found["scores"] - wanted["scores"]).abs().max()) < 5e-3
    assert any(node.op_type == "Cast" for node in halved.graph.node)


def test_is_for_tensorrt_alone(graph: bytes, candidates: bytes, tmp_path: Path) -> None:
    for backend in ("onnxruntime", "openvino"):
        with pytest.raises(UsageError, match="made for TensorRT"):
            engine.build(graph, backend=backend, precision="fp32")
    many = {**METADATA, "nms": {**METADATA["nms"], "candidates": 5000, "top_k": 2500}}
    with pytest.raises(UsageError, match="4096 candidates"):
        plugins.append(candidates, many, "batched")
