"""Follows channels through a running network: one rule for each kind of tensor operation.

A tensor that has prunable channels carries `Channels`: which dimension they lie in, and the class of each index. Rules
say what an operation does to them; an operation without a rule freezes the channels that enter it.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakIdKeyDictionary

from tltpy.prune.classes import FIXED, Classes


@dataclass(frozen=True)
class Channels:
    dim: int
    ids: np.ndarray  # class of each index along dim


class Follow(TorchDispatchMode):
    """While active, gathers `slots`: for each tensor of the network and dimension, the classes along it."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        super().__init__()
        self.classes = Classes()
        self.slots: dict[tuple[str, int], np.ndarray] = {}
        self.filters: dict[str, tuple[str, int]] = {}
        self.follows: set[str] = set()
        self.tensors = tensors
        self._name_at = {tensor.data_ptr(): name for name, tensor in reversed(tensors.items()) if tensor.numel()}
        self._opaque: set[str] = set()
        self._channels: WeakIdKeyDictionary = WeakIdKeyDictionary()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        rule = RULES.get(name) or RULES.get(name.removesuffix("_"))
        values = pytree.tree_leaves((args, kwargs))
        if rule not in UNDERSTANDS_PARAMETERS or (rule is _elementwise and not any(map(self.of, values))):
            self._opaque.update(found for value in values if (found := self.parameter(value)) is not None)
        if rule is None:
            for value in values:
                self.freeze(value, f"enters {name}")
        else:
            rule(self, name.removesuffix("_"), args, kwargs or {}, out)
        return out

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # torch would import its compiler to keep it away from here: seconds

    def close(self) -> None:
        """Freezes what belongs to tensors that some operation reads in a way not understood."""
        for (name, _), ids in self.slots.items():
            if name in self._opaque:
                self.classes.freeze(ids, "is read by other operations")

    def of(self, value: Any) -> Channels | None:
        found: Channels | None = self._channels.get(value) if isinstance(value, Tensor) else None
        return found

    def set(self, out: Any, dim: int, ids: np.ndarray) -> None:
        """Marks every tensor of `out` that is as wide as `ids` in `dim`."""
        for value in pytree.tree_leaves(out):
            if isinstance(value, Tensor) and value.dim() > dim and value.shape[dim] == len(ids):
                self._channels[value] = Channels(dim, ids)

    def freeze(self, value: Any, reason: str) -> None:
        found = self.of(value)
        if found is not None:
            self.classes.freeze(found.ids, reason)

    def parameter(self, value: Any) -> str | None:
        """Name of the network's tensor that `value` is, or is a view of all of."""
        if not isinstance(value, Tensor):
            return None
        name = self._name_at.get(value.data_ptr())
        return name if name is not None and self.tensors[name].numel() == value.numel() else None

    def tie(self, name: str, dim: int, ids: np.ndarray) -> np.ndarray:
        """Says that slice i of the tensor belongs to class ids[i]; a tensor met before unites the two."""
        known = self.slots.setdefault((name, dim), ids)
        self.classes.unite(known, ids)
        return known

    def entering(self, value: Any, dim: int, width: int) -> np.ndarray:
        """Classes along `dim` of what enters a layer; FIXED where nothing is known."""
        found = self.of(value)
        if found is None:
            return np.full(width, FIXED)
        if found.dim != dim or len(found.ids) != width:
            self.freeze(value, "enters a layer by another dimension")
            return np.full(width, FIXED)
        return found.ids

    def made_by(self, weight: Tensor) -> np.ndarray:
        """Classes of the filters of a weight, which may go by several names; none where it was not used."""
        name = self.parameter(weight) or ""
        slot = self.filters.get(name.rpartition(".")[0] or name)
        return self.slots[slot] if slot else np.zeros(0, dtype=np.int64)

    def filters_of(self, weight: str, dim: int) -> np.ndarray:
        """Classes of a layer's filters: new at the first call of the layer."""
        if (weight, dim) not in self.slots:
            self.slots[weight, dim] = self.classes.new(self.tensors[weight].shape[dim])
            self.filters[weight.rpartition(".")[0] or weight] = (weight, dim)
        return self.slots[weight, dim]


Rule = Callable[[Follow, str, tuple[Any, ...], dict[str, Any], Any], None]


def _convolution(follow: Follow, op: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    x, weight, bias, transposed, groups = args[0], args[1], args[2], args[6], args[8]
    name = follow.parameter(weight)
    follow.freeze(weight, "is a computed weight")
    if name is None:
        follow.freeze(x, "enters a computed convolution")
        return
    ids = follow.entering(x, 1, x.shape[1])
    if groups == 1:
        follow.tie(name, 0 if transposed else 1, ids)
        made = follow.filters_of(name, 1 if transposed else 0)
    elif groups == x.shape[1] == out.shape[1]:
        layer = name.rpartition(".")[0] or name
        follow.follows.add(layer)
        follow.filters.setdefault(layer, (name, 0))
        made = follow.tie(name, 0, ids)
    else:
        follow.freeze(x, "enters a grouped convolution")
        made = follow.filters_of(name, 0)
        follow.classes.freeze(made, "grouped convolution")
        if transposed:
            return
    _tie_features(follow, [bias], made)
    follow.set(out, 1, made)


def _linear(follow: Follow, op: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    bias, x, weight = args if op == "addmm" else (None, *args)
    name = follow.parameter(weight)
    own = follow.tensors[name] if name is not None else None
    if name is None or own is None or (own.shape, own.stride()) != (weight.shape[::-1], weight.stride()[::-1]):
        for value in (bias, x, weight):
            follow.freeze(value, "enters a matrix product")
        return
    follow.tie(name, 1, follow.entering(x, 1, x.shape[1]))
    made = follow.filters_of(name, 0)
    _tie_features(follow, [bias], made)
    follow.set(out, 1, made)


def _batch_norm(follow: Follow, op: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    ids = follow.entering(args[0], 1, args[0].shape[1])
    _tie_features(follow, args[1:5], ids)
    if (ids != FIXED).any():
        follow.set(out if isinstance(out, Tensor) else out[0], 1, ids)


def _tie_features(follow: Follow, values: Iterable[Any], ids: np.ndarray) -> None:
    for value in values:
        name = follow.parameter(value)
        if name is not None:
            follow.tie(name, 0, ids)


def _elementwise(follow: Follow, op: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Broadcasting joins channels that lie at the same distance from the last dimension."""
    operands = [v for v in pytree.tree_leaves((args, kwargs)) if isinstance(v, Tensor)]
    wide = [(v, found) for v in operands if (found := follow.of(v)) is not None and len(found.ids) > 1]
    narrow = [(v, found) for v in operands if (found := follow.of(v)) is not None and len(found.ids) == 1]
    marked = wide or narrow
    if not marked:
        return
    lead, first = marked[0]
    place = first.dim - lead.dim()
    for value, found in marked[1:]:
        if found.dim - value.dim() == place:
            follow.classes.unite(first.ids, found.ids)
        else:
            follow.freeze(lead, f"meets other channels in {op}")
            follow.freeze(value, f"meets other channels in {op}")
    for value in operands:
        if follow.of(value) is None and value.dim() >= -place and value.shape[place] > 1:
            _meet_constant(follow, op, value, place, first.ids)
    for value in pytree.tree_leaves(out):
        if isinstance(value, Tensor):
            follow.set(value, value.dim() + place, first.ids)


def _meet_constant(follow: Follow, op: str, value: Tensor, place: int, ids: np.ndarray) -> None:
    """A parameter with one number a channel (PReLU, a scale) is cut along; any other constant freezes."""
    name = follow.parameter(value)
    if name is None or value.numel() != len(ids) or value.shape[place] != len(ids):
        follow.classes.freeze(ids, f"meets a constant in {op}")
        return
    follow.tie(name, list(follow.tensors[name].shape).index(len(ids)), ids)


def _spatial(follow: Follow, op: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Pooling, resizing, padding, sampling: the channels of the first operand stay what and where they are."""
    for value in pytree.tree_leaves((args[1:], kwargs)):
        follow.freeze(value, f"steers {op}")
    _same_place(follow, op, args[0], out)


def _same_place(follow: Follow, op: str, x: Any, out: Any) -> None:
    found = follow.of(x)
    if found is None:
        return
    first = out if isinstance(out, Tensor) else out[0]
    if first.dim() != x.dim() or first.shape[found.dim] != x.shape[found.dim]:
        follow.freeze(x, f"is cut by {op}")
        return
    follow.set(out, found.dim, found.ids)


def _cat(follow: Follow, op: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    parts = [part for part in args[0] if part.numel()]
    dim = (args[1] if len(args) > 1 else kwargs.get("dim", 0)) % parts[0].dim()
    marked = [found for part in parts if (found := follow.of(part)) is not None]
    if not marked:
        return
    if all(found.dim == dim for found in marked):
        widths = [np.full(part.shape[dim], FIXED) if (c := follow.of(part)) is None else c.ids for part in parts]
        follow.set(out, dim, np.concatenate(widths))
    elif len(marked) == len(parts) and all(found.dim == marked[0].dim for found in marked):
        for found in marked[1:]:
            follow.classes.unite(marked[0].ids, found.ids)
        follow.set(out, marked[0].dim, marked[0].ids)
    else:
        for part in parts:
            follow.freeze(part, f"is mixed by {op}")


def _stack(follow: Follow, op: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    dim = (args[1] if len(args) > 1 else kwargs.get("dim", 0)) % out.dim()
    marked = [found for part in args[0] if (found := follow.of(part)) is not None]
    if len(marked) < len(args[0]) or any(found.dim != marked[0].dim for found in marked):
        for part in args[0]:
            follow.freeze(part, f"is mixed by {op}")
        return
    for found in marked[1:]:
        follow.classes.unite(marked[0].ids, found.ids)
    follow.set(out, marked[0].dim + (marked[0].dim >= dim), marked[0].ids)


def _permute(follow: Follow, op: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    found = follow.of(args[0])
    if found is None:
        return
    rank = args[0].dim()
    order = list(range(rank))
    if op == "permute":
        order = [dim % rank for dim in args[1]]
    else:
        a, b = (0, rank - 1) if op == "t" else (args[1] % rank, args[2] % rank)
        order[a], order[b] = order[b], order[a]
    follow.set(out, order.index(found.dim), found.ids)


def _view(follow: Follow, op: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """The channel dimension may stay whole or be flattened with the dimensions behind it; to split it freezes it."""
    x = args[0]
    found = follow.of(x)
    if found is None:
        return
    before, width = math.prod(x.shape[: found.dim]), len(found.ids)
    for dim, size in enumerate(out.shape):
        if math.prod(out.shape[:dim]) != before:
            continue
        if size == width and math.prod(out.shape[dim + 1 :]) * before * width == x.numel():
            follow.set(out, dim, found.ids)
            return
        if size > width and size % width == 0:
            follow.set(out, dim, np.repeat(found.ids, size // width))
            return
        blocks = found.ids.reshape(size, -1) if 1 < size < width and width % size == 0 else None
        if blocks is not None and (blocks == blocks[:, :1]).all():  # a flattening undone
            follow.set(out, dim, blocks[:, 0])
            return
    follow.freeze(x, f"is reshaped by {op}")


def _select(follow: Follow, op: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Takes away the dimension args[1] (select, unbind), or a part of it (slice, split)."""
    x = args[0]
    found = follow.of(x)
    if found is None:
        return
    position = 2 if op in ("split", "split_with_sizes") else 1
    dim = (args[position] if len(args) > position else kwargs.get("dim", 0)) % x.dim()
    parts = [value for value in pytree.tree_leaves(out) if isinstance(value, Tensor)]
    if dim == found.dim and (len(parts) > 1 or parts[0].shape != x.shape):
        follow.freeze(x, f"is cut by {op}")
        return
    lost = parts[0].dim() < x.dim() and dim < found.dim
    follow.set(out, found.dim - lost, found.ids)


def _squeeze(follow: Follow, op: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    x = args[0]
    found = follow.of(x)
    if found is None:
        return
    if op == "unsqueeze":
        follow.set(out, found.dim + (args[1] % out.dim() <= found.dim), found.ids)
        return
    dims = range(x.dim()) if len(args) < 2 else [args[1]] if isinstance(args[1], int) else args[1]
    gone = {dim % x.dim() for dim in dims if x.shape[dim] == 1}
    if found.dim in gone:
        follow.freeze(x, "is squeezed away")
    else:
        follow.set(out, found.dim - sum(dim < found.dim for dim in gone), found.ids)


def _expand(follow: Follow, op: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    found = follow.of(args[0])
    if found is None:
        return
    dim = found.dim + out.dim() - args[0].dim()
    if out.shape[dim] != len(found.ids):
        follow.freeze(args[0], f"is spread by {op}")
    else:
        follow.set(out, dim, found.ids)


def _reduce(follow: Follow, op: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Over other dimensions the channels stay; a sum over them takes them in, as a convolution does."""
    x = args[0]
    found = follow.of(x)
    if found is None:
        return
    dims = args[1] if len(args) > 1 else kwargs.get("dim")
    dims = range(x.dim()) if dims is None or dims == [] else [dims] if isinstance(dims, int) else dims
    gone = {dim % x.dim() for dim in dims}
    first = out if isinstance(out, Tensor) else out[0]
    if found.dim in gone:
        if op != "sum":
            follow.freeze(x, f"is reduced by {op}")
        return
    kept = first.dim() == x.dim()
    follow.set(out, found.dim if kept else found.dim - sum(dim < found.dim for dim in gone), found.ids)


def _nothing(follow: Follow, op: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Reads no values of channels."""


def _table(entries: list[tuple[Rule, str]]) -> dict[str, Rule]:
    return {name: rule for rule, names in entries for name in names.split()}


RULES: dict[str, Rule] = _table([
    (_convolution, "convolution _convolution"),
    (_linear, "addmm mm"),
    (_batch_norm, "native_batch_norm _native_batch_norm_legit_no_training cudnn_batch_norm _batch_norm_no_update"),
    (_elementwise, "relu relu6 leaky_relu sigmoid tanh silu hardtanh hardswish hardsigmoid gelu elu mish softplus"),
    (_elementwise, "clamp clamp_min clamp_max add sub rsub mul div maximum minimum where pow exp log log1p sqrt rsqrt"),
    (_elementwise, "neg abs reciprocal erf sign sin cos floor ceil round gt lt ge le eq ne logical_not logical_and"),
    (_elementwise, "logical_or masked_fill nan_to_num isnan isfinite native_dropout bernoulli lerp addcmul addcdiv"),
    (_elementwise, "_prelu_kernel threshold _to_copy clone detach alias lift_fresh zeros_like ones_like full_like"),
    (_spatial, "max_pool2d_with_indices avg_pool2d _adaptive_avg_pool2d adaptive_max_pool2d max_pool1d avg_pool1d"),
    (_spatial, "max_pool3d_with_indices avg_pool3d _adaptive_avg_pool3d upsample_nearest3d upsample_trilinear3d"),
    (_spatial, "upsample_nearest1d upsample_linear1d upsample_nearest2d _upsample_nearest_exact2d upsample_bilinear2d"),
    (_spatial, "upsample_bicubic2d constant_pad_nd reflection_pad2d replication_pad2d grid_sampler_2d grid_sampler_3d"),
    (_cat, "cat"),
    (_stack, "stack"),
    (_permute, "permute transpose t"),
    (_view, "view _unsafe_view _reshape_alias reshape"),
    (_select, "slice select split split_with_sizes unbind"),
    (_squeeze, "squeeze unsqueeze"),
    (_expand, "expand"),
    (_reduce, "sum mean amax amin max min argmax argmin var std any all"),
    (_nothing, "sym_size sym_stride sym_numel"),
])

UNDERSTANDS_PARAMETERS = (_convolution, _linear, _batch_norm, _elementwise, _permute, _view, _nothing)
