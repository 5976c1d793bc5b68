"""The state of a training as one model file: resume goes on from it bit for bit, also in the middle of an epoch.

The network's own names hold the weights to use (the averaged ones where model_ema is on). What belongs to the training
stands under "@": @raw/NAME the weights being trained where they differ, @optimizer/NUMBER/NAME its state.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tltpy import artifact
from tltpy.errors import ModelFileError
from tltpy.optim.averaging import Average
from tltpy.steps.models import network_tensors


@dataclass
class Position:
    """How far a training is. `step` counts the steps done in epoch `epoch` (0-based)."""

    epoch: int = 0
    step: int = 0
    sums: dict[str, float] = field(default_factory=dict)  # of the epoch's losses so far
    best: float | None = None
    best_epoch: int | None = None


@dataclass
class Trainee:
    """All that changes while training."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    average: Average | None
    position: Position


def weights(trainee: Trainee) -> dict[str, Tensor]:
    """The weights to use."""
    return trainee.average.state if trainee.average else dict(trainee.network.state_dict())


def save(
    path: Path, trainee: Trainee, *, key: str | None, task: str, stage: str = "float", metadata: dict[str, Any]
) -> None:
    tensors = dict(weights(trainee))
    if trainee.average:
        tensors |= {f"@raw/{name}": value for name, value in trainee.network.state_dict().items()}
    state = trainee.optimizer.state_dict()["state"]
    plain: dict[str, dict[str, Any]] = {}
    for number, values in state.items():
        for name, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"@optimizer/{number}/{name}"] = value
            else:
                plain.setdefault(str(number), {})[name] = value
    training = {
        "position": asdict(trainee.position),
        "scaler": trainee.scaler.state_dict(),
        "optimizer": plain,
        "average_steps": trainee.average.steps if trainee.average else 0,
    }
    metadata = {**metadata, "training": training}
    artifact.save_model(
        path, key=key, task=task, stage=stage, kind="checkpoint", tensors=tensors, metadata=metadata
    )


def load(file: artifact.ModelFile, trainee: Trainee) -> None:
    """Puts a training where the file left it; ModelFileError where the file holds weights alone."""
    training = file.metadata.get("training")
    if training is None:
        hint = "resume goes on from the file ..._last.tlt of the results folder"
        raise ModelFileError(f"{file.path}: the file holds weights but no state of a training", hint)
    usable = network_tensors(file.tensors)
    raw = {name[len("@raw/") :]: value for name, value in file.tensors.items() if name.startswith("@raw/")}
    trainee.network.load_state_dict(raw or usable)
    if trainee.average:
        trainee.average.load(usable, training["average_steps"])
    state: dict[int, dict[str, Any]] = {int(number): dict(values) for number, values in training["optimizer"].items()}
    parameters = [parameter for group in trainee.optimizer.param_groups for parameter in group["params"]]
    for name, value in file.tensors.items():
        if name.startswith("@optimizer/"):
            _, number, entry = name.split("/")
            state.setdefault(int(number), {})[entry] = _laid_out(value, parameters[int(number)])
    groups = trainee.optimizer.state_dict()["param_groups"]
    trainee.optimizer.load_state_dict({"state": state, "param_groups": groups})
    trainee.scaler.load_state_dict(training["scaler"])
    trainee.position = Position(**training["position"])


def _laid_out(value: Tensor, parameter: Tensor) -> Tensor:
    """In the memory format of its parameter: a fused optimizer walks through both as they lie in memory."""
    return torch.empty_like(parameter, dtype=value.dtype).copy_(value) if value.shape == parameter.shape else value
