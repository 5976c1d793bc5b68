"""L1 and L2 penalties as Keras' kernel regularizers have them: weight * sum |w|, weight * sum w^2 (no factor one
half)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


def kernels(module: nn.Module) -> list[Tensor]:
    """The weights of all convolutions and linear layers, quantized ones too, that are trained."""
    layers = (layer for layer in module.modules() if not isinstance(layer, nn.Embedding))
    found = (getattr(layer, "weight", None) for layer in layers)
    weights = [weight for weight in found if isinstance(weight, nn.Parameter) and weight.ndim > 1]
    return [weight for weight in weights if weight.requires_grad]


@dataclass(frozen=True)
class Penalty:
    """Of `norm` 1 or 2 on some parameters; 0 for none. It acts on the gradients, which is cheaper than on the loss."""

    parameters: list[Tensor]
    norm: int
    weight: float

    @torch.no_grad()
    def value(self) -> Tensor:
        """What it adds to the loss."""
        if not self.norm or not self.parameters:
            return torch.zeros(())
        norms = torch.stack(torch._foreach_norm(self.parameters, float(self.norm)))
        return self.weight * (norms if self.norm == 1 else norms.square()).sum()

    @torch.no_grad()
    def add_gradients(self) -> None:
        """Call between backward and the optimizer's step."""
        present = [parameter for parameter in self.parameters if parameter.grad is not None]
        if not self.norm or not present:
            return
        gradients = [parameter.grad for parameter in present if parameter.grad is not None]
        if self.norm == 1:
            torch._foreach_add_(gradients, torch._foreach_sign(present), alpha=self.weight)
        else:
            torch._foreach_add_(gradients, present, alpha=2.0 * self.weight)
