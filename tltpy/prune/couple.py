"""What must shrink together: channels that meet in one tensor operation belong to one class, cut or kept as one.

The network runs once on example inputs while `follow` watches every operation. Whatever it does not understand freezes
the channels that enter it, so an exotic layer is pruned less, never wrongly.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils import _pytree as pytree

from tltpy.prune.classes import Classes
from tltpy.prune.follow import Follow


@dataclass(frozen=True)
class Group:
    """Layers whose filters are chosen together: filter `channels[m][i]` of layer m meets `channels[n][i]` of n."""

    layers: tuple[str, ...]  # a layer stands here twice where two of its own filters meet
    channels: tuple[np.ndarray, ...]  # one array a layer, all of the same length
    classes: np.ndarray  # the class of each position
    frozen: str = ""  # why nothing of it may be cut


@dataclass(frozen=True)
class Coupling:
    """Which class every slice of every tensor belongs to; class -1 is never cut."""

    slots: dict[tuple[str, int], np.ndarray]  # (tensor name, dimension) -> the class of each index
    filters: dict[str, tuple[str, int]]  # layer -> the slot of its filters, in the order of execution
    follows: frozenset[str]  # depthwise layers: their filters are those of the layer before
    groups: list[Group]
    reasons: dict[int, str] = field(default_factory=dict)  # frozen class -> why


def couple(model: nn.Module, inputs: dict[str, Any], excluded: list[str] | tuple[str, ...] = ()) -> Coupling:
    """Runs `model` once on `inputs` (eval mode, no gradients) and restores its mode.

    `excluded` names layers that keep their filters, and with them those of every layer they meet. The outputs of the
    network always keep their width.
    """
    training = {module: module.training for module in model.modules()}
    follow = Follow(_names(model))
    try:
        model.eval()
        with torch.no_grad(), follow:
            outputs = model(inputs)
    finally:
        for module, mode in training.items():
            module.training = mode
    for output in pytree.tree_leaves(outputs):
        follow.freeze(output, "network output")
    follow.close()
    for layer in excluded:
        follow.classes.freeze(follow.made_by(model.get_parameter(f"{layer}.weight")), "excluded")
    slots = {slot: follow.classes.find(ids) for slot, ids in follow.slots.items()}
    producers = {layer: slot for layer, slot in follow.filters.items() if layer not in follow.follows}
    groups = _groups({layer: slots[slot] for layer, slot in producers.items()}, follow.classes)
    return Coupling(slots, follow.filters, frozenset(follow.follows), groups, follow.classes.reasons())


def layers(model: nn.Module) -> list[str]:
    """Names of the modules that hold filters: convolutions and linear layers."""
    kinds = (nn.modules.conv._ConvNd, nn.Linear)
    return [name for name, module in model.named_modules() if isinstance(module, kinds)]


def _names(model: nn.Module) -> dict[str, torch.Tensor]:
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def _groups(filters: dict[str, np.ndarray], classes: Classes) -> list[Group]:
    """Classes that are made by the same layers form one group; so a concatenation of A and B that is added to C gives
    the groups (A, C) and (B, C), each of which obeys granularity and minimum by itself."""
    members: dict[int, list[tuple[str, int]]] = defaultdict(list)
    for layer, ids in filters.items():
        for channel, owner in enumerate(ids.tolist()):
            members[owner].append((layer, channel))
    frozen = classes.reasons()
    together: dict[tuple[tuple[str, ...], str], list[int]] = defaultdict(list)
    for owner, places in members.items():
        together[tuple(layer for layer, _ in places), frozen.get(owner, "")].append(owner)
    groups = []
    for (names, reason), owners in together.items():
        table = np.array([[channel for _, channel in members[owner]] for owner in owners])  # [position, layer]
        groups.append(Group(names, tuple(table.T), np.array(owners), reason))
    return groups
