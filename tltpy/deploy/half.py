"""Half precision of an ONNX graph: layers, which do the work, in float16, all that is behind the last one in float32.

What follows the last convolution or matrix product of every path turns raw outputs into results (coordinates, scores,
suppression); it costs little and suffers from 10 bits, so it keeps float32. No operator there has to be known by name.
"""

from typing import TYPE_CHECKING

import numpy as np

from tltpy.errors import UsageError

if TYPE_CHECKING:
    import onnx

LAYERS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU", "RNN"})


def tail(model: "onnx.ModelProto") -> set[int]:
    """Indices of the nodes that are no layer and from which no layer can be reached: the float32 part."""
    ahead: set[str] = set()  # values that some layer depends on
    behind = set()
    for index in reversed(range(len(model.graph.node))):
        node = model.graph.node[index]
        if node.op_type in LAYERS or not ahead.isdisjoint(node.output):
            ahead.update(node.input)
        else:
            behind.add(index)
    return behind


def boundary(model: "onnx.ModelProto") -> list[str]:
    """Names of the float values that enter the float32 part or leave the graph: the raw outputs of the network."""
    types = _types(model)
    behind = tail(model)
    made = [value for index, node in enumerate(model.graph.node) if index not in behind for value in node.output]
    wanted = {value for index in behind for value in model.graph.node[index].input}
    wanted |= {value.name for value in model.graph.output}
    raw = [value for value in made if value in wanted and types.get(value) == _float32()]
    return [_behind_codes(model, value) for value in raw]


def _behind_codes(model: "onnx.ModelProto", value: str) -> str:
    """What stands for a value where it is quantized and nothing else is done with it: its codes, as floats."""
    found = value
    for kind in ("QuantizeLinear", "DequantizeLinear"):
        users = [node for node in model.graph.node if found in node.input]
        if len(users) != 1 or users[0].op_type != kind:
            return value
        found = users[0].output[0]
    return found


def to_half(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """A copy with the same inputs and outputs whose layers compute in float16. UsageError for control flow."""
    return _Conversion(model).result


class _Conversion:
    """Rewrites a graph node by node; values keep their names in float32, `_halves` maps them to their float16 twins."""

    def __init__(self, model: "onnx.ModelProto") -> None:
        import onnx

        if any(attribute.HasField("g") for node in model.graph.node for attribute in node.attribute):
            raise UsageError("a graph with control flow cannot be made half precise", "build the engine with -t fp32")
        self._onnx = onnx
        self._types = _types(model)
        self._opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
        self._weights = {weight.name: weight for weight in model.graph.initializer}
        self._halves: dict[str, str] = {}
        self._singles: set[str] = {value.name for value in model.graph.input} | set(self._weights)
        self._nodes: list[onnx.NodeProto] = []
        self._made: list[onnx.TensorProto] = []
        self.result = self._rewritten(model, tail(model))

    def _rewritten(self, model: "onnx.ModelProto", behind: set[int]) -> "onnx.ModelProto":
        for index, node in enumerate(model.graph.node):
            copy = self._onnx.NodeProto()
            copy.CopyFrom(node)
            if index in behind or not self._halve(copy):
                for value in node.input:
                    self._need_single(value)
                self._nodes.append(copy)
                self._singles.update(node.output)
        for output in model.graph.output:
            self._need_single(output.name)
        result = self._onnx.ModelProto()
        result.CopyFrom(model)
        del result.graph.node[:], result.graph.value_info[:], result.graph.initializer[:]
        result.graph.node.extend(self._nodes)
        used = {value for node in self._nodes for value in node.input}
        result.graph.initializer.extend(
            weight for weight in (*self._weights.values(), *self._made) if weight.name in used
        )
        return result

    def _halve(self, node: "onnx.NodeProto") -> bool:
        """Turns a node into its float16 form and files it; False when the operator has none or holds no floats."""
        floats = [value for value in (*node.input, *node.output) if self._types.get(value) == _float32()]
        accepting = self._accepting(node)
        if not floats or accepting is None:
            return False
        for place, value in enumerate(node.input):
            if self._types.get(value) != _float32():
                continue
            if accepting[min(place, len(accepting) - 1)]:
                node.input[place] = self._half(value)
            else:
                self._need_single(value)
        for place, value in enumerate(node.output):
            if self._types.get(value) == _float32():
                node.output[place] = self._halves[value] = f"{value}_half"
        self._halve_attributes(node)
        self._nodes.append(node)
        return True

    def _accepting(self, node: "onnx.NodeProto") -> list[bool] | None:
        """For each formal input, whether it may be float16; None when the operator's floats cannot be."""
        schema = self._onnx.defs.get_schema(node.op_type, self._opset, node.domain)
        allowed = {entry.type_param_str: entry.allowed_type_strs for entry in schema.type_constraints}
        for output in schema.outputs:
            types = allowed.get(output.type_str, [output.type_str])
            if "tensor(float)" in types and "tensor(float16)" not in types:
                return None
        return ["tensor(float16)" in allowed.get(entry.type_str, [entry.type_str]) for entry in schema.inputs] or [True]

    def _halve_attributes(self, node: "onnx.NodeProto") -> None:
        tensors = self._onnx.numpy_helper
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == _float32():
                attribute.i = self._onnx.TensorProto.FLOAT16
            elif attribute.HasField("t") and attribute.t.data_type == _float32():
                attribute.t.CopyFrom(tensors.from_array(_rounded(tensors.to_array(attribute.t))))
            elif node.op_type == "Constant" and attribute.name in ("value_float", "value_floats"):
                numbers = np.array(attribute.f if attribute.name == "value_float" else list(attribute.floats))
                tensor = tensors.from_array(numbers.astype(np.float16))
                attribute.CopyFrom(self._onnx.helper.make_attribute("value", tensor))

    def _half(self, value: str) -> str:
        """The name of the float16 twin of a value, made where there is none yet."""
        if value not in self._halves:
            self._halves[value] = f"{value}_half"
            if value in self._weights:
                array = _rounded(self._onnx.numpy_helper.to_array(self._weights[value]))
                self._made.append(self._onnx.numpy_helper.from_array(array, f"{value}_half"))
            else:
                self._cast(value, f"{value}_half", self._onnx.TensorProto.FLOAT16)
        return self._halves[value]

    def _need_single(self, value: str) -> None:
        if value and value not in self._singles and value in self._halves:
            self._cast(self._halves[value], value, _float32())
            self._singles.add(value)

    def _cast(self, source: str, target: str, kind: int) -> None:
        self._nodes.append(self._onnx.helper.make_node("Cast", [source], [target], f"cast_{target}", to=kind))


def _types(model: "onnx.ModelProto") -> dict[str, int]:
    """Element type of every value of the graph."""
    import onnx

    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    found = {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.input, *graph.output)}
    return found | {weight.name: weight.data_type for weight in graph.initializer}


def _rounded(array: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # an infinite weight is found when the engine is compared with the graph
        return array.astype(np.float16)


def _float32() -> int:
    import onnx

    return int(onnx.TensorProto.FLOAT)
