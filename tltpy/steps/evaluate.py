"""evaluate: the task's metric of a model of any kind on the validation data, by the same code for all kinds."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from tltpy import artifact, files, tasks
from tltpy.data.loader import Loader
from tltpy.errors import DataError, QualityError
from tltpy.log import Log
from tltpy.steps import album, evaluation, processes, raw, report, reporting, results
from tltpy.steps.subject import Subject, latency_ms, open_subject
from tltpy.tasks.contract import Metric, Records, Seen


@dataclass(frozen=True, kw_only=True)
class EvaluateRequest:
    """`model` None: the untrained network. `align`: a second file to compare with, within `tolerance` of the metric."""

    task: str
    cfg: Any
    model: Path | None
    key: str | None
    batch_size: int | None = None
    results_dir: Path | None = None
    detail: bool = False
    align: Path | None = None
    tolerance: float = 0.002
    record: Path | None = None
    record_as: str | None = None
    gpu_index: int = 0
    overwrite: bool = False


def run(request: EvaluateRequest, log: Log) -> dict[str, Any]:
    """Measures; the result holds the metric, the table as text and the facts of the model."""
    if request.results_dir is not None:
        files.refuse_existing(request.results_dir, request.overwrite)
    group = processes.join(request.gpu_index)
    task = tasks.load(request.task)
    subject = open_subject(request.model, request.key, request.task, request.cfg, group.device)
    other = open_subject(request.align, request.key, request.task, request.cfg, group.device) if request.align else None
    records = task.read(request.cfg, "validation")
    for warning in records.warnings:
        log.warn(warning)
    if not len(records):
        raise DataError("the validation data is empty", "check dataset_config, and that the conversion wrote this fold")
    size = request.batch_size or request.cfg.eval_config.batch_size
    batches = evaluation.loader(task, request.cfg, records, batch_size=size, training=False, group=group)
    log.info(f"evaluating {request.model or 'the untrained network'} ({subject.kind}) on {len(records)} examples")
    try:
        result, metric = _measure(request, subject, batches, group, log)
        if other:
            result["align"] = _align(request, (subject, other), result, batches, group, log)
    finally:
        batches.close()
    if request.record and request.record_as:
        _record(request, subject, result, batches)
    if request.results_dir is not None:
        _write(request.results_dir, result, metric, records, group, log)
    if other and result["align"]["metric_difference"] > request.tolerance:
        gap = f"{metric.headline} differs by {result['align']['metric_difference']:.5f}"
        raise QualityError(
            f"{request.align}: {gap}, more than the tolerance {request.tolerance:g}",
            "the two files are not the same network, or one was built with less precision",
        )
    return result


def _measure(
    request: EvaluateRequest, subject: Subject, batches: Loader, group: processes.Group, log: Log
) -> tuple[dict[str, Any], Metric]:
    task = tasks.load(request.task)
    metric = evaluation.measure(task, request.cfg, subject.runner, batches, group=group, log=log)
    result = {
        "model": str(request.model) if request.model else None,
        "kind": subject.kind,
        "examples": len(batches.recipe.records),
        "metric": metric.result(request.detail),
        "headline": metric.headline,
        "params": subject.params,
        "flops": subject.flops,
        "bytes": subject.size_bytes,
        "table": metric.table(request.detail),
    }
    return result, metric


def _align(
    request: EvaluateRequest,
    pair: tuple[Subject, Subject],
    result: dict[str, Any],
    batches: Loader,
    group: processes.Group,
    log: Log,
) -> dict[str, Any]:
    """Both files on the same batches: largest difference and share of equal values of every output, both metrics."""
    largest: dict[str, float] = {}
    equal: dict[str, list[int]] = {}
    codes = _codes(request, pair)

    def both(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        first, second = (subject.runner(inputs) for subject in pair)
        for name in first:
            a, b = first[name].double().cpu(), second[name].double().cpu()
            largest[name] = max(largest.get(name, 0.0), float((a - b).abs().max()))
            counts = equal.setdefault(name, [0, 0])
            counts[0] += int((a == b).sum())
            counts[1] += a.numel()
        if codes:
            codes.add(inputs)
        return second

    task = tasks.load(request.task)
    metric = evaluation.measure(task, request.cfg, both, batches, group=group, log=log, title="aligning")
    headline = metric.headline
    values = [result["metric"][headline], metric.result()[headline]]
    total = [sum(counts[i] for counts in equal.values()) for i in (0, 1)]
    return {
        "other": str(request.align),
        headline: values,
        "metric_difference": abs(values[0] - values[1]),
        "bit_equal": total[0] / max(total[1], 1),
        **(codes.result() if codes else {}),
        "outputs": {
            name: {"largest_difference": largest[name], "bit_equal": equal[name][0] / equal[name][1]}
            for name in largest
        },
    }


def _codes(request: EvaluateRequest, pair: tuple[Subject, Subject]) -> raw.Codes | None:
    """What compares the raw outputs of a fixed-point model and of a graph with integer layers; None for other pairs."""
    assert request.model and request.align
    modules = [raw.of_module(subject.runner) for subject in pair if isinstance(subject.runner, nn.Module)]
    if len(modules) != 1 or modules[0] is None:
        return None
    path = request.align if isinstance(pair[0].runner, nn.Module) else request.model
    found = artifact.flavour(path)
    if found == "graph":
        content = artifact.load_graph(path, request.key).onnx
    elif found in ("onnx", "engine"):
        content = path.read_bytes()
    else:
        return None
    other = raw.of_graph(content)
    return raw.Codes(modules[0], other) if other else None


def _record(request: EvaluateRequest, subject: Subject, result: dict[str, Any], batches: Loader) -> None:
    """A row of results.json, with the latency of one example."""
    task = tasks.load(request.task)
    batch = batches.recipe.batch(0, 0, [0])
    device = processes.join(request.gpu_index).device
    inputs = task.inputs(processes.to_device(batch, device), None, request.cfg)
    row = {
        "file": result["model"],
        "metric": {result["headline"]: result["metric"][result["headline"]]},
        "params": subject.params,
        "flops": subject.flops,
        "bytes": subject.size_bytes,
        "latency_ms": latency_ms(subject, inputs),
        "higher_is_better": tasks.load(request.task).metric(request.cfg).higher_is_better,
        "digest": subject.digest,
        "lineage": list(subject.lineage),
    }
    assert request.record and request.record_as
    results.record(request.record, request.task, request.record_as, row)
    if "align" in result:
        align = {"pair": f"{Path(result['model'] or '').name}/{Path(result['align']['other']).name}", **result["align"]}
        results.note(request.record, request.task, "align", align)
    result["row"] = row


def _write(
    folder: Path, result: dict[str, Any], metric: Metric, records: Records, group: processes.Group, log: Log
) -> None:
    files.write_text(folder / "evaluation.json", json.dumps(result, indent=2) + "\n")
    with reporting.harmless(log, "the report was not written"):
        album.write(folder, metric.pictures(Seen(records)))
        report.evaluation(folder, result, log.warnings, reporting.environment(group.device))


def align_text(align: dict[str, Any]) -> str:
    """The comparison in a few lines."""
    lines = [
        f"{name:<14} largest difference {facts['largest_difference']:.3g}  equal {facts['bit_equal']:.4%}"
        for name, facts in align["outputs"].items()
    ]
    if "max_steps" in align:
        share = f"{align['bit_equal']:.4%} of {align['values']:,} equal, at most {align['max_steps']} steps apart"
        lines.append(f"raw outputs, as integers: {share}")
    return "\n".join([*lines, f"metric difference {align['metric_difference']:.6f}"])
