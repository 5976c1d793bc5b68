"""TensorRT's plugins for non-maximum suppression: put behind a graph of candidates, and computed here, as published.

TensorRT OSS, plugin/batchedNMSPlugin and plugin/efficientNMSPlugin (their READMEs). B batch, N candidates, C classes,
K boxes kept. What the plugins write behind the last box is nobody's business, and becomes zeros in deploy.runtime.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tltpy.deploy import onnx
from tltpy.deploy.sessions import OnnxRuntimeSession, OperatorTime, Port
from tltpy.errors import UsageError
from tltpy.geometry.suppression import suppress

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

DOMAIN = "TRT"  # TensorRT's parser looks for a plugin by the name of the operator alone; checkers want a domain
OPERATORS = {"batched": "BatchedNMSDynamic_TRT", "efficient": "EfficientNMS_TRT"}
PARTS = ("count", "boxes", "scores", "classes")
EFFICIENT_OUTPUTS = ("num_detections", "detection_boxes", "detection_scores", "detection_classes")
CANDIDATES = ("candidate_boxes", "candidate_scores")  # outputs of the graph that a plugin is put behind
MOST_CANDIDATES = 4096  # of a class (batched), of a picture (efficient)


def append(content: bytes, metadata: dict[str, Any], kind: str) -> bytes:
    """The graph with a plugin behind it.

    Args:
        content: a graph with the outputs CANDIDATES: corners [B, N, 1, 4] in 0..1, and scores [B, N, C].
        metadata: of the whole graph, with "nms" and "boxes" (tasks.contract.Graph).
        kind: "batched", whose outputs have the names of `metadata`, or "efficient", which has names of its own: the
            metadata then tell under "aliases" which is which.

    Raises:
        UsageError: more candidates than the plugin takes.
    """
    import onnx as library

    nms = metadata["nms"]
    if nms["candidates"] > MOST_CANDIDATES:
        raise UsageError(
            f"TensorRT's plugin takes {MOST_CANDIDATES} candidates of a class, and top_k {nms['top_k']} makes "
            f"{nms['candidates']}",
            f"set top_k to {MOST_CANDIDATES // 2} or less in nms_config",
        )
    model, helper = onnx.read(content), library.helper
    ours = [metadata["boxes"][part] for part in PARTS]
    names = ours if kind == "batched" else list(EFFICIENT_OUTPUTS)
    sizes = {value.name: value.type.tensor_type.shape.dim for value in model.graph.output}
    attributes = _attributes(nms, sizes[CANDIDATES[1]][2].dim_value, kind)
    boxes, scores = CANDIDATES
    if kind == "efficient":
        boxes = "corners"
        axes = library.numpy_helper.from_array(np.array([2]), "corners_axes")
        model.graph.initializer.append(axes)
        model.graph.node.append(helper.make_node("Squeeze", [CANDIDATES[0], axes.name], [boxes], "corners"))
    operator = OPERATORS[kind]
    node = helper.make_node(operator, [boxes, scores], names, name="BatchedNMS_N", domain=DOMAIN, **attributes)
    model.graph.node.append(node)
    batch = sizes[CANDIDATES[0]][0]
    del model.graph.output[:]
    model.graph.output.extend(_outputs(names, batch.dim_value or batch.dim_param, nms["top_k"], kind))
    model.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    aliases = {"aliases": dict(zip(names, ours, strict=True))} if names != ours else {}
    return onnx.seal(model, {**metadata, **aliases})


def holds(content: bytes) -> bool:
    """Whether the bytes of a graph hold one of the plugins."""
    return any(operator.encode() in content for operator in OPERATORS.values())


def cut(content: bytes) -> "tuple[bytes, Selection]":
    """The graph that a plugin was put behind, in standard operators, and the plugin.

    The outputs are the plugin's inputs, and then those that the plugin does not make.
    """
    model = onnx.read(content)
    (place,) = (index for index, node in enumerate(model.graph.node) if node.op_type in OPERATORS.values())
    node = model.graph.node[place]
    selection = _selection(node, model)
    inputs = list(node.input)
    others = [value for value in model.graph.output if value.name not in selection.outputs]
    del model.graph.node[place], model.graph.output[:]
    kept = [entry for entry in model.opset_import if entry.domain != DOMAIN]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    import onnx as library

    types = {value.name: value for value in library.shape_inference.infer_shapes(model).graph.value_info}
    model.graph.output.extend([types[name] for name in inputs] + others)
    return model.SerializeToString(), selection


@dataclass(frozen=True)
class Selection:
    """A plugin node: its kind, its attributes and its outputs in their order."""

    kind: str
    attributes: dict[str, Any]
    outputs: dict[str, Port]

    def __call__(self, boxes: np.ndarray, scores: np.ndarray) -> list[np.ndarray]:
        """Corners [B, N, 1, 4] or [B, N, 4], scores [B, N, C] -> the outputs of the plugin."""
        corners = torch.from_numpy(boxes).reshape(len(boxes), -1, 4)
        ranked = torch.from_numpy(scores).transpose(1, 2)  # [B, C, N]
        found = self._batched(corners, ranked) if self.kind == "batched" else self._efficient(corners, ranked)
        return [
            part.numpy().astype(port.dtype) for part, port in zip(found, self.outputs.values(), strict=True)
        ]

    def _batched(self, corners: torch.Tensor, scores: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Of each class the `topK` best, of them those that stay, of all classes the `keepTopK` best, clipped."""
        facts = self.attributes
        classes, width = scores.shape[1], min(facts["topK"], scores.shape[2])
        best, index = scores.topk(width, dim=2)  # [B, C, W]
        chosen = corners.gather(1, index.flatten(1)[..., None].expand(-1, -1, 4))  # [B, C * W, 4]
        stay = suppress(
            chosen.reshape(-1, width, 4), best.reshape(-1, width), facts["iouThreshold"], facts["scoreThreshold"]
        )
        labels = torch.arange(classes).repeat_interleave(width).expand(len(scores), -1)
        limits = (0.0, 1.0) if facts["clipBoxes"] else (-torch.inf, torch.inf)
        return _kept(chosen.clamp(*limits), best.flatten(1), labels, stay.view(len(scores), -1), facts["keepTopK"])

    def _efficient(self, corners: torch.Tensor, scores: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Of the best candidates of all classes those that stay within their class, `max_output_boxes` at most."""
        facts = self.attributes
        number = scores.shape[2]
        best, order = scores.flatten(1).topk(min(MOST_CANDIDATES, scores[0].numel()), dim=1)  # [B, W]
        labels = torch.div(order, number, rounding_mode="floor")
        chosen = corners.gather(1, (order % number)[..., None].expand(-1, -1, 4))  # [B, W, 4]
        # boxes of different classes are moved apart, so that one suppression serves all
        apart = chosen + 2 * chosen.abs().amax() * labels[..., None]
        stay = suppress(apart, best, facts["iou_threshold"], facts["score_threshold"])
        return _kept(chosen, best, labels, stay, facts["max_output_boxes"])


class PluginSession:
    """Runs a graph with a plugin: the network by ONNX Runtime, the plugin by Selection."""

    backend = "onnxruntime"
    largest: int | None = None

    def __init__(self, content: bytes, *, name: str, threads: int | None, cuda: bool) -> None:
        rest, self._selection = cut(content)
        self._session = OnnxRuntimeSession(rest, name=name, threads=threads, cuda=cuda)
        self.inputs: dict[str, Port] = self._session.inputs
        others = dict(list(self._session.outputs.items())[2:])
        self.outputs: dict[str, Port] = {**self._selection.outputs, **others}
        self.metadata: dict[str, str] = self._session.metadata

    def run(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        boxes, scores, *others = self._session.run(arrays)
        return [*self._selection(boxes, scores), *others]

    def profile(self, arrays: list[np.ndarray], runs: int) -> list[OperatorTime]:
        """Of the network alone."""
        return self._session.profile(arrays, runs)


def _attributes(nms: dict[str, Any], classes: int, kind: str) -> dict[str, Any]:
    if kind == "efficient":
        return {
            "plugin_version": "1",
            "background_class": -1,
            "max_output_boxes": nms["top_k"],
            "score_threshold": nms["confidence_threshold"],
            "iou_threshold": nms["iou_threshold"],
            "score_activation": 0,
            "class_agnostic": 0,
            "box_coding": 0,
        }
    return {
        "plugin_version": "1",
        "shareLocation": 1,
        "backgroundLabelId": -1,
        "numClasses": classes,
        "topK": nms["candidates"],
        "keepTopK": nms["top_k"],
        "scoreThreshold": nms["confidence_threshold"],
        "iouThreshold": nms["iou_threshold"],
        "isNormalized": 1,
        "clipBoxes": 1,
        "scoreBits": nms["score_bits"],
    }


def _outputs(names: list[str], batch: int | str, kept: int, kind: str) -> list[Any]:
    import onnx as library

    whole, real = library.TensorProto.INT32, library.TensorProto.FLOAT
    shapes = [[batch, 1], [batch, kept, 4], [batch, kept], [batch, kept]]
    types = [whole, real, real, real if kind == "batched" else whole]
    return [library.helper.make_tensor_value_info(*each) for each in zip(names, types, shapes, strict=True)]


def _selection(node: "NodeProto", model: "ModelProto") -> Selection:
    import onnx as library

    values = {attribute.name: library.helper.get_attribute_value(attribute) for attribute in node.attribute}
    ports = {}
    for value in model.graph.output:
        tensor = value.type.tensor_type
        shape = tuple(size.dim_value or None for size in tensor.shape.dim)
        ports[value.name] = Port(shape, library.helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    kind = next(kind for kind, operator in OPERATORS.items() if operator == node.op_type)
    return Selection(kind, values, {name: ports[name] for name in node.output})


def _kept(
    boxes: torch.Tensor, scores: torch.Tensor, labels: torch.Tensor, stay: torch.Tensor, most: int
) -> tuple[torch.Tensor, ...]:
    """The `most` best of those that stay, of [B, W]; boxes and scores 0 and classes -1 behind the last."""
    ranked = torch.where(stay, scores, -1.0)
    best, order = ranked.topk(min(most, ranked.shape[1]), dim=1)
    there = best > 0
    chosen = torch.where(there[..., None], boxes.gather(1, order[..., None].expand(-1, -1, 4)), 0.0)
    rows = (chosen, torch.where(there, best, 0.0), torch.where(there, labels.gather(1, order), -1))
    missing = most - best.shape[1]
    fill = (0.0, 0.0, -1)
    padded = [
        torch.cat([row, row.new_full((len(row), missing, *row.shape[2:]), value)], dim=1)
        for row, value in zip(rows, fill, strict=True)
    ]
    return there.sum(1, keepdim=True), *padded
