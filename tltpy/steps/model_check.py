"""model-check: whether a backend runs the graphs of a task, in int8 where they are quantized, and what in the network
stands in the way of that."""

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tltpy.deploy import engine, onnx, support, tensorrt_operators
from tltpy.deploy.runtime import open_runtime
from tltpy.deploy.support import Problem, Support
from tltpy.errors import UsageError
from tltpy.log import Log
from tltpy.nn import census
from tltpy.steps import parts
from tltpy.steps.parts import FLOAT, Opened, Part

if TYPE_CHECKING:
    from torch import nn

QUANTIZED_OPSET = 21  # the first whose quantization knows 16 bits
ROWS = 20  # of a list shown as text; JSON holds all


@dataclass(frozen=True, kw_only=True)
class ModelCheckRequest:
    """`precision` None: int8 where the model is quantized, else fp32."""

    task: str
    cfg: Any
    model: Path | None
    key: str | None
    backend: str = "onnxruntime"
    precision: str | None = None


def run(request: ModelCheckRequest, log: Log) -> dict[str, Any]:
    """Checks every graph; `offenders` of the result counts what does not run, or not in the precision asked for."""
    if request.backend == "openvino":
        engine.require(request.backend, "fp32")
    opened = parts.open_parts(request.model, request.key, request.task, request.cfg)
    precision = request.precision or ("fp32" if opened.stage == FLOAT else "int8")
    _refuse(request, opened, precision)
    graphs = [_check(part, opened, request, precision, log) for part in opened.parts]
    return {
        "model": str(request.model) if request.model else None, "kind": opened.kind, "backend": request.backend,
        "precision": precision, "graphs": graphs, "offenders": sum(len(graph["offenders"]) for graph in graphs),
    }  # fmt: skip


def text(result: dict[str, Any]) -> str:
    lines = []
    for graph in result["graphs"]:
        count, kinds = sum(graph["operators"].values()), len(graph["operators"])
        lines.append(f"graph {graph['name']}, {result['precision']}: {count} operators of {kinds} kinds")
        lines.append(f"  asked: {graph['asked']}")
        bad = graph["offenders"]
        lines.append("  every operator runs" if not bad else f"  {len(bad)} operators do not run as they should:")
        lines += _listed(f"{one['name']} ({one['operator']}): {one['reason']}" for one in bad)
        if graph["layers"]:
            told = ", ".join(f"{number} in {kind}" for kind, number in graph["layers"].items())
            lines.append(f"  layers that multiply: {told}")
        if graph["kept"]:
            lines.append("  not in int8, as the spec wishes:")
            lines += _listed(f"{one['name']} ({one['operator']})" for one in graph["kept"])
        if "types" in graph:
            lines += _network_lines(graph)
        lines.append("")
    return "\n".join(lines).rstrip("\n")


def _network_lines(graph: dict[str, Any]) -> Iterator[str]:
    sections = {
        "dead": ("never used in a run", "{name} ({kind})"),
        "shared": ("used more than once, with one scale for all uses", "{name} ({kind}): {calls} times"),
        "unfused": ("batch normalisations that stay operations of their own", "{name}: {reason}"),
    }
    for key, (title, form) in sections.items():
        found = graph[key]
        yield f"  modules {title}: {len(found) or 'none'}" if key != "unfused" else f"  {title}: {len(found) or 'none'}"
        yield from _listed(form.format(**one) for one in found)
    counts: dict[str, int] = {}
    for kinds in graph["types"].values():
        for kind, number in kinds.items():
            counts[kind] = counts.get(kind, 0) + number
    told = ", ".join(f"{kind} {number}" for kind, number in sorted(counts.items(), key=lambda one: -one[1]))
    yield f"  types of the operations: {told}"


def _listed(rows: Any) -> list[str]:
    found = list(rows)
    more = [f"    ... and {len(found) - ROWS} more"] if len(found) > ROWS else []
    return [f"    {row}" for row in found[:ROWS]] + more


def _refuse(request: ModelCheckRequest, opened: Opened, precision: str) -> None:
    if precision == "int8" and opened.stage == FLOAT:
        raise UsageError(
            "int8 needs a quantized model, and this one holds float weights", "check it with --data_type fp16 or fp32"
        )
    if precision != "int8" and opened.stage != FLOAT:
        raise UsageError(f"a quantized model runs in int8, not in {precision}", "leave --data_type away")


def _check(part: Part, opened: Opened, request: ModelCheckRequest, precision: str, log: Log) -> dict[str, Any]:
    content = part.content or _exported(part, opened.stage, log)
    if precision == "fp16" and request.backend == "onnxruntime":
        (content,) = engine.build(content, backend=request.backend, precision=precision).values()
    log.info(f"asking {request.backend} about the graph {part.name}")
    found = support.check(content, request.backend)
    if not found.problems and request.backend != "tensorrt":
        _run_once(content, request.backend)
    if found.asked == tensorrt_operators.SOURCE:
        log.warn(
            "tensorrt is not installed: a table of its documented operators stands in", "pip install tltpy[tensorrt]"
        )
    offenders, kept = _offenders(part, found, precision)
    told = {"name": part.name, "asked": found.asked, "operators": found.operators, "layers": found.layers}
    return {**told, "offenders": offenders, "kept": kept, **(_network(part) if part.graph else {})}


def _offenders(part: Part, found: Support, precision: str) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """What does not run, and in int8 the layers in float; apart from those that the spec keeps out of int8."""
    wishes = _wishes(part)
    floats = found.floats if precision == "int8" else ()

    def row(problem: Problem) -> dict[str, str]:
        name = part.shown(problem.node)
        return {"name": name or "the graph", **{k: v for k, v in asdict(problem).items() if k != "node"}}

    rows = [row(problem) for problem in floats]
    kept = [one for one in rows if any(re.search(wish, one["name"]) for wish in wishes)]
    return [*map(row, found.problems), *(one for one in rows if one not in kept)], kept


def _wishes(part: Part) -> Sequence[str]:
    """Regular expressions of the operations that the settings of a quantized network keep out of int8."""
    if part.graph is None:
        return ()
    found = [getattr(module, "settings", None) for module in part.graph.module.modules()]
    return [wish for one in found for name in ("keep_float", "int16") for wish in getattr(one, name, ())]


def _exported(part: Part, stage: str, log: Log) -> bytes:
    assert part.graph is not None
    graph = part.graph
    log.info(f"exporting the graph {part.name}")
    opset = onnx.OPSET if stage == FLOAT else QUANTIZED_OPSET
    with _exporting(graph.module):
        return onnx.write(graph.module.eval(), graph.example, graph.outputs, metadata=graph.metadata, opset=opset)


@contextmanager
def _exporting(module: "nn.Module") -> Iterator[None]:
    """A fixed-point network within writes standard operators in this block (quant.fixed)."""
    with ExitStack() as stack:
        for inner in module.modules():
            if hasattr(inner, "exporting"):
                stack.enter_context(inner.exporting())  # type: ignore[operator]
        yield


def _run_once(content: bytes, backend: str) -> None:
    """On made-up inputs; what a library only finds out then ends the check."""
    if backend == "onnxruntime":
        runtime = open_runtime(content)
        runtime(engine.made_up(runtime.inputs, runtime.metadata, 2))
        return
    with tempfile.TemporaryDirectory() as folder:
        for suffix, part in engine.build(content, backend=backend, precision=engine.own_precision(content)).items():
            (Path(folder) / f"probe{suffix}").write_bytes(part)
        runtime = open_runtime(Path(folder) / "probe.xml")
        runtime(engine.made_up(runtime.inputs, runtime.metadata, 2))


def _network(part: Part) -> dict[str, Any]:
    """What is to be seen in the network itself."""
    assert part.graph is not None
    found = census.take(part.graph.module, part.inputs())
    return {
        "dead": [{"name": part.shown(one.name), "kind": one.kind} for one in found.dead()],
        "shared": [
            {"name": part.shown(one.name), "kind": one.kind, "calls": one.calls, "parameters": one.parameters}
            for one in found.shared()
        ],
        "unfused": [
            {
                "name": part.shown(one.normalisation), "reason": one.reason,
                "convolution": part.shown(one.convolution) if one.convolution else None,
            }
            for one in found.unfused
        ],
        "types": found.types,
    }  # fmt: skip
