"""convert: an exported graph in, an engine out, and how fast it is on this machine."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from tltpy import artifact, files
from tltpy.deploy import engine, perf, processor, tensorrt
from tltpy.deploy.runtime import Runtime, dims, open_runtime
from tltpy.errors import UsageError
from tltpy.log import Log
from tltpy.steps import perf_page

REPORTS = {"perf.txt": perf.text, "perf.json": perf.Report.to_json, "perf.html": perf_page.render_page}


@dataclass(frozen=True)
class Profile:
    """Shapes of one input, batch first: the smallest, the usual, the largest."""

    name: str
    least: tuple[int, ...]
    usual: tuple[int, ...]
    most: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class ConvertRequest:
    """`dims` (C, H, W), `nodes` and `layout` are what the user believes of the graph; they are checked."""

    source: Path
    engine: Path
    key: str | None = None
    backend: str = "onnxruntime"
    precision: str = "fp32"
    dims: tuple[int, ...] | None = None
    nodes: tuple[str, ...] = ()
    layout: str = "nchw"
    profiles: tuple[Profile, ...] = ()
    max_batch_size: int | None = None
    workspace: int | None = None  # bytes; this and what follows are of tensorrt
    strict: bool = False
    dla_core: int | None = None
    perf: bool = False
    against: Path | None = None  # another engine or graph, measured in turns with this one
    threads: int | None = None  # of the measurement; None: as many as torch takes
    out_dir: Path | None = None  # None: ENGINE.perf
    overwrite: bool = False


def run(request: ConvertRequest, log: Log) -> dict[str, Any]:
    """Builds, compares the engine with the graph, writes, measures."""
    load = processor.load()
    engine.require(request.backend, request.precision)
    places = engine.places(request.backend, request.engine)
    wishes = _wishes(request)
    if request.backend == "tensorrt":
        for note in tensorrt.ignored(wishes, request.precision):
            log.warn(note)
    reports = request.out_dir or request.engine.with_name(f"{request.engine.name}.perf")
    for path in (*places.values(), *([reports] if request.perf else [])):
        files.refuse_existing(path, request.overwrite)
    content = _read(request.source, request.key)
    graph = open_runtime(content, name=str(request.source))
    _check(request, graph)
    other = _other(request, graph)
    log.info(f"building {request.engine} for {request.backend}, {request.precision}")
    least = max((profile.least[0] for profile in request.profiles), default=1)
    probe = engine.made_up(graph.inputs, graph.metadata, max(2, least))
    error = engine.verify(content, backend=request.backend, precision=request.precision, inputs=probe, wishes=wishes)
    log.info(f"largest relative error of a raw output against the graph: {error:.2g}")
    built = engine.build(
        content, backend=request.backend, precision=request.precision, batch_size=_fixed_batch(request.profiles),
        wishes=wishes,
    )
    for suffix, part in built.items():
        with files.atomic(places[suffix]) as file:
            file.write(part)
        log.info(f"wrote {places[suffix]}")
    result: dict[str, Any] = {
        "source": str(request.source),
        "engine": str(request.engine),
        "files": [str(path) for path in places.values()],
        "bytes": sum(map(len, built.values())),
        "backend": request.backend,
        "precision": request.precision,
        "error": error,
    }
    if request.perf:
        result["perf"] = _measure(request, reports, other, load, log)
    return result


def text(result: dict[str, Any]) -> str:
    facts = f"{result['bytes'] / 1e6:.2f} MB  {result['backend']} {result['precision']}"
    line = f"{result['engine']}  {facts}  relative error {result['error']:.2g}"
    return line + (f"\n\n{result['perf']['text']}" if "perf" in result else "")


def _wishes(request: ConvertRequest) -> tensorrt.Wishes:
    shapes = {each.name: (each.least, each.usual, each.most) for each in request.profiles}
    return tensorrt.Wishes(request.workspace, request.max_batch_size, request.strict, request.dla_core, shapes)


def _read(path: Path, key: str | None) -> bytes:
    if artifact.flavour(path) == "onnx":
        return path.read_bytes()
    return artifact.load_graph(path, key).onnx


def _check(request: ConvertRequest, graph: Runtime) -> None:
    pictures = {name: port.shape[1:] for name, port in graph.inputs.items() if len(port.shape) == 4}
    if request.layout != "nchw" and (request.layout != "nc" or pictures):
        raise UsageError(f"{request.source}: the graph takes its input as nchw, not {request.layout}")
    if request.dims is not None and request.dims not in pictures.values():
        known = ", ".join(f"{name} of {dims(shape)}" for name, shape in pictures.items()) or "no pictures"
        raise UsageError(f"{request.source}: the graph takes {known}, not {dims(request.dims)}", "leave -d away")
    for name in request.nodes:
        if name not in graph.outputs:
            raise UsageError(f'{request.source}: no output "{name}"', "the outputs are " + ", ".join(graph.outputs))
    for profile in request.profiles:
        port = graph.inputs.get(profile.name)
        if port is None:
            known = "the inputs are " + ", ".join(graph.inputs)
            raise UsageError(f'{request.source}: no input "{profile.name}"', known)
        for shape in (profile.least, profile.usual, profile.most):
            fits = len(shape) == len(port.shape) and all(
                want in (None, have) for want, have in zip(port.shape, shape, strict=True)
            )
            if not fits:
                raise UsageError(
                    f"{request.source}: {profile.name} is {dims(port.shape)}, and -p gives {dims(shape)}",
                    "? stands for any size",
                )


def _fixed_batch(profiles: tuple[Profile, ...]) -> int | None:
    """The batch size where the profiles leave one alone."""
    sizes = {size for profile in profiles for size in (profile.least[0], profile.most[0])}
    return sizes.pop() if len(sizes) == 1 else None


def _measure(
    request: ConvertRequest, folder: Path, other: perf.Engine | None, load: float | None, log: Log
) -> dict[str, Any]:
    if request.backend == "onnxruntime" and request.precision == "fp16":
        log.warn(
            "ONNX Runtime computes float16 in float32 on most processors, with a cast before and after: this engine is "
            "for GPUs and slower here than one of fp32"
        )
    threads = _threads(request)
    engines = [_open(request.engine, request.key, threads), *([other] if other else [])]
    sizes = [1, *(profile.most[0] for profile in request.profiles), *filter(None, [request.max_batch_size])]
    log.info(f"measuring on {threads} {'thread' if threads == 1 else 'threads'}")
    report = perf.measure(engines, threads=threads, batch_sizes=sizes, load=load)
    for reason in report.warnings:
        log.warn(f"the machine is busy: {reason}")
    if report.warnings:
        log.warn("these numbers are worse than they need be", "measure again when nothing else runs")
    for name, render in REPORTS.items():
        files.write_text(folder / name, render(report))
    log.info(f"wrote {', '.join(str(folder / name) for name in REPORTS)}")
    return {**asdict(report), "text": perf.text(report)}


def _threads(request: ConvertRequest) -> int:
    return request.threads or torch.get_num_threads()


def _other(request: ConvertRequest, graph: Runtime) -> perf.Engine | None:
    """What the engine is compared with; UsageError where it takes something else."""
    if request.against is None:
        return None
    other = _open(request.against, request.key, _threads(request))
    taken, given = (
        {name: dims(port.shape[1:]) for name, port in runtime.inputs.items()} for runtime in (other.runtime, graph)
    )
    if taken != given:
        told = [", ".join(f"{name} of {shape}" for name, shape in each.items()) for each in (taken, given)]
        raise UsageError(f"{request.against}: it takes {told[0]}, and {request.source} {told[1]}: no comparison")
    return other


def _open(path: Path, key: str | None, threads: int) -> perf.Engine:
    """An engine, or a graph, sealed or not, with made-up inputs."""
    sealed = artifact.flavour(path) == "graph"
    source = artifact.load_graph(path, key).onnx if sealed else path
    runtime = open_runtime(source, name=str(path), threads=threads)
    return perf.Engine(str(path), runtime, engine.made_up(runtime.inputs, runtime.metadata, 1))
