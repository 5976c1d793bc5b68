"""export: a trained model in, its graph out: ONNX with decoding and all, sealed or plain, proven equal to the model."""

import hashlib
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tltpy import artifact, files, tasks
from tltpy.deploy import deepstream, engine, margin, onnx, plugins
from tltpy.deploy.proof import Proof, prove
from tltpy.errors import UsageError
from tltpy.log import Log
from tltpy.nn import cost
from tltpy.steps import bundles, models, stages

if TYPE_CHECKING:
    from torch import Tensor

    from tltpy.tasks.contract import Graph, Record, Task

TARGETS = ("portable", "tensorrt")
INTEGER_OPSET = 21  # the first with 16-bit QuantizeLinear


@dataclass(frozen=True, kw_only=True)
class ExportRequest:
    """`cfg` None: the spec in the model file. `batch_size` None: the graph takes any.

    `target` tensorrt puts the plugin `nms` in the place of standard suppression. `pictures`: what is compared on.
    `max_batch_size`: of the folders for DeepStream (None: 1) and Triton (None: 8).
    """

    task: str
    cfg: Any | None
    model: Path
    output: Path
    key: str | None
    format: str = "etlt"  # or onnx
    batch_size: int | None = None
    opset: int = onnx.OPSET
    engine_file: Path | None = None
    precision: str = "fp32"  # int8: of the graph; fp32, fp16: of the engine, the graph is fp32
    results_dir: Path | None = None
    overwrite: bool = False
    target: str = "portable"
    nms: str = "batched"
    deepstream_dir: Path | None = None
    triton_dir: Path | None = None
    max_batch_size: int | None = None
    pictures: Path | None = None


def run(request: ExportRequest, log: Log) -> dict[str, Any]:
    """Writes one file a graph, and an engine of each where one is asked for. Nothing is written when a graph differs.

    Raises QualityError where a graph does not compute what the model computes.
    """
    _check_request(request)
    opened = stages.in_integers(models.open_network(request.model, request.key, request.task, request.cfg))
    if request.results_dir is not None:
        with files.translated(request.results_dir):
            request.results_dir.mkdir(parents=True, exist_ok=True)
            log.open_status(request.results_dir)
    log.status("STARTED", "exporting", model=str(request.model))
    task = tasks.load(request.task)
    graphs = task.graphs(opened.network, opened.cfg)
    places = {graph.name: _place(request.output, graph.name, len(graphs)) for graph in graphs}
    for path in places.values():
        files.refuse_existing(path, request.overwrite)
    seen = bundles.pictures(task, opened.cfg, request.pictures)
    made = [_export(request, opened, task, graph, seen, log) for graph in graphs]  # proven before one is written
    with ExitStack() as stack:
        played = [entry for each in made for entry in _bundles(request, opened, task, each, seen, stack, log)]
        written = [
            _write(request, opened, places[graph.name], each, log) for graph, each in zip(graphs, made, strict=True)
        ]
    log.status("SUCCESS", "export finished", files=[entry["file"] for entry in written])
    result = {"model": str(request.model), "format": request.format, "opset": request.opset, "target": request.target}
    return {**result, "graphs": written, "bundles": played}


def text(result: dict[str, Any]) -> str:
    """A line a file, and how far it is from the model."""
    lines = []
    for entry in result["graphs"]:
        names = f"{', '.join(entry['inputs'])} -> {', '.join(entry['outputs'])}"
        lines.append(f"{entry['file']}  {entry['bytes'] / 1e6:.2f} MB  {names}")
        lines.append(f"  compared with the model on {entry['compared_on']}: {entry['comparison']}")
        if entry["engine"]:
            lines.append(f"{entry['engine']}  {entry['engine_bytes'] / 1e6:.2f} MB")
    for entry in result["bundles"]:
        lines.append(f"{entry['folder']}  {entry['text']}")
    return "\n".join(lines)


@dataclass(frozen=True)
class _Made:
    """`portable` is the graph of standard operators where one was written."""

    graph: "Graph"
    content: bytes
    portable: bytes | None
    inputs: "dict[str, Tensor]"
    engine: dict[str, bytes] | None  # suffix -> content
    proof: Proof
    compared_on: str
    metadata: dict[str, Any]


def _check_request(request: ExportRequest) -> None:
    """Everything that can be said before the model is opened."""
    backend = "tensorrt" if request.target == "tensorrt" and request.engine_file else "onnxruntime"
    engine.require(backend, request.precision)
    header = artifact.inspect(request.model)
    if header.stage != "float" and request.precision != "int8":
        text = f"{request.model}: a model of the stage {header.stage} is exported with integers"
        raise UsageError(text, "--data_type int8")
    if header.stage == "float" and request.precision == "int8":
        raise UsageError(
            f"{request.model}: int8 needs a quantized model, and this one holds float weights",
            "tlt-train --stage calibration, then --stage qat or --stage int_infer, make one",
        )
    if request.deepstream_dir and request.nms != "batched":
        raise UsageError("DeepStream's parser reads the outputs of the batched plugin", "--nms batched")
    for path in (request.output, request.engine_file, request.deepstream_dir):
        if path is not None:
            files.refuse_existing(path, request.overwrite)
    if request.triton_dir is not None:
        for name in (request.output.stem, f"{request.output.stem}_openvino"):
            files.refuse_existing(request.triton_dir / name, request.overwrite)


def _export(
    request: ExportRequest, opened: models.Opened, task: "Task", graph: "Graph", seen: "tuple[list[Record], str]",
    log: Log,
) -> _Made:
    inputs, origin = _inputs(task, opened.cfg, graph, *seen)
    single = {name: value[:1] for name, value in graph.example.items()}
    metadata = {
        **graph.metadata,
        "graph": graph.name,
        "params": opened.params,
        "flops": cost.flops(opened.network, single),
        "ranges": {name: [float(value.min()), float(value.max())] for name, value in inputs.items()},
        "model": opened.file.digest,
        "spec_sha256": hashlib.sha256(models.spec_text(opened.cfg).encode()).hexdigest(),
    }
    nms = metadata.get("nms", {})
    if nms.get("score_bits") and request.target == "portable" and not request.deepstream_dir:
        log.warn(
            f"{nms['score_bits_field']} has no effect: it concerns TensorRT's plugin, and scores are floats here",
            "--target tensorrt writes the plugin",
        )
    log.info(f"writing the graph {graph.name} in operator set {request.opset}")
    if request.target == "tensorrt":
        content, found = _with_plugin(request, graph, metadata, inputs, request.nms)
    else:
        content = _written(request, graph, graph.module, graph.outputs, metadata)
        found = prove(graph.module, content, inputs, f"{request.model}: the graph {graph.name}")
    log.info(f"compared with the model on {origin}: {found.describe()}")
    built = None
    if request.engine_file is not None:
        backend = "tensorrt" if request.target == "tensorrt" else "onnxruntime"
        engine.verify(content, backend=backend, precision=request.precision, inputs=inputs)
        built = engine.build(content, backend=backend, precision=request.precision)
    portable = content if request.target == "portable" else None
    return _Made(graph, content, portable, inputs, built, found, origin, metadata)


def _written(
    request: ExportRequest, graph: "Graph", module: Any, outputs: tuple[str, ...], metadata: dict[str, Any]
) -> bytes:
    example = graph.example
    if request.batch_size is not None:
        example = {name: value[:1].repeat_interleave(request.batch_size, 0) for name, value in example.items()}
    dynamic = request.batch_size is None
    opset = max(request.opset, INTEGER_OPSET) if request.precision == "int8" else request.opset
    with stages.exporting(module):
        return onnx.write(module.eval(), example, outputs, metadata=metadata, opset=opset, dynamic_batch=dynamic)


def _with_plugin(
    request: ExportRequest, graph: "Graph", metadata: dict[str, Any], inputs: "dict[str, Tensor]", kind: str
) -> tuple[bytes, Proof]:
    """The graph with TensorRT's plugin; its candidates are proven, and then what the plugin selects of them."""
    if graph.candidates is None:
        raise UsageError(f"the graph {graph.name} has no suppression that a plugin could do", "--target portable")
    what = f"{request.model}: the graph {graph.name}"
    content = _written(request, graph, graph.candidates, plugins.CANDIDATES, {})
    prove(graph.candidates, content, inputs, what)
    whole = plugins.append(content, metadata, kind)
    return whole, prove(graph.module, whole, inputs, what)


def _inputs(
    task: "Task", cfg: Any, graph: "Graph", records: "list[Record]", origin: str
) -> "tuple[dict[str, Tensor], str]":
    """What the graph is compared on, and in words."""
    samples = [task.sample(record, cfg, None) for record in records[: bundles.PICTURES]]
    inputs = task.inputs(task.collate(samples), None, cfg)
    if set(inputs) != set(graph.example):
        return graph.example, "the task's own example"
    return inputs, origin


def _bundles(
    request: ExportRequest, opened: models.Opened, task: "Task", made: _Made, seen: "tuple[list[Record], str]",
    stack: ExitStack, log: Log,
) -> list[dict[str, Any]]:
    """Writes the folders that are asked for where the stack will move them from, once everything else is well."""
    if request.deepstream_dir is None and request.triton_dir is None:
        return []
    graph, found = made.graph, []
    if "boxes" not in graph.metadata:
        raise UsageError(f"the graph {graph.name} gives no boxes: no folder can be checked")
    wanted = bundles.reference(task, opened.cfg, graph, *seen)
    if request.deepstream_dir is not None:
        deepstream.require(graph.metadata)
        plugin = made.content
        if request.target != "tensorrt":
            plugin, _ = _with_plugin(request, graph, made.metadata, made.inputs, "batched")
        if made.metadata["input"]["fit"] == "letterbox":
            plugin = margin.repaired(plugin, made.metadata["input"])
        size = request.batch_size or request.max_batch_size or 1
        parts = deepstream.bundle(made.metadata, plugin, batch_size=size, precision=request.precision)
        found += bundles.stage(request.deepstream_dir, parts, wanted, stack)
        log.warn(f"{request.deepstream_dir} holds the graph in plain ONNX: DeepStream opens no file of ours")
    if request.triton_dir is not None:
        portable = made.portable or _written(request, graph, graph.module, graph.outputs, made.metadata)
        found += bundles.stage_triton(
            request.triton_dir, request.output.stem, portable, made.metadata, request.max_batch_size or 8, wanted, stack
        )
    for entry in found:
        log.info(f"checked {entry['folder']} on {wanted.origin}: {entry['text']}")
    return found


def _write(request: ExportRequest, opened: models.Opened, path: Path, made: _Made, log: Log) -> dict[str, Any]:
    digest = None
    if request.format == "onnx":
        with files.atomic(path) as file:
            file.write(made.content)
    else:
        digest = artifact.save_graph(
            path,
            key=request.key,
            task=opened.file.header.task,
            stage=opened.file.header.stage,
            onnx=made.content,
            metadata={
                **made.metadata,
                "spec": models.spec_text(opened.cfg),
                "lineage": models.lineage(opened.file, "export"),
            },
            overwrite=request.overwrite,
        )
    log.info(f"wrote {path}")
    place = None
    if request.engine_file is not None and made.engine is not None:
        place = request.engine_file
        if path.stem != request.output.stem:
            place = _place(request.engine_file, made.graph.name, 2)
        backend = "tensorrt" if request.target == "tensorrt" else "onnxruntime"
        for suffix, part_path in engine.places(backend, place).items():
            with files.atomic(part_path) as file:
                file.write(made.engine[suffix])
        log.info(f"wrote {place}, for {request.precision}")
    return {
        "file": str(path),
        "bytes": path.stat().st_size,
        "digest": digest,
        "inputs": list(made.graph.example),
        "outputs": list(made.graph.outputs),
        "compared_on": made.compared_on,
        "comparison": made.proof.describe(),
        "difference": made.proof.outputs.difference,
        "raw_error": made.proof.raw_error,
        "params": made.metadata["params"],
        "flops": made.metadata["flops"],
        "engine": str(place) if place else None,
        "engine_bytes": sum(map(len, made.engine.values())) if made.engine else None,
    }


def _place(path: Path, name: str, count: int) -> Path:
    """a.etlt, or a.main.etlt where there are several graphs."""
    return path if count == 1 else path.with_name(f"{path.stem}.{name}{path.suffix}")
