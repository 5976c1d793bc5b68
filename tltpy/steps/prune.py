"""prune: a trained model in, a narrower one out, ready to be trained again."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tltpy import artifact, files, tasks
from tltpy.errors import ModelFileError, UsageError
from tltpy.log import Log
from tltpy.spec import load
from tltpy.steps import models

if TYPE_CHECKING:
    from torch import Tensor

    from tltpy.artifact import ModelFile
    from tltpy.prune import Plan
    from tltpy.tasks.contract import Task


@dataclass(frozen=True, kw_only=True)
class PruneRequest:
    """`output` is None in a dry run. At most one target is given: the share of what may remain."""

    model: Path
    output: Path | None
    key: str | None
    normalizer: str = "max"
    equalization: str = "union"
    granularity: int = 8
    threshold: float = 0.1
    min_num_filters: int = 16
    excluded: tuple[str, ...] = ()
    target_params: float | None = None
    target_flops: float | None = None
    spec: Path | None = None  # instead of the spec within the model file
    results_dir: Path | None = None
    overwrite: bool = False


def run(request: PruneRequest, log: Log) -> dict[str, Any]:
    """Prunes and writes; the result tells layers, parameters and FLOPs (of one example) before and after."""
    header = artifact.check_key(request.model, request.key)
    if header.stage != "float":
        raise UsageError(
            f"{request.model}: a model of the stage {header.stage} cannot be pruned",
            "prune the float model, train it again, then go on to the later stages",
        )
    if request.output is not None:
        files.refuse_existing(request.output, request.overwrite)
    if header.kind != "weights":
        raise ModelFileError(f"{request.model}: the file holds a {header.kind}, not weights", "give a trained .tlt")
    cfg = None
    if request.spec is not None:
        spec = load.load(request.spec, tasks.message(header.task))
        cfg = tasks.canonical(header.task, spec.message)
    if request.results_dir is not None:
        with files.translated(request.results_dir):
            request.results_dir.mkdir(parents=True, exist_ok=True)
            log.open_status(request.results_dir)
    log.status("STARTED", "pruning", model=str(request.model))
    opened = models.open_network(request.model, request.key, header.task, cfg)
    cuts = _prune(request, opened, tasks.load(header.task), log)
    result = _result(request, cuts)
    if request.output is not None:
        result["digest"] = artifact.save_model(
            request.output, key=request.key, task=header.task, stage=header.stage, tensors=opened.network.state_dict(),
            metadata=_metadata(opened.file, request, cuts), overwrite=request.overwrite,
        )
        log.info(f"wrote {request.output}")
    log.status("SUCCESS", "pruning finished", ratio=cuts.ratio, flops_ratio=cuts.flops_ratio)
    return result


def text(result: dict[str, Any]) -> str:
    """The result as a table: a line a layer, then what remains of the parameters and FLOPs."""
    width = max([len("multiply-adds"), *(len(row["layer"]) for row in result["layers"])])
    lines = [f"{'layer':<{width}} {'before':>14} {'after':>14}"]
    for row in result["layers"]:
        lines.append(f"{row['layer']:<{width}} {row['before']:>14} {row['after']:>14}  {row['note']}".rstrip())
    lines.append("")
    for name in ("parameters", "flops"):
        cost = result[name]
        label = "FLOPs" if name == "flops" else name
        lines.append(f"{label:<{width}} {cost['before']:>14,} {cost['after']:>14,}  remaining {cost['ratio']:.3f}")
    return "\n".join(lines)


def _prune(request: PruneRequest, opened: models.Opened, task: "Task", log: Log) -> "Plan":
    import torch

    from tltpy import prune
    from tltpy.nn import cost

    network = opened.network
    inputs = _inputs(task, opened.cfg)
    settings = prune.Settings(
        normalizer=request.normalizer,
        equalization=request.equalization,
        granularity=request.granularity,
        threshold=request.threshold,
        min_num_filters=request.min_num_filters,
        excluded=(*task.keep(network), *_layers(request.excluded, prune.layers(network))),
    )
    log.info("Exploring graph for retainable indices")
    found = prune.survey(network, inputs, settings, cost.macs(network, inputs))
    if request.target_params is not None:
        cuts = prune.search(found, request.target_params, "parameters")
    elif request.target_flops is not None:
        cuts = prune.search(found, request.target_flops, "flops")
    else:
        cuts = prune.choose(found, request.threshold)
    log.info("Pruning model and appending pruned nodes to new graph")
    with torch.no_grad():
        before = network(inputs)
        prune.apply(network, cuts)
        _check(before, network(inputs))
    log.info(f"Pruning ratio (pruned model / original model): {cuts.ratio:.4g}")
    if not cuts.keep:
        hint = "raise -pth, lower -nf or -pg, or say what shall remain: --target-params 0.5"
        log.warn(f"nothing was pruned: no layer has filters to spare at the threshold {cuts.threshold:g}", hint)
    return cuts


def _inputs(task: "Task", cfg: Any) -> "dict[str, Tensor]":
    """What the network is fed for one made-up example, so that costs are those of one example."""
    import numpy as np

    record = task.example(cfg, np.random.default_rng(0))
    return task.inputs(task.collate([task.sample(record, cfg, None)]), None, cfg)


def _layers(names: Sequence[str], known: list[str]) -> list[str]:
    """The layers that the user's names mean: a layer, everything below a module, or the last part of a name."""
    chosen = []
    for name in names:
        meant = [layer for layer in known if layer == name or layer.startswith(f"{name}.")]
        meant = meant or [layer for layer in known if name in layer.split(".")]
        if not meant:
            words = [layer.split(".") for layer in known]
            parts = {".".join(word[:count]): None for word in words for count in range(1, len(word) + 1)}
            close = get_close_matches(name, parts, n=2)
            hint = f"did you mean {' or '.join(close)}?" if close else "--dry-run lists the layers"
            raise UsageError(f'the model has no layer "{name}" to exclude', hint)
        chosen += meant
    return chosen


def _check(before: "dict[str, Tensor]", after: "dict[str, Tensor]") -> None:
    shapes = [{name: tuple(value.shape) for name, value in outputs.items()} for outputs in (before, after)]
    assert shapes[0] == shapes[1], f"pruning changed the outputs from {shapes[0]} to {shapes[1]}"
    assert all(bool(value.isfinite().all()) for value in after.values()), "the pruned network is not finite"


def _result(request: PruneRequest, cuts: "Plan") -> dict[str, Any]:
    def share(pair: tuple[int, int], ratio: float) -> dict[str, Any]:
        return {"before": pair[0], "after": pair[1], "ratio": ratio}

    return {
        "model": str(request.model),
        "output": str(request.output) if request.output else None,
        "threshold": cuts.threshold,
        "layers": [asdict(row) for row in cuts.rows],
        "parameters": share(cuts.parameters, cuts.ratio),
        "flops": share(cuts.flops, cuts.flops_ratio),
    }


def _metadata(source: "ModelFile", request: PruneRequest, cuts: "Plan") -> dict[str, Any]:
    """The parent's, but for what was true of its numbers alone."""
    pruning = {
        "normalizer": request.normalizer,
        "equalization_criterion": request.equalization,
        "granularity": request.granularity,
        "threshold": cuts.threshold,
        "min_num_filters": request.min_num_filters,
        "excluded_layers": list(request.excluded),
        "ratio": cuts.ratio,
        "flops_ratio": cuts.flops_ratio,
    }
    lasting = {name: value for name, value in source.metadata.items() if name not in ("epoch", "measured")}
    return {**lasting, "lineage": models.lineage(source, "prune"), "pruning": pruning}
