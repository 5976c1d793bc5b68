"""Deciding how far a network is narrowed (plan, search), narrowing it (apply), narrowing a full one to a file (fit).

A plan is nothing but indices that stay along dimensions of tensors; so the shapes in a model file say all that is
needed to build the narrow network again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from tltpy.errors import ModelFileError, UsageError
from tltpy.prune import score
from tltpy.prune.couple import Coupling, Group, couple

Measure = Literal["parameters", "flops"]


@dataclass(frozen=True)
class Settings:
    """The published flags of prune; `excluded` are names of layers."""

    normalizer: str = "max"
    equalization: str = "union"
    granularity: int = 8
    threshold: float = 0.1
    min_num_filters: int = 16
    excluded: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """One layer of a plan: its filters before and after, and why all stay where that is not for their score."""

    layer: str
    before: int
    after: int
    note: str = ""


@dataclass(frozen=True)
class Plan:
    """What stays. `flops` are (0, 0) where the survey was not told what the layers cost."""

    keep: dict[tuple[str, int], np.ndarray]  # (tensor, dimension) -> ascending indices; what is not named stays whole
    rows: list[Row]
    threshold: float
    parameters: tuple[int, int]  # before, after
    flops: tuple[int, int]

    @property
    def ratio(self) -> float:
        """The remaining share of the parameters."""
        return self.parameters[1] / max(self.parameters[0], 1)

    @property
    def flops_ratio(self) -> float:
        return self.flops[1] / max(self.flops[0], 1)


@dataclass(frozen=True)
class Survey:
    """All that a plan needs but the threshold: scored groups, and the sizes from which a plan's cost follows."""

    settings: Settings
    coupling: Coupling
    scores: list[tuple[Group, np.ndarray]]  # a statistic for each position of the group
    shapes: dict[str, tuple[int, ...]]  # of the parameters
    macs: dict[str, int] = field(default_factory=dict)  # of the layers, by the name of their weight
    other_macs: int = 0  # of what has no weight: pruning is not said to save any of it


def survey(
    model: nn.Module, inputs: Mapping[str, Any], settings: Settings, macs: Mapping[str, int] | None = None
) -> Survey:
    """Runs the network once to see what belongs together, and scores its filters.

    `macs`: multiply-accumulates by module name (tltpy.nn.cost.macs), needed only where FLOPs are asked about.
    """
    coupling = couple(model, dict(inputs), settings.excluded)
    statistics = {
        layer: score.normalize(score.norms(model.get_parameter(name), dim), settings.normalizer)
        for layer, (name, dim) in coupling.filters.items()
        if layer not in coupling.follows
    }
    scores = []
    for group in coupling.groups:
        members = zip(group.layers, group.channels, strict=True)
        merged = score.equalize(np.stack([statistics[layer][index] for layer, index in members]), settings.equalization)
        scores.append((group, merged))
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    weights = _macs_by_weight(model, macs or {})
    return Survey(settings, coupling, scores, shapes, weights, (macs or {}).get("", 0) - sum(weights.values()))


def plan(
    model: nn.Module, inputs: Mapping[str, Any], settings: Settings, macs: Mapping[str, int] | None = None
) -> Plan:
    """What the settings' threshold leaves of the network."""
    return choose(survey(model, inputs, settings, macs), settings.threshold)


def choose(found: Survey, threshold: float) -> Plan:
    alive = _alive(found, threshold)
    slots = {slot: alive[ids] for slot, ids in found.coupling.slots.items()}
    rows = [_row(found, layer, slots[slot]) for layer, slot in found.coupling.filters.items()]
    keep = {slot: np.flatnonzero(stays) for slot, stays in slots.items() if not stays.all()}
    kept = {slot: int(stays.sum()) for slot, stays in slots.items()}
    parameters, flops = _costs(found, {}), _costs(found, kept)
    return Plan(keep, rows, threshold, (parameters[0], flops[0]), (parameters[1], flops[1]))


def search(found: Survey, share: float, measure: Measure) -> Plan:
    """The mildest threshold at which at most `share` (0-1) of the parameters or FLOPs remains.

    UsageError where the settings let no threshold reach it.
    """
    full = _costs(found, {})[measure == "flops"]
    open_groups = [statistic for group, statistic in found.scores if not group.frozen]
    thresholds = np.unique(np.concatenate([np.zeros(1), *open_groups]))

    def remaining(index: int) -> float:
        alive = _alive(found, float(thresholds[index]))
        kept = {slot: int(alive[ids].sum()) for slot, ids in found.coupling.slots.items()}
        return _costs(found, kept)[measure == "flops"] / max(full, 1)

    low, high = 0, len(thresholds) - 1
    if remaining(high) > share:
        named = "FLOPs" if measure == "flops" else measure
        raise UsageError(
            f"no threshold leaves {share:g} or less of the {named}: the least is {remaining(high):.3f}",
            "lower --min_num_filters or --pruning_granularity, use -eq intersection, or exclude fewer layers",
        )
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if remaining(middle) <= share else (middle + 1, high)
    return choose(found, float(thresholds[low]))


def apply(model: nn.Module, cuts: Plan) -> None:
    """Narrows the network in place. Tensors keep their identity, so shared ones stay shared; gradients are dropped."""
    tensors = _tensors(model)
    with torch.no_grad():
        for (name, dim), indices in cuts.keep.items():
            tensor = tensors[name]
            tensor.grad = None
            tensor.data = tensor.data.index_select(dim, torch.as_tensor(indices, device=tensor.device)).contiguous()
    _agree(model)


def fit(model: nn.Module, shapes: Mapping[str, Sequence[int]]) -> None:
    """Narrows a full network to the shapes of a model file's tensors; what the tensors hold is undefined afterwards.

    ModelFileError, naming the first tensor, where the file is of another network: one missing, one too many, another
    kernel size, or wider than the network.
    """
    tensors = _tensors(model)
    names = list(model.state_dict())
    for name in names:
        if name not in shapes:
            raise ModelFileError(f"the model file has no tensor {name}", HINT)
        _check_shape(name, tuple(tensors[name].shape), tuple(shapes[name]))
    for name in shapes:
        if name not in tensors:
            raise ModelFileError(f"the model file has a tensor {name}, which the network of its spec has not", HINT)
    for name in names:
        tensor = tensors[name]
        if tuple(tensor.shape) != tuple(shapes[name]):
            tensor.data = tensor.data[tuple(slice(size) for size in shapes[name])].clone()
    _agree(model)


HINT = "the spec's network (architecture, number of layers, classes) must be the one that the file was trained with"


def _alive(found: Survey, threshold: float) -> np.ndarray:
    """Whether each class stays; the last entry is FIXED's, reached by its index -1."""
    settings = found.settings
    count = max([0, *(int(group.classes.max()) + 1 for group, _ in found.scores)])
    alive = np.ones(count + 1, dtype=bool)
    for group, statistic in found.scores:
        if group.frozen:
            continue
        alive[group.classes] = False
        kept = score.keep(statistic, threshold, settings.min_num_filters, settings.granularity)
        alive[group.classes[kept]] = True
    return alive


def _macs_by_weight(model: nn.Module, macs: Mapping[str, int]) -> dict[str, int]:
    """A weight that several modules share gathers what each of them costs."""
    first = {id(parameter): name for name, parameter in model.named_parameters()}
    weights: dict[str, int] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        module, _, leaf = name.rpartition(".")
        if leaf == "weight" and module in macs:
            weights[first[id(parameter)]] = weights.get(first[id(parameter)], 0) + macs[module]
    return weights


def _row(found: Survey, layer: str, stays: np.ndarray) -> Row:
    ids = found.coupling.slots[found.coupling.filters[layer]]
    reasons = [found.coupling.reasons.get(owner, "network input" if owner < 0 else "") for owner in ids.tolist()]
    note = "follows the layer before" if layer in found.coupling.follows else ""
    if all(reasons):
        note = "kept: " + ", ".join(dict.fromkeys(reasons))
    return Row(layer, len(stays), int(stays.sum()), note)


def _costs(found: Survey, kept: Mapping[tuple[str, int], int]) -> tuple[int, int]:
    """Parameters and FLOPs; a layer's multiply-accumulates are in proportion to its weight."""
    parameters, macs = 0, found.other_macs
    for name, shape in found.shapes.items():
        full = size = 1
        for dim, width in enumerate(shape):
            full *= width
            size *= kept.get((name, dim), width)
        parameters += size
        macs += found.macs.get(name, 0) * size // max(full, 1)
    return parameters, 2 * macs


def _check_shape(name: str, full: tuple[int, ...], given: tuple[int, ...]) -> None:
    narrower = len(full) == len(given) and all(1 <= b <= a for a, b in zip(full, given, strict=True))
    if full == given or (narrower and full[2:] == given[2:]):
        return
    raise ModelFileError(f"tensor {name} of shape {list(given)} does not fit into the network's {list(full)}", HINT)


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    return dict([*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)])


def _agree(model: nn.Module) -> None:
    """Makes the numbers that modules remember agree with their tensors."""
    for module in model.modules():
        if isinstance(module, nn.modules.conv._ConvNd):
            _agree_convolution(module)
        elif isinstance(module, nn.Linear):
            module.out_features, module.in_features = module.weight.shape
        elif isinstance(module, nn.modules.batchnorm._NormBase):
            features = module.weight if module.weight is not None else module.running_mean
            module.num_features = module.num_features if features is None else len(features)
        elif isinstance(module, nn.PReLU):
            module.num_parameters = module.weight.numel()


def _agree_convolution(module: nn.modules.conv._ConvNd) -> None:
    first, second = module.weight.shape[:2]
    if module.groups > 1 and module.groups == module.in_channels == module.out_channels:
        module.groups = module.in_channels = module.out_channels = first
    elif module.transposed:
        module.in_channels, module.out_channels = first, second * module.groups
    else:
        module.out_channels, module.in_channels = first, second * module.groups
