"""What a network costs: parameters and multiply-accumulates (FLOPs are twice the multiply-accumulates)."""

from collections import defaultdict
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


def parameters(model: nn.Module) -> int:
    """Numbers that training can change; a shared tensor counts once."""
    return sum(parameter.numel() for parameter in model.parameters())


def macs(model: nn.Module, inputs: Any) -> dict[str, int]:
    """Multiply-accumulates of convolutions, matrix products and attention for the whole batch `inputs`, by module name.

    A module's number holds those of its children; "" is the network. Runs the network once in eval mode.
    """
    modes = {module: module.training for module in model.modules()}
    count = _Count()
    hooks = []
    try:
        for name, module in model.named_modules():
            hooks.append(module.register_forward_pre_hook(lambda _, __, name=name: count.within.append(name)))
            hooks.append(module.register_forward_hook(lambda *_: count.leave()))
        model.eval()
        with torch.no_grad(), count:
            model(inputs)
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in modes.items():
            module.training = mode
    return {"": 0, **count.macs}


def flops(model: nn.Module, inputs: Any) -> int:
    """Floating point operations of one run on `inputs`: two for each multiply-accumulate."""
    return 2 * macs(model, inputs)[""]


class _Count(TorchDispatchMode):
    """Adds what each operation costs to all modules that it runs within."""

    def __init__(self) -> None:
        super().__init__()
        self.macs: dict[str, int] = defaultdict(int)
        self.within: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func.overloadpacket)
        if formula is not None:
            cost = formula(*args, **(kwargs or {}), out_val=out) // 2
            for name in set(self.within):
                self.macs[name] += cost
        return out

    def leave(self) -> None:
        self.within.pop()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # torch would import its compiler to keep it away from here: seconds
