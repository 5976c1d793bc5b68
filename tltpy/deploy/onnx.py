"""Writes a network as one ONNX file of standard operators: weights inline, batch normalisation folded, batch size free.

Graphs are made in operator set 18, the oldest that PyTorch's exporter writes, and converted from there when another one
is asked for.
"""

import ast
import json
import logging
import warnings
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

import tltpy
from tltpy.errors import ModelFileError, UsageError
from tltpy.geometry import suppression

if TYPE_CHECKING:
    import onnx
    import onnxscript

OPSET = 18
OLDEST_OPSET, NEWEST_OPSET = 15, 23
LIMIT_BYTES = 2**31 - 1  # of a protobuf message
BATCH = "batch"  # the name of the free dimension


def write(
    module: nn.Module,
    example: dict[str, Tensor],
    outputs: tuple[str, ...],
    *,
    metadata: dict[str, Any],
    opset: int = OPSET,
    dynamic_batch: bool = True,
) -> bytes:
    """The bytes of an ONNX file.

    Args:
        module: in evaluation mode, on the CPU; maps a dict of tensors to one.
        example: inputs of a batch of two or more where the batch is dynamic; its keys name the inputs of the graph.
        outputs: keys of the module's outputs, in the order of the graph's.
        metadata: stands in the file as one JSON text a key.

    Raises:
        ModelFileError: the weights do not fit into one file.
        UsageError: `opset` is one that the graph cannot be written in.
    """
    assert not module.training
    _check_size(module)
    if not OLDEST_OPSET <= opset <= NEWEST_OPSET:
        hint = f"{OPSET} to {NEWEST_OPSET} always work, {OLDEST_OPSET} and newer with most networks"
        raise UsageError(f"operator set {opset} cannot be written", hint)
    axes = {name: {0: torch.export.Dim(BATCH, min=1)} for name in example} if dynamic_batch else None
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            _Ordered(module, outputs),
            kwargs={"inputs": example},
            input_names=list(example),
            output_names=list(outputs),
            dynamic_shapes={"inputs": axes} if axes else None,
            opset_version=max(opset, OPSET),
            custom_translation_table={torch.ops.tltpy.suppress.default: _suppress},
            dynamo=True,
            optimize=True,
            verbose=False,
        )
        assert program is not None
        model = program.model_proto
    assert not model.functions and all(node.domain in ("", "ai.onnx") for node in model.graph.node)
    _name(model.graph)
    _unshare(model.graph)
    return seal(_converted(model, opset), metadata)


def seal(model: "onnx.ModelProto", metadata: dict[str, Any]) -> bytes:
    """Strips what the exporter noted about its own run, adds `metadata` and the producer, checks, and serialises."""
    import onnx

    _strip(model.graph)
    del model.metadata_props[:]
    model.doc_string = ""
    model.producer_name, model.producer_version = "tltpy", tltpy.__version__
    # runtimes refuse files of a newer format than they know, so name the oldest that holds these operators
    model.ir_version = onnx.helper.find_min_ir_version_for(model.opset_import, ignore_unknown=True)
    onnx.helper.set_model_props(model, {key: json.dumps(value) for key, value in metadata.items()})
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def read(content: bytes, name: str = "graph") -> "onnx.ModelProto":
    """Parses and checks; `name` stands in the ModelFileError about damaged bytes."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model_from_string(content)
        if not model.graph.node:
            raise ModelFileError(f"{name}: not an ONNX graph, or damaged")
        onnx.checker.check_model(model)
    except (DecodeError, onnx.checker.ValidationError) as error:
        raise ModelFileError(f"{name}: not an ONNX graph, or damaged") from error
    return model


def metadata_of(model: "onnx.ModelProto") -> dict[str, Any]:
    """The metadata of a graph; values that are no JSON stay text."""
    return parse_metadata({entry.key: entry.value for entry in model.metadata_props})


def parse_metadata(texts: dict[str, str]) -> dict[str, Any]:
    parsed: dict[str, Any] = {}
    for key, text in texts.items():
        try:
            parsed[key] = json.loads(text)
        except ValueError:
            parsed[key] = text
    return parsed


def fix_batch(content: bytes, batch_size: int) -> bytes:
    """The same graph for batches of `batch_size` alone; UsageError when it is fixed to another size already."""
    model = read(content)
    for value in model.graph.input:
        dim = value.type.tensor_type.shape.dim[0]
        if dim.HasField("dim_value") and dim.dim_value != batch_size:
            raise UsageError(f"the graph is made for batches of {dim.dim_value}, not of {batch_size}")
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param == BATCH:
                dim.dim_value = batch_size
    return model.SerializeToString()


def with_outputs(content: bytes, names: list[str]) -> bytes:
    """The same graph with some of its inner values as further outputs."""
    import onnx

    model = read(content)
    present = {value.name for value in model.graph.output}
    inner = onnx.shape_inference.infer_shapes(model).graph.value_info
    model.graph.output.extend(value for value in inner if value.name in names and value.name not in present)
    return model.SerializeToString()


class _Ordered(nn.Module):
    """Gives the outputs as a tuple: exporters keep the order of a tuple."""

    def __init__(self, module: nn.Module, outputs: tuple[str, ...]) -> None:
        super().__init__()
        self.module = module
        self.outputs = outputs

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, ...]:
        found = self.module(inputs)
        return tuple(found[name] for name in self.outputs)


def _suppress(
    boxes: "onnxscript.ir.Value", scores: "onnxscript.ir.Value", iou_threshold: float, score_threshold: float
) -> "onnxscript.ir.Value":
    """tltpy::suppress in standard operators: the indices of the boxes that stay, scattered into a mask."""
    from onnxscript import opset18 as op

    shape = op.Shape(scores)  # [G, K]
    found = op.NonMaxSuppression(
        boxes,
        op.Unsqueeze(scores, op.Constant(value_ints=[1])),  # [G, 1, K]
        op.Gather(shape, op.Constant(value_ints=[1])),
        op.Constant(value_floats=[iou_threshold]),
        op.Constant(value_floats=[score_threshold]),
    )  # [S, 3]: group, 0, box
    places = op.Gather(found, op.Constant(value_ints=[0, 2]), axis=1)  # [S, 2]
    count = op.Gather(op.Shape(found), op.Constant(value_ints=[0]))
    # floats, since not every runtime scatters booleans
    marks = op.Expand(op.Constant(value_floats=[1.0]), count)  # [S]
    return op.Cast(op.ScatterND(op.ConstantOfShape(shape), places, marks), to=9)  # bool [G, K]


def _check_size(module: nn.Module) -> None:
    size = sum(tensor.numel() * tensor.element_size() for tensor in (*module.parameters(), *module.buffers()))
    if size >= LIMIT_BYTES:
        raise ModelFileError(
            f"the network's weights take {size / 2**30:.1f} GiB, and one ONNX file holds 2 GiB at most",
            "prune the network, or choose a smaller one",
        )


def _name(graph: "onnx.GraphProto") -> None:
    """Names nodes "module:operation", as "head.conv:conv2d", after the module that they come from; what the exporter
    made up keeps its own name. Profiles and messages about a graph speak of modules by that."""
    used: set[str] = set()
    for node in graph.node:
        notes = {entry.key: entry.value for entry in node.metadata_props}
        scopes = ast.literal_eval(notes.get("pkg.torch.onnx.name_scopes", "[]"))
        path, operation = (scopes[-2], scopes[-1]) if len(scopes) > 1 else ("", "")
        # a convolution that took a normalisation in has the scope of that
        weight = next((value for value in node.input if value.startswith("module.") and value.endswith(".weight")), "")
        if weight and weight.removesuffix(".weight") != path:
            path, operation = weight.removesuffix(".weight"), node.op_type
        path = path.removeprefix("module").removeprefix(".")  # of _Ordered
        name = f"{path}:{operation}" if operation else node.name
        if name in used:
            name = f"{name}_{node.op_type}"
        while name in used:
            name += "_"
        node.name = name
        used.add(name)


def _converted(model: "onnx.ModelProto", opset: int) -> "onnx.ModelProto":
    import onnx

    written = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    if written == opset:
        return model
    try:
        return onnx.version_converter.convert_version(model, opset)
    except (RuntimeError, onnx.version_converter.ConvertError) as error:
        raise UsageError(
            f"operator set {opset} has no form for an operator of this network",
            f"{OPSET} to {NEWEST_OPSET} always work",
        ) from error


def _unshare(graph: "onnx.GraphProto") -> None:
    """Gives each user of a stored integer tensor its own, with its own scale and zero point. The exporter makes equal
    ones one, and ONNX Runtime fails where it changes the type of one twice (x64quantprecision)."""
    stored = {tensor.name: tensor for tensor in graph.initializer}
    users: dict[str, list[tuple[onnx.NodeProto, int]]] = defaultdict(list)
    for node in graph.node:
        for place, name in enumerate(node.input):
            users[name].append((node, place))
    used: set[str] = set()
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        nodes.append(node)
        if node.op_type != "DequantizeLinear" or node.input[0] not in stored:
            continue
        own = node.output[0]
        for number, (user, place) in enumerate(users[own]):
            if number:
                nodes.append(type(node)())
                nodes[-1].CopyFrom(node)
                nodes[-1].name, nodes[-1].output[0] = f"{node.name}_user{number}", f"{own}_user{number}"
                user.input[place] = nodes[-1].output[0]
            for source, name in enumerate(nodes[-1].input):
                if name in used:
                    copied = graph.initializer.add()
                    copied.CopyFrom(stored[name])
                    name = copied.name = nodes[-1].input[source] = f"{nodes[-1].output[0]}_{source}_{name}"
                    stored[name] = copied
                used.add(name)
    ordered = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(ordered)


def _strip(graph: "onnx.GraphProto") -> None:
    """Removes notes such as source lines and stack traces, which hold paths of the machine."""
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _strip(attribute.g)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the exporter's advice, which is not meant for our users, off the terminal."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


# the operator must be registered before a graph that holds it is exported
assert suppression.suppress is not None
