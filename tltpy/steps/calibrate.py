"""The stages without a backward pass: calibration observes, int_infer converts to integers. Both evaluate and save."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from tltpy import artifact, files, tasks
from tltpy.errors import DataError
from tltpy.log import Log
from tltpy.quant.fixed import to_fixed_point
from tltpy.quant.quantized import Quantized
from tltpy.steps import evaluation, models, processes, stages
from tltpy.steps.history import flat
from tltpy.tasks.contract import Records, Task

if TYPE_CHECKING:
    from tltpy.steps.train import TrainRequest


@dataclass(frozen=True)
class Chosen:
    """Some records of a split, in an order of their own."""

    records: Records
    indices: Sequence[int]
    warnings: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int, /) -> Any:
        return self.records[self.indices[index]]

    def weights(self) -> np.ndarray | None:
        return None


def run(request: "TrainRequest", group: processes.Group, log: Log) -> dict[str, Any]:
    """The result names the file that was written and holds the metric."""
    task, cfg, stage = tasks.load(request.task), request.cfg, request.stage
    weights, stem = request.results_dir / "weights", task.stem(request.cfg)
    path = weights / f"{stem}_{stages.FILES[stage]}.tlt"
    files.refuse_existing(path, request.overwrite)
    parent = artifact.load_model(stages.start_of(stage, request.model, weights, stem), request.key)
    stages.refuse_order(stage, parent)
    opened = models.open_network(parent.path, request.key, request.task, cfg)
    log.info(f"{stage} of {parent.path}")
    if stage == "calibration":
        wanted = stages.settings(cfg)
        made: nn.Module = _calibrated(task, cfg, opened.network, group, log)
        facts = stages.facts(opened.network, wanted)
    else:
        assert isinstance(opened.network, Quantized)
        made = to_fixed_point(opened.network).to(group.device)
        stored: dict[str, Any] = parent.metadata["quantization"]
        folded: dict[str, Any] = {**stored["settings"], "keep_batch_norm": False}
        facts = {**stored, "settings": folded}
    measured, table = _measure(task, cfg, made, group, log)
    with files.translated(request.results_dir):
        weights.mkdir(parents=True, exist_ok=True)
    metadata: dict[str, Any] = {
        "spec": models.spec_text(cfg),
        "lineage": models.lineage(parent, stage),
        "measured": measured,
        "quantization": facts,
        **{name: parent.metadata[name] for name in ("pruning", "pretrained") if name in parent.metadata},
    }
    artifact.save_model(
        path, key=request.key, task=request.task, stage=stage, tensors=made.state_dict(), metadata=metadata
    )
    return {"stage": stage, "model": str(path), "from": str(parent.path), "metric": measured, "table": table}


def _calibrated(task: Task, cfg: Any, network: nn.Module, group: processes.Group, log: Log) -> Quantized:
    """Observes the float network on training pictures, spread over the whole set; scales from what was seen."""
    section = cfg.calibration_config
    records = task.read(cfg, "training")
    if not len(records):
        raise DataError("the training data is empty", "check dataset_config, and that the conversion wrote this fold")
    quantized = stages.quantize(task, cfg, network, stages.settings(cfg), log).to(group.device)
    size = section.batch_size or cfg.eval_config.batch_size
    count = min(section.steps * size, len(records))
    chosen = Chosen(records, np.linspace(0, len(records) - 1, count).round().astype(int).tolist())
    batches = evaluation.loader(task, cfg, chosen, batch_size=size, training=section.augment, group=group)
    quantized.set_mode(observe=True, quantize=False)
    try:
        with torch.inference_mode(), log.progress("calibrating", count) as progress:
            for batch in batches.epoch(0):
                quantized(task.inputs(processes.to_device(batch, group.device), None, cfg))
                progress.advance(len(batch["index"]))
    finally:
        batches.close()
    quantized.finish()
    quantized.set_mode(observe=False, quantize=True)
    return quantized


def _measure(
    task: Task, cfg: Any, network: nn.Module, group: processes.Group, log: Log
) -> tuple[dict[str, float], str]:
    records = task.read(cfg, "validation")
    if not len(records):
        raise DataError("the validation data is empty", "check dataset_config, and that the conversion wrote this fold")
    size = cfg.eval_config.batch_size
    batches = evaluation.loader(task, cfg, records, batch_size=size, training=False, group=group)
    graph = task.graphs(network, cfg)[0].module.to(group.device).eval()
    try:
        metric = evaluation.measure(task, cfg, graph, batches, group=group, log=log)
    finally:
        batches.close()
    return flat({key: value for key, value in metric.result().items() if key != "truths"}), metric.table()


def qat_network(request: "TrainRequest", task: Task, weights: Path, stem: str, log: Log) -> tuple[Quantized, Any]:
    """The network of the stage qat, with weights and scales of the calibration, and the file that they come from."""
    parent = artifact.load_model(stages.start_of("qat", request.model, weights, stem), request.key)
    stages.refuse_order("qat", parent)
    opened = models.open_network(parent.path, request.key, request.task, request.cfg)
    assert isinstance(opened.network, Quantized)
    return trainable(opened.network, request.cfg), parent


def trainable(quantized: Quantized, cfg: Any) -> Quantized:
    """Quantizing, and observing where the scales shall follow."""
    averaging = cfg.qat_config.averaging_constant
    if not averaging and not cfg.qat_config.learned_scales:
        quantized.freeze_scales()
    for quantizer in quantized.activation_quantizers().values():
        quantizer.averaging = averaging
    quantized.set_mode(observe=averaging > 0, quantize=True)
    return quantized
