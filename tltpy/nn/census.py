"""What happens in one run of a network: how often each module is called, what it costs, which types its operations
compute in, and which batch normalisations cannot become part of a convolution."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from tltpy.nn import cost

# names of operations of PyTorch; every processor and version has its own normalisations
PRODUCTS = {"convolution", "_convolution", "addmm", "mm", "bmm", "linear"}
NORMALISATION = "batch_norm"


@dataclass(frozen=True)
class Layer:
    """A module, "" being the network; `parameters` and `macs` hold those of its children. `output` is the shape that
    its last call gave, None where that was no single tensor. `used`: called, or a parameter of it was."""

    name: str
    kind: str
    parameters: int
    macs: int
    calls: int
    used: bool
    output: tuple[int, ...] | None
    children: int


@dataclass(frozen=True)
class Unfused:
    """A batch normalisation that stays an operation of its own; `convolution` is None where none is in front of it."""

    normalisation: str
    convolution: str | None
    reason: str


@dataclass(frozen=True)
class Census:
    """`types`: operation -> "float32 -> float32" -> how often."""

    layers: tuple[Layer, ...]
    types: dict[str, dict[str, int]]
    unfused: tuple[Unfused, ...]

    def dead(self) -> list[Layer]:
        """Modules that a run does not touch, the topmost of each branch; containers that are only indexed are none."""
        idle = {layer.name for layer in self.layers if not layer.used}
        alive = {name for layer in self.layers if layer.used for name in above(layer.name)}
        found = idle - alive
        return [layer for layer in self.layers if layer.name in found and found.isdisjoint(above(layer.name))]

    def shared(self) -> list[Layer]:
        """Modules without children that are called more than once."""
        return [layer for layer in self.layers if layer.calls > 1 and not layer.children]


def take(network: nn.Module, inputs: Any) -> Census:
    """Runs the network twice on `inputs`, in eval mode. Costs are those of the whole batch."""
    macs = cost.macs(network, inputs)
    watch = _Watch()
    modes = {module: module.training for module in network.modules()}
    hooks = []
    try:
        for name, module in network.named_modules():
            hooks.append(module.register_forward_pre_hook(lambda _, __, name=name: watch.enter(name)))
            hooks.append(module.register_forward_hook(lambda _, __, out: watch.leave(out)))
        network.eval()
        with torch.no_grad(), watch:
            watch.see(network(inputs))
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in modes.items():
            module.training = mode
    layers = tuple(
        Layer(
            name=name,
            kind=type(module).__name__,
            parameters=cost.parameters(module),
            macs=macs.get(name, 0),
            calls=watch.calls[name],
            used=bool(watch.calls[name]) or any(id(p) in watch.seen for p in module.parameters(recurse=False)),
            output=watch.shapes.get(name),
            children=sum(1 for _ in module.children()),
        )
        for name, module in network.named_modules()
    )
    types = {operation: dict(counts) for operation, counts in sorted(watch.types.items())}
    return Census(layers, types, tuple(watch.unfused(network)))


def above(name: str) -> list[str]:
    """The names of the modules that a module lies in: of a.b.c "", a, a.b."""
    parts = name.split(".")
    return ["", *(".".join(parts[:count]) for count in range(1, len(parts)))] if name else []


class _Watch(TorchDispatchMode):
    """Notes who calls what, and which operation takes the output of a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.within: list[str] = []
        self.calls: Counter[str] = Counter()
        self.shapes: dict[str, tuple[int, ...] | None] = {}
        self.types: dict[str, Counter[str]] = defaultdict(Counter)
        self.seen: Counter[int] = Counter()  # how often a tensor was taken, by its id
        self._held: list[Tensor] = []  # an id names a tensor as long as it lives
        self._made: dict[int, str] = {}  # output of a convolution -> its module
        self._norms: list[tuple[str, int]] = []  # module, id of what it takes

    def enter(self, name: str) -> None:
        self.within.append(name)
        self.calls[name] += 1

    def leave(self, out: Any) -> None:
        self.shapes[self.within.pop()] = tuple(out.shape) if isinstance(out, Tensor) else None

    def see(self, value: Any) -> None:
        """Counts the tensors of what leaves the network as taken."""
        self.seen.update(id(tensor) for tensor in _tensors(value))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        taken, given = _tensors((args, kwargs or {})), _tensors(out)
        self.seen.update(id(tensor) for tensor in taken)
        operation, here = func.overloadpacket.__name__, self.within[-1] if self.within else ""
        if taken and given and not func.is_view:
            self.types[operation][f"{_kinds(taken)} -> {_kinds(given)}"] += 1
        if operation in PRODUCTS and given:
            self._made[id(given[0])] = here
        if NORMALISATION in operation and taken:
            self._norms.append((here, id(taken[0])))
        self._held += given
        return out

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # torch would import its compiler to keep it away from here: seconds

    def unfused(self, network: nn.Module) -> list[Unfused]:
        found: dict[str, Unfused] = {}
        names = Counter(name for name, _ in self._norms)
        for norm, taken in self._norms:
            convolution = self._made.get(taken)
            reason = ""
            if convolution is None:
                reason = "no convolution is in front of it"
            elif self.calls[convolution] > 1:
                reason = f"the convolution is called {self.calls[convolution]} times"
            elif names[norm] > 1:
                reason = f"the normalisation is called {names[norm]} times"
            elif self.seen[taken] > 1:
                reason = "what the convolution gives also goes elsewhere"
            if reason:
                found.setdefault(norm, Unfused(norm, convolution, reason))
        return list(found.values())


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        return _tensors(list(value.values()))
    if isinstance(value, list | tuple):
        return [tensor for part in value for tensor in _tensors(part)]
    return []


def _kinds(tensors: list[Tensor]) -> str:
    return ", ".join(dict.fromkeys(str(tensor.dtype).removeprefix("torch.") for tensor in tensors))
