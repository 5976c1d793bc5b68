"""The network that a training begins with, of the stage asked for, and the file that it comes from."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from tltpy import artifact, files
from tltpy.log import Log
from tltpy.quant.quantized import Quantized
from tltpy.steps import calibrate, models
from tltpy.steps.initial import initial_weights
from tltpy.tasks.contract import Task

if TYPE_CHECKING:
    from tltpy.steps.train import TrainRequest


def network(
    request: "TrainRequest", cfg: Any, task: Task, last: Callable[[], Path], log: Log
) -> tuple[nn.Module, artifact.ModelFile | None]:
    """On the CPU. `last` names the state that a resumed run goes on from."""
    if request.stage == "qat":
        return _quantized(request, cfg, task, last, log)
    made = task.build(cfg)
    if not request.resume:
        return made, initial_weights(made, request, task, log)
    parent = artifact.load_model(last(), request.key)
    models.fit(made, models.network_tensors(parent.tensors), parent.path)
    return made, parent


def _quantized(
    request: "TrainRequest", cfg: Any, task: Task, last: Callable[[], Path], log: Log
) -> tuple[nn.Module, artifact.ModelFile]:
    if request.resume:
        opened = models.open_network(last(), request.key, request.task, cfg)
        assert isinstance(opened.network, Quantized)
        return calibrate.trainable(opened.network, cfg), opened.file
    weights, stem = request.results_dir / "weights", task.stem(cfg)
    files.refuse_existing(weights / f"{stem}_qat_last.tlt", request.overwrite)
    made, parent = calibrate.qat_network(request, task, weights, stem, log)
    return made, parent
