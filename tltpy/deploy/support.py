"""Whether a library runs a graph: every operator, and in int8 where it is quantized.

ONNX Runtime and OpenVINO are asked themselves: they build what they would run, and what they built is read. TensorRT's
parser is asked where it is installed; elsewhere a table of what its documentation lists stands in.
"""

import re
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tltpy.deploy import onnx, tensorrt_operators
from tltpy.deploy.sessions import require_openvino

if TYPE_CHECKING:
    import onnx as library

# operators that multiply and add, in the graphs that ONNX Runtime optimises; those it runs in integers have other names
FLOAT_LAYERS = {"Conv", "FusedConv", "ConvTranspose", "Gemm", "FusedGemm", "MatMul", "FusedMatMul"}
INTEGER_LAYERS = {
    "QLinearConv", "QLinearConvTranspose", "QGemm", "QLinearMatMul", "ConvInteger", "MatMulInteger",
    "MatMulIntegerToFloat", "DynamicQuantizeMatMul",
}  # fmt: skip
OPENVINO_LAYERS = {"Convolution", "GroupConvolution", "Deconvolution", "FullyConnected", "MatMul", "Gemm"}
OPENVINO_FACTS = ("layerType", "runtimePrecision", "originalLayersNames")
FLOATS = {"f32": "float32", "f16": "float16", "bf16": "bfloat16"}
INTEGERS = {"i8", "u8", "i32"}
REFUSALS = ("NotImplemented", "InvalidGraph", "Fail", "InvalidArgument", "RuntimeException")  # of ONNX Runtime
BLOCKED = "_nchwc"  # what ONNX Runtime calls a layer whose channels it keeps in blocks
STEPS = 6  # between a layer and the operator that lent its name: activation, quantization, a sum
PROBLEMS = 50  # looked for one by one


@dataclass(frozen=True)
class Problem:
    """An operator that does not run, or not as it should. `node` is its name in the graph, "" where none is told."""

    node: str
    operator: str
    reason: str


@dataclass(frozen=True)
class Support:
    """`asked`: who said so. `operators`: of the graph. `layers`: how many layers compute in which type, "" where
    nobody was asked. `problems`: what does not run at all; `floats`: layers of a quantized graph that run in float."""

    asked: str
    operators: dict[str, int]
    layers: dict[str, int]
    problems: tuple[Problem, ...]
    floats: tuple[Problem, ...]


def quantized(content: bytes) -> bool:
    """Whether a graph holds quantized values."""
    return any(node.op_type in ("QuantizeLinear", "QLinearConv") for node in onnx.read(content).graph.node)


def check(content: bytes, backend: str) -> Support:
    """What `backend` makes of a graph. BackendError where OpenVINO is wanted and not installed."""
    model = onnx.read(content)
    operators = dict(Counter(node.op_type for node in model.graph.node).most_common())
    found = {"onnxruntime": _onnxruntime, "openvino": _openvino, "tensorrt": _tensorrt}[backend](content, model)
    asked, layers, problems = found
    kinds = Counter(kind for _, _, kind in layers)
    floats = [
        Problem(name, operator, f"computes in {kind}")
        for name, operator, kind in layers
        if quantized(content) and not kind.startswith(("int", "uint"))
    ]
    return Support(asked, operators, dict(kinds), tuple(problems), tuple(floats))


Layers = list[tuple[str, str, str]]  # name, operator, type it computes in
Found = tuple[str, Layers, list[Problem]]


def _onnxruntime(content: bytes, model: "library.ModelProto") -> Found:
    asked = f"onnxruntime {version('onnxruntime')}"
    optimised, said = _optimised(content)
    if optimised is not None:
        return asked, _read_layers(optimised, model), []
    problems = []
    for node, alone in _single_nodes(model):
        _, refused = _optimised(alone)
        if refused:
            problems.append(Problem(node.name, node.op_type, refused))
        if len(problems) == PROBLEMS:
            break
    return asked, [], problems or [Problem("", "graph", said)]


def _optimised(content: bytes) -> tuple["library.ModelProto | None", str]:
    """The graph as ONNX Runtime would run it on this processor; None and the reason where it would not."""
    import onnx as library
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    refusals = tuple(getattr(state, kind) for kind in REFUSALS)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimised.onnx"
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.optimized_model_filepath = str(path)
        options.intra_op_num_threads = 1
        try:
            onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except refusals as error:
            return None, _reason(str(error))
        return library.load(path), ""


def _read_layers(optimised: "library.ModelProto", model: "library.ModelProto") -> Layers:
    """The layers of an optimised graph; in which type by the weights, as values inside are not described there."""
    kinds, origin = _kinds(optimised), _Origin(model)
    layers: Layers = []
    for node in optimised.graph.node:
        name = origin.layer([name.removesuffix(BLOCKED) for name in (node.name, *node.output)])
        if node.op_type in INTEGER_LAYERS:
            layers.append((name, node.op_type, "int8"))
        elif node.op_type in FLOAT_LAYERS:
            layers.append((name, node.op_type, next((kinds[v] for v in node.input if v in kinds), "float32")))
    return layers


class _Origin:
    """Which node of the graph as written an operator of the optimised one comes from."""

    def __init__(self, model: "library.ModelProto") -> None:
        self._nodes = {node.name: node for node in model.graph.node}
        self._makers = {value: node for node in model.graph.node for value in node.output}

    def layer(self, names: Sequence[str]) -> str:
        """By names of nodes or values, any of them; the layer that feeds what they name, where that is no layer: an
        activation gives its name to what it became part of."""
        for name in names:
            node = self._nodes.get(name) or self._makers.get(name)
            for _ in range(STEPS):
                if node is None or node.op_type in FLOAT_LAYERS:
                    break
                node = next((self._makers[value] for value in node.input if value in self._makers), None)
            if node is not None and node.op_type in FLOAT_LAYERS:
                return str(node.name)
        return names[0]


def _kinds(model: "library.ModelProto") -> dict[str, str]:
    """Types of the values that are told, as numpy names them."""
    import onnx as library

    graph = model.graph
    values = (*graph.value_info, *graph.input, *graph.output)
    found = {value.name: value.type.tensor_type.elem_type for value in values}
    found |= {weight.name: weight.data_type for weight in graph.initializer}
    names = library.helper.tensor_dtype_to_np_dtype
    return {name: str(names(kind)) for name, kind in found.items() if kind}


def _single_nodes(model: "library.ModelProto") -> "list[tuple[library.NodeProto, bytes]]":
    """Every node in a graph of its own, its inputs typed as they are here, one of each kind and types."""
    import onnx as library

    inferred = library.shape_inference.infer_shapes(model)
    values = {value.name: value for value in (*inferred.graph.value_info, *model.graph.input, *model.graph.output)}
    weights = {weight.name: weight for weight in model.graph.initializer}
    made, seen = [], set()
    for node in model.graph.node:
        fed = [name for name in dict.fromkeys(node.input) if name and name not in weights]
        standard = node.domain in ("", "ai.onnx")
        if standard and not all(name in values for name in (*fed, *node.output) if name):
            continue
        for name in (*fed, *node.output):  # of operators that nobody knows nothing is known either
            values.setdefault(name, library.helper.make_tensor_value_info(name, library.TensorProto.FLOAT, None))
        types = tuple(values[name].type.tensor_type.elem_type for name in fed)
        key = (node.domain, node.op_type, types, str(node.attribute))
        if key in seen:
            continue
        seen.add(key)
        graph = library.helper.make_graph(
            [node], "one", [values[name] for name in fed], [values[name] for name in node.output if name],
            [weights[name] for name in dict.fromkeys(node.input) if name in weights],
        )  # fmt: skip
        alone = library.helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
        made.append((node, alone.SerializeToString()))
    return made


def _openvino(content: bytes, model: "library.ModelProto") -> Found:
    openvino = require_openvino()
    asked = f"openvino {version('openvino')}"
    core = openvino.Core()
    try:
        read = core.read_model(content)
    except RuntimeError as error:
        return asked, [], _unconverted(str(error), model)
    missing = {node.get_friendly_name(): node for node in read.get_ordered_ops()}
    for name in core.query_model(read, "CPU"):
        missing.pop(name, None)
    problems = [Problem(name, node.get_type_name(), "not supported") for name, node in missing.items()]
    if problems:
        return asked, [], problems
    try:
        running = core.compile_model(read, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}).get_runtime_model()
    except RuntimeError as error:
        return asked, [], [Problem("", "graph", _reason(str(error)))]
    layers: Layers = []
    origin = _Origin(model)
    for node in running.get_ordered_ops():
        info = node.get_rt_info()
        facts = {key: info[key].astype(str) for key in OPENVINO_FACTS if key in info}
        if facts.get("layerType") in OPENVINO_LAYERS:
            kind = facts.get("runtimePrecision", "")
            names = [name for name in facts.get("originalLayersNames", "").split(",") if name]
            told = FLOATS.get(kind, "int8" if kind in INTEGERS else kind)
            layers.append((origin.layer([*names, node.get_friendly_name()]), facts["layerType"], told))
    return asked, layers, []


def _unconverted(said: str, model: "library.ModelProto") -> list[Problem]:
    """The nodes of the operators that OpenVINO's reader names."""
    named = set(re.findall(r"(?:ai\.onnx\.|com\.microsoft\.|\b)([A-Z][A-Za-z0-9]+)", said))
    found = [Problem(n.name, n.op_type, "no conversion") for n in model.graph.node if n.op_type in named]
    return found or [Problem("", "graph", _reason(said))]


def _tensorrt(content: bytes, model: "library.ModelProto") -> Found:
    if find_spec("tensorrt") is not None:
        import tensorrt

        parser = tensorrt.OnnxParser(
            tensorrt.Builder(tensorrt.Logger(tensorrt.Logger.ERROR)).create_network(0),
            tensorrt.Logger(tensorrt.Logger.ERROR),
        )
        asked, problems = f"tensorrt {tensorrt.__version__}", []
        if not parser.parse(content):
            told = [str(parser.get_error(index)).splitlines()[0] for index in range(parser.num_errors)]
            problems = [Problem("", "graph", text) for text in told]
        return asked, [], problems
    return tensorrt_operators.SOURCE, [], [
        Problem(node.name, node.op_type, reason) for node, reason in tensorrt_operators.refused(model)
    ]


def _reason(text: str) -> str:
    """The first line that says something, without the place in the library's own source and codes."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    sayings = [line for line in lines if not line.startswith(("Exception from", "Check '"))]
    chosen = next(iter(sayings or lines), "")
    return re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", chosen)[:300]
