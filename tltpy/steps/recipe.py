"""`training_config` as optimizer, learning rate, penalty and number format: the same for every task."""

from typing import Any

import torch
from torch import nn

from tltpy.optim.penalty import Penalty, kernels
from tltpy.optim.schedules import SoftStartAnnealing, SoftStartCosine


def optimizer(network: nn.Module, config: Any, rate: float) -> torch.optim.Optimizer:
    """Of the parameters that are trained; none chosen: Adam with its defaults."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    section = config.optimizer
    kind = section.WhichOneof("optimizer") or "adam"
    if kind == "sgd":
        momentum, nesterov = section.sgd.momentum, section.sgd.nesterov
        return torch.optim.SGD(parameters, lr=rate, momentum=momentum, nesterov=nesterov)
    if kind == "rmsprop":
        numbers = section.rmsprop
        return torch.optim.RMSprop(
            parameters,
            lr=rate,
            alpha=numbers.rho,
            momentum=numbers.momentum,
            eps=numbers.epsilon,
            centered=numbers.centered,
        )
    numbers = section.adam
    return torch.optim.Adam(
        parameters,
        lr=rate,
        betas=(numbers.beta1, numbers.beta2),
        eps=numbers.epsilon,
        amsgrad=numbers.amsgrad,
        fused=True,
    )


def schedule(config: Any, world: int) -> SoftStartAnnealing | SoftStartCosine:
    """Its rates are multiplied by the number of processes, as published (linear scaling)."""
    section = config.learning_rate
    if section.WhichOneof("learning_rate") == "soft_start_cosine_annealing_schedule":
        numbers = section.soft_start_cosine_annealing_schedule
        return SoftStartCosine(numbers.min_learning_rate * world, numbers.max_learning_rate * world, numbers.soft_start)
    numbers = section.soft_start_annealing_schedule
    return SoftStartAnnealing(
        numbers.min_learning_rate * world, numbers.max_learning_rate * world, numbers.soft_start, numbers.annealing
    )


def penalty(network: nn.Module, config: Any) -> Penalty:
    section = config.regularizer
    return Penalty(kernels(network), int(section.type), section.weight)


def amp_dtype(config: Any, device: torch.device) -> torch.dtype:
    """The number format of mixed precision on a device."""
    if config.amp_dtype != "auto":
        return torch.float16 if config.amp_dtype == "float16" else torch.bfloat16
    old = device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.float16 if old else torch.bfloat16
