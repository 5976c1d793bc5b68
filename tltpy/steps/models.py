"""Model files and networks: what is in a file, the network that it fits, and the metadata that a new file carries."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tltpy import artifact, tasks
from tltpy.errors import ModelFileError, UsageError
from tltpy.spec import fill, load

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tltpy.artifact import ModelFile

SAME_OUTPUTS = "classes and anchors must be those of the spec that the file was trained with"
STATE = "@"  # tensors of a checkpoint whose name begins so are the training's, not the network's


@dataclass(frozen=True)
class Opened:
    """A network with the weights of a file, in eval mode on the CPU; `params` counts those of its float form."""

    network: "nn.Module"
    cfg: Any
    file: "ModelFile"
    params: int


def check_key(path: Path, key: str | None) -> str:
    """The flavour of a model file or engine; of a sealed one the key is tried. Reads no tensor and imports no torch."""
    found = artifact.flavour(path)
    if found in ("model", "graph"):
        artifact.check_key(path, key)
    return found


def open_network(path: Path, key: str | None, name: str, cfg: Any | None = None) -> Opened:
    """The network of a sealed model of task `name`, of any stage; built by `cfg`, or by the spec in the file.

    Raises ModelFileError where the file is of another task or does not fit the spec, UsageError for other classes.
    """
    file = artifact.load_model(path, key)
    if file.header.task != name:
        raise ModelFileError(f"{path}: this is a model of {file.header.task}, not of {name}")
    if cfg is None:
        cfg = stored_spec(file)
    elif "spec" in file.metadata:
        refuse_other_labels(labels(name, stored_spec(file)), name, cfg, path)
    from tltpy.nn import cost

    task, tensors = tasks.load(name), network_tensors(file.tensors)
    if file.header.stage != "float":
        from tltpy.steps import stages

        restored = stages.restore(task, cfg, file, tensors)
        return Opened(restored.network, cfg, file, restored.params)
    network = task.build(cfg)
    own = network.state_dict()
    outputs = tuple(f"{layer}." for layer in task.keep(network))
    for tensor, value in tensors.items():
        if tensor.startswith(outputs) and tensor in own and value.shape[:1] != own[tensor].shape[:1]:
            sizes = f"{value.shape[0]} channels, and the spec's network {own[tensor].shape[0]}"
            raise ModelFileError(f"{path}: the output layer {tensor} has {sizes}", SAME_OUTPUTS)
    fit(network, tensors, path)
    return Opened(network.eval(), cfg, file, cost.parameters(network))


def labels(name: str, cfg: Any) -> list[str] | None:
    """The classes of a spec, in the order of the network's outputs; None where the task has none."""
    import torch

    task = tasks.load(name)
    with torch.device("meta"):
        found: list[str] | None = task.graphs(task.build(cfg), cfg)[0].metadata.get("labels")
    return found


def refuse_other_labels(stored: list[str] | None, name: str, cfg: Any, path: Path) -> None:
    """A file was made for some classes in some order; a spec with others would name what it finds wrongly."""
    wanted = labels(name, cfg)
    if stored is not None and stored != wanted:
        raise UsageError(
            f"{path}: the file knows the classes {', '.join(stored)}; the spec has {', '.join(wanted or [])}",
            "give the spec that it was made with",
        )


def fit(network: "nn.Module", tensors: "Mapping[str, Tensor]", path: Path) -> None:
    """Narrows the network to the tensors' shapes and loads them; ModelFileError where they are of another network."""
    from tltpy import prune

    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise ModelFileError(f"{path}: tensor {name} holds values that are not finite", "train the model again")
    try:
        prune.fit(network, {name: tuple(tensor.shape) for name, tensor in tensors.items()})
    except ModelFileError as error:
        hint = "give the spec that the model was trained with, or train again"
        raise ModelFileError(f"{path}: {error.message}", *error.hints, hint) from error
    network.load_state_dict(tensors)


def network_tensors(tensors: "Mapping[str, Tensor]") -> "dict[str, Tensor]":
    """Those of the network alone."""
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(STATE)}


def stored_spec(file: "ModelFile") -> Any:
    """The canonical spec that a model was trained with."""
    text = file.metadata.get("spec")
    if not isinstance(text, str):
        raise ModelFileError(f"{file.path}: the file holds no spec", "give the spec that it was trained with: -e")
    name = file.header.task
    return tasks.canonical(name, load.parse_text(text, tasks.message(name), f"{file.path}:spec").message)


def spec_text(cfg: Any) -> str:
    """The spec with every default filled in."""
    return fill.dump(fill.filled(cfg))


def lineage(parent: "ModelFile | None", step: str) -> list[dict[str, Any]]:
    """The files that a new one comes from, oldest first."""
    if parent is None:
        return []
    return [*parent.metadata.get("lineage", []), {"digest": parent.digest, "name": parent.path.name, "step": step}]
