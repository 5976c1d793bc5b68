"""A model repository of NVIDIA's Triton inference server: config.pbtxt, labels, versions; written, and read back.

Fields as Triton's documentation of the model configuration names them (the message ModelConfig). A file is read with
the message's own field names and types, so a word that Triton would refuse is refused here.
"""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tltpy.deploy import engine
from tltpy.deploy.runtime import Runtime, open_runtime
from tltpy.errors import QualityError, UsageError

if TYPE_CHECKING:
    from google.protobuf.message import Message

CONFIG, LABELS, VERSION = "config.pbtxt", "labels.txt", "1"
DELAY_US = 2000  # that a request may wait for others
TYPES = {
    "TYPE_BOOL": np.bool_, "TYPE_UINT8": np.uint8, "TYPE_INT8": np.int8, "TYPE_INT32": np.int32,
    "TYPE_INT64": np.int64, "TYPE_FP16": np.float16, "TYPE_FP32": np.float32, "TYPE_FP64": np.float64,
}  # fmt: skip
FILES = {"onnxruntime": ("model.onnx",), "openvino": ("model.onnx", "model.xml")}  # backend -> names it opens


def repository(
    name: str, graph: bytes, metadata: dict[str, Any], *, batch_size: int, openvino: bool
) -> dict[str, bytes]:
    """Path within the repository -> content: a model NAME for the backend onnxruntime, NAME_openvino for openvino.

    Args:
        graph: of standard operators.
        batch_size: the largest that Triton puts together; a graph of a fixed size is served at that size alone.
        openvino: the library is installed: its model is in OpenVINO's own format, else it is the ONNX file.
    """
    if not re.fullmatch(r"[\w.-]+", name):
        raise UsageError(f'"{name}" cannot be the name of a model of Triton', "call the output file otherwise")
    runtime = open_runtime(graph)
    labels = "".join(f"{label}\n" for label in metadata.get("labels", [])).encode()
    found: dict[str, bytes] = {}
    for backend, model in (("onnxruntime", name), ("openvino", f"{name}_openvino")):
        files = {"model.onnx": graph}
        if backend == "openvino" and openvino:
            built = engine.build(graph, backend="openvino", precision=engine.own_precision(graph))
            files = {f"model{suffix}": content for suffix, content in built.items()}
        text = _config(model, backend, next(reversed(sorted(files))), runtime, metadata, batch_size)
        found[f"{model}/{CONFIG}"] = text.encode()
        found |= {f"{model}/{LABELS}": labels} if labels else {}
        found |= {f"{model}/{VERSION}/{file}": content for file, content in files.items()}
    return found


@dataclass(frozen=True)
class Model:
    """What a folder of the repository says: `inputs` and `outputs` map names to (type, dimensions without a batch)."""

    path: Path
    backend: str
    graph: Path
    labels: tuple[str, ...] | None
    max_batch_size: int  # 0: the dimensions hold the batch
    inputs: dict[str, tuple[np.dtype, tuple[int, ...]]]
    outputs: dict[str, tuple[np.dtype, tuple[int, ...]]]


def read(folder: Path) -> Model:
    """The configuration of a model; QualityError for what Triton would refuse or could not find."""
    path = folder / CONFIG
    message: Any = _parsed(path)
    if message.name != folder.name:
        raise QualityError(f'{path}: the model is called "{message.name}", and its folder {folder.name}')
    if message.backend not in FILES:
        raise QualityError(f'{path}: backend "{message.backend}" is none of {", ".join(FILES)}')
    versions = [int(child.name) for child in folder.iterdir() if child.is_dir() and child.name.isdecimal()]
    if not versions:
        raise QualityError(f"{folder}: no folder of a version")
    file = message.default_model_filename or "model.onnx"
    graph = folder / str(max(versions)) / file
    if file not in FILES[message.backend] or not graph.is_file():
        raise QualityError(f"{path}: {graph} is not there, or not for {message.backend}")
    for size in message.dynamic_batching.preferred_batch_size:
        if not 0 < size <= message.max_batch_size:
            raise QualityError(f"{path}: preferred_batch_size {size} is above max_batch_size {message.max_batch_size}")
    if message.HasField("dynamic_batching") and not message.max_batch_size:
        raise QualityError(f"{path}: dynamic_batching needs a max_batch_size")
    return Model(
        path=path,
        backend=message.backend,
        graph=graph,
        labels=_labels(folder, message),
        max_batch_size=message.max_batch_size,
        inputs={entry.name: _tensor(path, entry) for entry in message.input},
        outputs={entry.name: _tensor(path, entry) for entry in message.output},
    )


def open_graph(model: Model) -> Runtime:
    """The graph that Triton would load; QualityError where names, types or dimensions are not the graph's."""
    runtime = open_runtime(model.graph)
    for side, told in (("inputs", model.inputs), ("outputs", model.outputs)):
        known = getattr(runtime, side)
        if set(told) != set(known):
            raise QualityError(f"{model.path}: the {side} {', '.join(told)} are not the graph's, {', '.join(known)}")
        for name, (dtype, dims) in told.items():
            port = known[name]
            shape = (None, *dims) if model.max_batch_size else dims
            if dtype != port.dtype:
                raise QualityError(f"{model.path}: {name} is {dtype} there, and {port.dtype} in the graph")
            if shape != tuple(port.shape):
                raise QualityError(f"{model.path}: {name} has dims {dims}, and in the graph the shape {port.shape}")
    if "labels" in runtime.metadata and model.labels != tuple(runtime.metadata["labels"]):
        raise QualityError(f"{model.path}: the labels are not those of the graph, {runtime.metadata['labels']}")
    return runtime


def models(folder: Path) -> list[Path]:
    """The folders of the models of a repository, or a single model's own."""
    if (folder / CONFIG).is_file():
        return [folder]
    return sorted(path.parent for path in folder.glob(f"*/{CONFIG}"))


def _config(
    name: str, backend: str, file: str, runtime: Runtime, metadata: dict[str, Any], batch_size: int
) -> str:
    fixed = runtime.batch_size is not None
    batches = sorted({size for size in (1, 2, 4, 8, 16, 32, 64, batch_size) if size <= batch_size})
    labelled = metadata.get("boxes", {}).get("classes") if metadata.get("labels") else None
    ports: list[tuple[str, tuple[str, Any], str | None]]
    ports = [("input", entry, None) for entry in runtime.inputs.items()]
    ports += [("output", entry, LABELS if entry[0] == labelled else None) for entry in runtime.outputs.items()]
    names = {np.dtype(dtype): kind for kind, dtype in TYPES.items()}
    parts = [
        f'name: "{name}"\nbackend: "{backend}"\ndefault_model_filename: "{file}"\n'
        f"max_batch_size: {0 if fixed else batch_size}"
    ]
    for side, (port_name, port), labels in ports:
        dims = ", ".join(str(size) for size in (port.shape if fixed else port.shape[1:]))
        lines = [f'name: "{port_name}"', f"data_type: {names[port.dtype]}", f"dims: [ {dims} ]"]
        lines += [f'label_filename: "{labels}"'] if labels else []
        parts.append(f"{side} {{\n" + "".join(f"  {line}\n" for line in lines) + "}")
    if not fixed:
        preferred = ", ".join(map(str, batches))
        parts.append(
            f"dynamic_batching {{\n  preferred_batch_size: [ {preferred} ]\n"
            f"  max_queue_delay_microseconds: {DELAY_US}\n}}"
        )
    kind = "KIND_CPU" if backend == "openvino" else "KIND_AUTO"
    parts.append(f"instance_group {{\n  count: 1\n  kind: {kind}\n}}")
    return "\n".join(parts) + "\n"


def _parsed(path: Path) -> "Message":
    from google.protobuf import text_format

    message: Message = _message()()
    try:
        text_format.Parse(path.read_text(), message)
    except (text_format.ParseError, OSError, UnicodeDecodeError) as error:
        raise QualityError(f"{path}: {str(error).splitlines()[0]}") from error
    return message


def _tensor(path: Path, entry: Any) -> tuple[np.dtype, tuple[int, ...]]:
    kind = entry.DESCRIPTOR.fields_by_name["data_type"].enum_type.values_by_number[entry.data_type].name
    if kind not in TYPES:
        raise QualityError(f"{path}: {entry.name} has no type that a graph of numbers knows")
    return np.dtype(TYPES[kind]), tuple(entry.dims)


def _labels(folder: Path, message: Any) -> tuple[str, ...] | None:
    names = {entry.label_filename for entry in message.output if entry.label_filename}
    if not names:
        return None
    (name,) = names
    try:
        return tuple((folder / name).read_text().splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise QualityError(f"{folder / name}: the labels cannot be read") from error


@cache
def _message() -> "type[Any]":
    """ModelConfig as far as tltpy writes it, made here: field names and types, which are all that a text file shows."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    one, many = kinds.LABEL_OPTIONAL, kinds.LABEL_REPEATED
    file = descriptor_pb2.FileDescriptorProto(name="tltpy/triton.proto", package="tltpy.triton", syntax="proto2")

    def enum(name: str, values: list[str]) -> None:
        entry = file.enum_type.add(name=name)
        for number, value in enumerate(values):
            entry.value.add(name=value, number=number)

    def message(name: str, fields: list[tuple[str, int, int, str]]) -> None:
        entry = file.message_type.add(name=name)
        for number, (field, label, kind, type_name) in enumerate(fields, 1):
            full = f".tltpy.triton.{type_name}" if type_name else None
            entry.field.add(name=field, number=number, label=label, type=kind, type_name=full)

    text, whole, nested, choice = kinds.TYPE_STRING, kinds.TYPE_INT64, kinds.TYPE_MESSAGE, kinds.TYPE_ENUM
    enum("DataType", ["TYPE_INVALID", *TYPES, "TYPE_STRING"])
    enum("Kind", ["KIND_AUTO", "KIND_GPU", "KIND_CPU", "KIND_MODEL"])
    tensor = [("name", one, text, ""), ("data_type", one, choice, "DataType"), ("dims", many, whole, "")]
    message("Input", tensor)
    message("Output", [*tensor, ("label_filename", one, text, "")])
    message("Batching", [("preferred_batch_size", many, whole, ""), ("max_queue_delay_microseconds", one, whole, "")])
    message("Instances", [("count", one, whole, ""), ("kind", one, choice, "Kind"), ("gpus", many, whole, "")])
    message("ModelConfig", [
        ("name", one, text, ""), ("backend", one, text, ""), ("platform", one, text, ""),
        ("default_model_filename", one, text, ""), ("max_batch_size", one, whole, ""),
        ("input", many, nested, "Input"), ("output", many, nested, "Output"),
        ("dynamic_batching", one, nested, "Batching"), ("instance_group", many, nested, "Instances"),
    ])  # fmt: skip
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tltpy.triton.ModelConfig"))
