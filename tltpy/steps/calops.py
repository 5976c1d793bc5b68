"""calops: parameters and multiply-accumulates of a network, module by module and in all."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tltpy.deploy import tally
from tltpy.errors import UsageError
from tltpy.log import Log
from tltpy.nn import census, cost
from tltpy.steps import parts
from tltpy.steps.parts import Part

if TYPE_CHECKING:
    from torch import Tensor

Shapes = Mapping[str, tuple[int, ...]]
COLUMNS = ("graph", "module", "type", "parameters", "macs", "calls", "output")


@dataclass(frozen=True, kw_only=True)
class CalopsRequest:
    """`shapes` of inputs, batch first, by name; "" stands for the only one. `method` hook counts what modules without
    children do, fx everything that is computed. `depth` None: the whole tree."""

    task: str
    cfg: Any
    model: Path | None
    key: str | None
    shapes: Shapes
    method: str = "fx"
    depth: int | None = None


@dataclass(frozen=True)
class Row:
    """`depth` 0 is the graph as a whole; parameters and macs hold those below; `calls` None in an exported graph."""

    name: str
    kind: str
    depth: int
    parameters: int
    macs: int
    calls: int | None
    output: tuple[int, ...] | None


def run(request: CalopsRequest, log: Log) -> dict[str, Any]:
    """Counts every graph of the task for one example."""
    opened = parts.open_parts(request.model, request.key, request.task, request.cfg)
    graphs: list[dict[str, Any]] = []
    for part in opened.parts:
        rows, inputs = _of_file(part, request, log) if part.content else _of_module(part, request, log)
        shown = [row for row in rows if request.depth is None or row.depth <= request.depth]
        whole = rows[0]
        graphs.append({
            "name": part.name, "inputs": inputs, "parameters": whole.parameters, "macs": whole.macs,
            "flops": 2 * whole.macs, "modules": [asdict(row) for row in shown],
        })  # fmt: skip
    # modules that several graphs share count once
    params = cost.parameters(opened.network) if opened.network else sum(graph["parameters"] for graph in graphs)
    macs = sum(graph["macs"] for graph in graphs)
    return {
        "model": str(request.model) if request.model else None, "kind": opened.kind, "method": request.method,
        "parameters": params, "macs": macs, "flops": 2 * macs, "graphs": graphs,
    }  # fmt: skip


def text(result: dict[str, Any]) -> str:
    """A tree for each graph, then the sums."""
    lines = []
    for graph in result["graphs"]:
        shapes = ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in graph["inputs"].items())
        lines += [f"graph {graph['name']}: {shapes}", *_tree(graph["modules"], graph["macs"]), ""]
    lines.append(f"parameters  {result['parameters']:>16,}")
    lines.append(f"MACs        {result['macs']:>16,}  ({result['macs'] / 1e9:.3f} G)")
    lines.append(f"FLOPs       {result['flops']:>16,}  ({result['flops'] / 1e9:.3f} G, two for each MAC)")
    return "\n".join(lines)


def table(result: dict[str, Any]) -> str:
    """As CSV, a row a module."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for graph in result["graphs"]:
        for row in graph["modules"]:
            shape = "x".join(map(str, row["output"])) if row["output"] else ""
            calls = "" if row["calls"] is None else row["calls"]
            writer.writerow([graph["name"], row["name"], row["kind"], row["parameters"], row["macs"], calls, shape])
    return out.getvalue().removesuffix("\n")


def _tree(rows: Sequence[dict[str, Any]], whole: int) -> list[str]:
    names = {row["name"] for row in rows}
    labels = []
    for row in rows:
        parent, _, last = row["name"].rpartition(".")
        label = last if parent in names and row["depth"] else row["name"]
        labels.append("  " * row["depth"] + (label or "(all)"))
    width = max(len(label) for label in labels)
    kinds = max(len(row["kind"]) for row in rows)
    lines = [f"{'module':<{width}}  {'type':<{kinds}} {'parameters':>14} {'MACs':>17} {'share':>7}  output"]
    for label, row in zip(labels, rows, strict=True):
        share = row["macs"] / whole if whole else 0.0
        shape = "x".join(map(str, row["output"])) if row["output"] else ""
        again = f"  {row['calls']} calls" if (row["calls"] or 1) > 1 else ""
        line = f"{label:<{width}}  {row['kind']:<{kinds}} {row['parameters']:>14,} {row['macs']:>17,} {share:>7.1%}"
        lines.append(f"{line}  {shape}{again}".rstrip())
    return lines


def _of_module(part: Part, request: CalopsRequest, log: Log) -> tuple[list[Row], dict[str, list[int]]]:
    assert part.graph is not None and part.network is not None
    inputs = _resized(part, request.shapes)
    try:
        found = census.take(part.graph.module, inputs)
    except RuntimeError as error:
        if not request.shapes:
            raise
        try:  # what turns raw outputs into results may be made for one size alone
            found = census.take(part.network, inputs)
        except RuntimeError:
            said = str(error).strip().splitlines()[0]
            raise UsageError(f"the graph {part.name} does not take inputs of this shape: {said}") from error
        part = replace(part, graph=None)
        log.warn(
            "counted is the network alone: what is behind it in the graph is made for the size of the spec",
            "change the size in the spec to count that, too",
        )
    rows = [_row(part, layer) for layer in found.layers]
    if request.method == "hook":
        leaves = [layer for layer in found.layers if not layer.children]
        sums = {
            layer.name: sum(leaf.macs for leaf in leaves if _within(leaf.name, layer.name)) for layer in found.layers
        }
        rows = [replace(row, macs=sums[layer.name]) for row, layer in zip(rows, found.layers, strict=True)]
    # the network as a part of the graph has no name of its own: the first row tells of it
    return [rows[0], *(row for row in rows[1:] if row.name)], {name: list(v.shape) for name, v in inputs.items()}


def _row(part: Part, layer: census.Layer) -> Row:
    name = part.shown(layer.name)
    depth = name.count(".") + 1 if name else 0
    return Row(name, layer.kind, depth, layer.parameters, layer.macs, layer.calls, layer.output)


def _within(name: str, module: str) -> bool:
    return not module or name == module or name.startswith(f"{module}.")


def _resized(part: Part, shapes: Shapes) -> "dict[str, Tensor]":
    """The inputs of one example, those that have a shape given as zeros of it."""
    import torch

    inputs = part.inputs()
    for name, shape in _named(shapes, list(inputs)).items():
        if name not in inputs:
            raise UsageError(f'the graph {part.name} has no input "{name}"', "the inputs are " + ", ".join(inputs))
        if len(shape) != inputs[name].dim():
            raise UsageError(f"{name} has {inputs[name].dim()} dimensions, not {len(shape)}")
        inputs[name] = torch.zeros(shape, dtype=inputs[name].dtype)
    return inputs


def _named(shapes: Shapes, inputs: list[str]) -> dict[str, tuple[int, ...]]:
    if "" in shapes and len(inputs) != 1:
        raise UsageError("the graph has several inputs", f"name it: --input-shape {inputs[0]}:1,3,384,1248")
    return {name or inputs[0]: shape for name, shape in shapes.items()}


def _of_file(part: Part, request: CalopsRequest, log: Log) -> tuple[list[Row], dict[str, list[int]]]:
    """The tree of an exported graph, by the names of its nodes: module:operation."""
    assert part.content is not None
    if request.method == "hook":
        log.warn("--method hook has no effect: an exported graph has no modules that could be called")
    ports = tally.inputs(part.content)
    shapes = _named(request.shapes, list(ports))
    nodes = tally.count(part.content, shapes)
    unknown = sorted({node.kind for node in nodes if node.macs is None})
    if unknown:
        log.warn(f"the multiply-accumulates of {', '.join(unknown)} cannot be told from the graph and count as none")
    sums: dict[str, Row] = {"": Row("", "graph", 0, 0, 0, None, None)}
    kinds: dict[str, list[str]] = {}
    for node in nodes:
        path = node.name.rpartition(":")[0] or (node.name if node.parameters or node.macs else "")
        kinds.setdefault(path, []).append(node.kind)
        for name in (*census.above(path), path) if path else ("",):
            old = sums.get(name) or Row(name, "", name.count(".") + 1, 0, 0, None, None)
            sums[name] = replace(
                old, parameters=old.parameters + node.parameters, macs=old.macs + (node.macs or 0),
                output=node.output if name == path and name else old.output,
            )  # fmt: skip
    parents = {name for path in sums if path for name in census.above(path)}
    for name in sums.keys() - parents:
        sums[name] = replace(sums[name], kind=", ".join(dict.fromkeys(kinds[name])) if len(kinds[name]) < 4 else "")
    return list(sums.values()), {name: list(shapes.get(name, shape)) for name, shape in ports.items()}
