"""A running average of the weights (Polyak & Juditsky 1992; the exponential form of TAO's model_ema)."""

import torch
from torch import Tensor, nn

DECAY = 0.998


class Average:
    """Holds the averaged state of a module; the decay grows with the steps, so that a short run is not held back."""

    def __init__(self, module: nn.Module, decay: float = DECAY) -> None:
        self.decay = decay
        self.steps = 0
        self.state = {name: value.detach().clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        self.steps += 1
        share = 1.0 - min(self.decay, (1.0 + self.steps) / (10.0 + self.steps))
        source = module.state_dict()
        names = [name for name, value in self.state.items() if value.is_floating_point()]
        torch._foreach_lerp_([self.state[name] for name in names], [source[name] for name in names], share)
        for name in self.state.keys() - set(names):
            self.state[name].copy_(source[name])

    def load(self, state: dict[str, Tensor], steps: int) -> None:
        self.steps = steps
        for name, value in state.items():
            self.state[name].copy_(value)
