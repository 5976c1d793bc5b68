"""Where the weights of a new training come from: a pruned model, whose shapes are kept, a trained one, the backbone
that torchvision publishes, or chance.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from tltpy import artifact, prune
from tltpy.errors import ModelFileError, UsageError
from tltpy.log import Log
from tltpy.nn import pretrained
from tltpy.steps import models
from tltpy.tasks.contract import Task

if TYPE_CHECKING:
    from tltpy.steps.train import TrainRequest

SHOWN = 8  # names of new tensors


def initial_weights(network: nn.Module, request: "TrainRequest", task: Task, log: Log) -> artifact.ModelFile | None:
    """Fills the network from -m, from the spec's load_model or from a published backbone; a file of our own is the
    parent of the run."""
    config = request.cfg.training_config
    field = config.WhichOneof("load_model")
    if request.pretrained:
        if field:
            log.warn(f"--pretrained-torchvision is given: {field} of the spec is not used")
        published_backbone(network, request.pretrained, task.graphs(network, request.cfg)[0].metadata, log)
        return None
    path = request.model or (Path(getattr(config, field)) if field else None)
    if path is None:
        return None
    if request.model and field:
        log.warn(f"-m is given: {field} of the spec is not used")
    file = artifact.load_model(path, request.key)
    if file.header.task != request.task:
        raise ModelFileError(f"{path}: this is a model of {file.header.task}, not of {request.task}")
    if file.header.stage != "float":
        raise UsageError(
            f"{path}: a model of the stage {file.header.stage} cannot start the float training",
            "go on with the stage that follows it (--stage), or start from the float model",
        )
    tensors = models.network_tensors(file.tensors)
    own = network.state_dict()
    outputs = tuple(f"{name}." for name in task.keep(network))
    # other classes or anchors: the output layers start anew, all else is taken over
    fitting = {
        name: value
        for name, value in tensors.items()
        if not (name.startswith(outputs) and name in own and value.shape[0] != own[name].shape[0])
    }
    if "pruning" in file.metadata:
        shapes = {name: tuple(fitting.get(name, own[name]).shape) for name in own}
        prune.fit(network, _with_narrow_inputs(shapes, tensors))
        own = network.state_dict()
    wrong = [name for name, value in fitting.items() if name not in own or own[name].shape != value.shape]
    if wrong or not fitting:
        name = wrong[0] if wrong else "all"
        raise ModelFileError(
            f"{path}: the tensor {name} does not fit the network of the spec",
            "give arch, nlayers, arch_conv_blocks and input channels of the model's own training",
        )
    network.load_state_dict(fitting, strict=False)
    new = sorted(set(own) - set(fitting))
    log.info(f"weights from {path}: {len(fitting)} of {len(own)} tensors" + _new(new))
    return file


def epochs_behind(request: "TrainRequest", file: artifact.ModelFile | None) -> int:
    """Epochs of this training that are in a file which the spec names as resume_model_path; 0 for any other file."""
    field = request.cfg.training_config.WhichOneof("load_model")
    if file is None or request.model or field != "resume_model_path":
        return 0
    return int(file.metadata.get("epoch", 0))


def published_backbone(network: nn.Module, path: Path, metadata: Mapping[str, Any], log: Log) -> None:
    """Fills the network's backbone from a checkpoint of torchvision's; `metadata` is that of the network's graph.

    UsageError where torchvision has no such backbone, ModelFileError where the file is of another one.
    """
    backbone = pretrained.find(network)
    if backbone is None:
        raise UsageError(
            "torchvision publishes no weights for the backbone of this spec",
            "there are such for " + ", ".join(pretrained.NAMES),
        )
    tensors = artifact.load_plain(path)
    try:
        loaded = pretrained.load_torchvision(backbone, tensors, mean=metadata["input"]["mean"])
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error.message}", "give arch and nlayers of the checkpoint") from error
    parts = {
        "layers start as the identity": loaded.identity,
        "layers of another shape are new": loaded.other_shape,
        "tensors not used": loaded.unused,
    }
    counts = "".join(f"; {len(names)} {what}" for what, names in parts.items() if names)
    log.info(f"backbone from {path}: {len(loaded.taken)} layers of {loaded.source}{counts}; all behind it is new")
    for what, names in parts.items():
        for name in names:
            log.detail(f"{what}: {name}")


def _with_narrow_inputs(
    shapes: dict[str, tuple[int, ...]], tensors: Mapping[str, Tensor]
) -> dict[str, tuple[int, ...]]:
    """An output layer that starts anew still takes the pruned layers' narrower input."""
    narrowed = dict(shapes)
    for name, shape in shapes.items():
        stored = tuple(tensors[name].shape) if name in tensors else shape
        if stored != shape and len(shape) > 1 and len(stored) == len(shape):
            narrowed[name] = (shape[0], *stored[1:])
    return narrowed


def _new(names: list[str]) -> str:
    """The tensors that the file does not give, in words."""
    if not names:
        return ""
    return f"; new: {', '.join(names[:SHOWN])}" + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
