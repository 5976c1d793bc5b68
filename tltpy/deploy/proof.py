"""Whether a graph computes what the module that it was written from computes."""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from tltpy.deploy import half, onnx
from tltpy.deploy.compare import Comparison, compare, relative_error
from tltpy.deploy.runtime import open_runtime
from tltpy.errors import QualityError

RAW_LIMIT = 1e-3  # relative error of a raw output


@dataclass(frozen=True)
class Proof:
    """`raw_error`: the largest relative error of a raw output; None where no layer of the module makes them."""

    outputs: Comparison
    raw_error: float | None

    def describe(self) -> str:
        raw = "" if self.raw_error is None else f"; relative error of the raw outputs {self.raw_error:.2g}"
        return self.outputs.describe() + raw


def prove(module: nn.Module, content: bytes, inputs: dict[str, Tensor], what: str) -> Proof:
    """Runs both on `inputs`. QualityError, about `what`, where their outputs differ.

    Lists of what was found may be empty, and then equal whatever the network computes; so the raw outputs of the graph
    (deploy.half.boundary) are looked for among what the layers of the module make, and must be there.
    """
    raw = half.boundary(onnx.read(content))
    found = open_runtime(onnx.with_outputs(content, raw))(inputs)
    nearest: dict[str, float] = {}
    watch = partial(_watch, {name: found[name] for name in raw}, nearest)
    hooks = [layer.register_forward_hook(watch) for layer in module.modules()]
    try:
        with torch.inference_mode():
            wanted: dict[str, Tensor] = module(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    proof = Proof(compare(found, wanted), max(nearest.values(), default=None))
    if not proof.outputs.equal or (proof.raw_error or 0.0) > RAW_LIMIT:
        raise QualityError(
            f"{what} does not compute what the model computes: {proof.describe()}",
            "a model that is not trained gives many boxes the same score, and either may suppress the other: train it",
        )
    return proof


def _watch(raw: dict[str, Tensor], nearest: dict[str, float], layer: nn.Module, inputs: object, output: object) -> None:
    """Notes how near the output of a layer is to each raw output of its shape."""
    for made in output.values() if isinstance(output, dict) else (output,):
        for name, value in raw.items():
            if isinstance(made, Tensor) and value.shape == made.shape:
                error = relative_error(value, made)
                nearest[name] = min(error, nearest.get(name, error))
