"""What a graph costs, counted node by node: parameters of its layers and multiply-accumulates of one run."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tltpy.deploy import onnx
from tltpy.errors import UsageError

if TYPE_CHECKING:
    import onnx as library

# operator -> inputs that training made; where the operator is quantized, their values lie behind a DequantizeLinear
WEIGHTS = {
    "Conv": (1, 2), "ConvTranspose": (1, 2), "Gemm": (1, 2), "MatMul": (0, 1), "BatchNormalization": (1, 2),
    "LayerNormalization": (1, 2), "GroupNormalization": (1, 2), "InstanceNormalization": (1, 2), "PRelu": (1,),
    "QLinearConv": (3, 8), "QLinearMatMul": (0, 3), "ConvInteger": (1,), "MatMulInteger": (0, 1),
}  # fmt: skip
UNCOUNTED = {"LSTM", "GRU", "RNN", "Einsum", "Attention", "Loop", "Scan", "If", "DeformConv"}
SAME = {"DequantizeLinear", "Cast", "Identity", "Transpose", "Reshape"}  # of a weight they make the same weight
BIASED = {"MatMul", "MatMulInteger"}  # a sum with a vector behind one is its bias


@dataclass(frozen=True)
class Node:
    """`macs` is None where they cannot be told from the graph; `output` the shape of the first output."""

    name: str
    kind: str
    parameters: int
    macs: int | None
    output: tuple[int, ...] | None


def count(content: bytes, shapes: Mapping[str, tuple[int, ...]] | None = None) -> list[Node]:
    """The nodes in the order of the graph, for one example.

    Args:
        shapes: of inputs, batch first, in the place of those in the graph; UsageError where they do not fit.
    """
    import onnx as library

    model = onnx.read(content)
    _fix(model, shapes or {})
    try:
        model = library.shape_inference.infer_shapes(model, strict_mode=bool(shapes), data_prop=True)
    except library.shape_inference.InferenceError as error:
        raise UsageError(f"the graph does not take inputs of this shape: {str(error).splitlines()[0]}") from error
    known = _shapes(model)
    stored = _stored(model)
    counted: set[str] = set()
    biased = {value for node in model.graph.node if node.op_type in BIASED for value in node.output}
    nodes = []
    for index, node in enumerate(model.graph.node):
        places = WEIGHTS.get(node.op_type, ())
        if node.op_type == "Add" and not biased.isdisjoint(node.input):
            places = tuple(place for place in (0, 1) if len(stored.get(node.input[place], (0, ()))[1]) == 1)
        values = [node.input[place] for place in places if place < len(node.input)]
        new = [value for value in dict.fromkeys(values) if value in stored and stored[value][0] not in counted]
        counted.update(stored[value][0] for value in new)
        parameters = sum(math.prod(stored[value][1]) for value in new)
        output = known.get(node.output[0])
        nodes.append(Node(node.name or f"{node.op_type}_{index}", node.op_type, parameters, _macs(node, known), output))
    return nodes


def inputs(content: bytes) -> dict[str, list[int]]:
    """Name -> shape of what a graph is fed for one example; a dimension that is free is 1."""
    return {
        value.name: [dim.dim_value if dim.HasField("dim_value") else 1 for dim in value.type.tensor_type.shape.dim]
        for value in onnx.read(content).graph.input
    }


def _macs(node: "library.NodeProto", known: Mapping[str, tuple[int, ...]]) -> int | None:
    """Multiply-accumulates of one node; None where a shape is not known."""
    kind = node.op_type
    if kind in UNCOUNTED:
        return None
    quantized = {"QLinearConv": 3, "QLinearMatMul": 3}
    if kind not in ("Conv", "ConvTranspose", "Gemm", "MatMul", "ConvInteger", "MatMulInteger", *quantized):
        return 0
    a, b = known.get(node.input[0]), known.get(node.input[quantized.get(kind, 1)])
    out = known.get(node.output[0])
    if a is None or b is None or out is None:
        return None
    if kind == "ConvTranspose":
        return math.prod(a) * math.prod(b[1:])
    if "Conv" in kind:
        return math.prod(out) * math.prod(b[1:])
    flipped = kind == "Gemm" and any(entry.name == "transA" and entry.i for entry in node.attribute)
    return math.prod(out) * (a[0] if flipped else a[-1])


def _fix(model: "library.ModelProto", shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Gives every free dimension of the inputs a size: one example, and what `shapes` say."""
    names = {value.name for value in model.graph.input}
    for name in shapes:
        if name not in names:
            raise UsageError(f'the graph has no input "{name}"', "the inputs are " + ", ".join(sorted(names)))
    for value in model.graph.input:
        dims = value.type.tensor_type.shape.dim
        wanted = shapes.get(value.name, ())
        if wanted and len(wanted) != len(dims):
            raise UsageError(f"{value.name} has {len(dims)} dimensions, not {len(wanted)}")
        for place, dim in enumerate(dims):
            fixed = dim.dim_value if dim.HasField("dim_value") else None
            size = wanted[place] if wanted else (fixed if place else 1 if fixed is None else fixed)
            if size is None:
                hint = "say what it is: --input-shape 1,3,384,1248"
                raise UsageError(f"{value.name}: the graph leaves dimension {place} free", hint)
            if fixed is not None and wanted and size != fixed:
                raise UsageError(f"{value.name}: the graph is made for {fixed} in dimension {place}, not {size}")
            dim.dim_value = size
    for value in (*model.graph.output, *model.graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.HasField("dim_param"):
                dim.ClearField("dim_param")


def _shapes(model: "library.ModelProto") -> dict[str, tuple[int, ...]]:
    """Of every value whose shape is known in full."""
    graph, found = model.graph, {}
    for value in (*graph.value_info, *graph.input, *graph.output):
        dims = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(dim.HasField("dim_value") for dim in dims):
            found[value.name] = tuple(dim.dim_value for dim in dims)
    return found | {weight.name: tuple(weight.dims) for weight in graph.initializer}


def _stored(model: "library.ModelProto") -> dict[str, tuple[str, tuple[int, ...]]]:
    """Value -> (the stored tensor that it is, its shape): weights, and what quantization or a cast makes of them."""
    found: dict[str, Any] = {weight.name: (weight.name, tuple(weight.dims)) for weight in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            for entry in node.attribute:
                if entry.name == "value":
                    found[node.output[0]] = (node.output[0], tuple(entry.t.dims))
        elif node.op_type in SAME and node.input[0] in found:
            found[node.output[0]] = found[node.input[0]]
    return found
