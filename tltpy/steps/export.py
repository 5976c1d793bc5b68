"""export: a trained model in, its graph out: ONNX with decoding and all, sealed or plain, proven equal to the model."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tltpy import artifact, files, tasks
from tltpy.deploy import engine, onnx
from tltpy.deploy.proof import Proof, prove
from tltpy.errors import DataError, SpecError, UsageError
from tltpy.log import Log
from tltpy.nn import cost
from tltpy.steps import models

if TYPE_CHECKING:
    from torch import Tensor

    from tltpy.tasks.contract import Graph, Task

PICTURES = 4  # compared


@dataclass(frozen=True, kw_only=True)
class ExportRequest:
    """`cfg` None: the spec in the model file. `batch_size` None: the graph takes any."""

    task: str
    cfg: Any | None
    model: Path
    output: Path
    key: str | None
    format: str = "etlt"  # or onnx
    batch_size: int | None = None
    opset: int = onnx.OPSET
    engine_file: Path | None = None
    precision: str = "fp32"  # of the engine; the graph is fp32 always
    results_dir: Path | None = None
    overwrite: bool = False


def run(request: ExportRequest, log: Log) -> dict[str, Any]:
    """Writes one file a graph, and an engine of each where one is asked for. Nothing is written when a graph differs.

    Raises QualityError where a graph does not compute what the model computes.
    """
    engine.require("onnxruntime", request.precision)
    header = artifact.inspect(request.model)
    if header.stage != "float":
        raise UsageError(f"{request.model}: a model of the stage {header.stage} cannot be exported")
    for path in (request.output, request.engine_file):
        if path is not None:
            files.refuse_existing(path, request.overwrite)
    opened = models.open_network(request.model, request.key, request.task, request.cfg)
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
    made = [_export(request, opened, task, graph, log) for graph in graphs]  # all are proven before one is written
    written = [_write(request, opened, places[graph.name], each, log) for graph, each in zip(graphs, made, strict=True)]
    log.status("SUCCESS", "export finished", files=[entry["file"] for entry in written])
    return {"model": str(request.model), "format": request.format, "opset": request.opset, "graphs": written}


def text(result: dict[str, Any]) -> str:
    """A line a file, and how far it is from the model."""
    lines = []
    for entry in result["graphs"]:
        names = f"{', '.join(entry['inputs'])} -> {', '.join(entry['outputs'])}"
        lines.append(f"{entry['file']}  {entry['bytes'] / 1e6:.2f} MB  {names}")
        lines.append(f"  compared with the model on {entry['compared_on']}: {entry['comparison']}")
        if entry["engine"]:
            lines.append(f"{entry['engine']}  {entry['engine_bytes'] / 1e6:.2f} MB")
    return "\n".join(lines)


@dataclass(frozen=True)
class _Made:
    graph: "Graph"
    content: bytes
    engine: bytes | None
    proof: Proof
    compared_on: str
    metadata: dict[str, Any]


def _export(request: ExportRequest, opened: models.Opened, task: "Task", graph: "Graph", log: Log) -> _Made:
    inputs, origin = _inputs(task, opened.cfg, graph)
    single = {name: value[:1] for name, value in graph.example.items()}
    metadata = {
        **graph.metadata,
        "graph": graph.name,
        "params": cost.parameters(opened.network),
        "flops": cost.flops(opened.network, single),
        "ranges": {name: [float(value.min()), float(value.max())] for name, value in inputs.items()},
        "model": opened.file.digest,
        "spec_sha256": hashlib.sha256(models.spec_text(opened.cfg).encode()).hexdigest(),
    }
    example = graph.example
    if request.batch_size is not None:
        example = {name: value[:1].repeat_interleave(request.batch_size, 0) for name, value in example.items()}
    log.info(f"writing the graph {graph.name} in operator set {request.opset}")
    content = onnx.write(
        graph.module.eval(),
        example,
        graph.outputs,
        metadata=metadata,
        opset=request.opset,
        dynamic_batch=request.batch_size is None,
    )
    proof = prove(graph.module, content, inputs, f"{request.model}: the graph {graph.name}")
    log.info(f"compared with the model on {origin}: {proof.describe()}")
    built = None
    if request.engine_file is not None:
        engine.verify(content, backend="onnxruntime", precision=request.precision, inputs=inputs)
        (built,) = engine.build(content, backend="onnxruntime", precision=request.precision).values()
    return _Made(graph, content, built, proof, origin, metadata)


def _inputs(task: "Task", cfg: Any, graph: "Graph") -> "tuple[dict[str, Tensor], str]":
    """What the graph is compared on, and in words: pictures of the validation data, else made-up ones."""
    try:
        stored = task.read(cfg, "validation")
        count = min(PICTURES, len(stored))
        records = [stored[index * len(stored) // count] for index in range(count)]
        samples = [task.sample(record, cfg, None) for record in records]
    except (DataError, SpecError):  # a model file is exported on another machine, too
        samples = []
    origin = f"{len(samples)} validation pictures"
    if not samples:
        rng = np.random.default_rng(0)
        samples = [task.sample(task.example(cfg, rng), cfg, None) for _ in range(PICTURES)]
        origin = f"{len(samples)} made-up pictures, since the validation data is not there"
    inputs = task.inputs(task.collate(samples), None, cfg)
    if set(inputs) != set(graph.example):
        return graph.example, "the task's own example"
    return inputs, origin


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
        with files.atomic(place) as file:
            file.write(made.engine)
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
        "engine_bytes": len(made.engine) if made.engine else None,
    }


def _place(path: Path, name: str, count: int) -> Path:
    """a.etlt, or a.main.etlt where there are several graphs."""
    return path if count == 1 else path.with_name(f"{path.stem}.{name}{path.suffix}")
