"""Running a module or an engine over records and measuring what it finds; train and evaluate share it."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from tltpy.data.loader import Draw, Loader, Recipe, Workers
from tltpy.log import Log
from tltpy.steps.processes import Group, to_device
from tltpy.tasks.contract import Metric, Records, Task

CPU = torch.device("cpu")

Runner = Callable[[dict[str, Tensor]], dict[str, Tensor]]
"""inputs dict -> outputs dict: a module in eval mode or an engine."""


def sample_of(record: Any, draw: Draw | None, *, sample: Callable[..., dict[str, Any]], cfg: Any) -> dict[str, Any]:
    """The contract's `sample` with the order of arguments that the loader has."""
    return sample(record, cfg, draw)


def loader(task: Task, cfg: Any, records: Records, *, batch_size: int, training: bool, group: Group) -> Loader:
    """The loader of a split, with the workers of `training_config`."""
    config = cfg.training_config
    recipe = Recipe(records, partial(sample_of, sample=task.sample, cfg=cfg), task.collate, cfg.random_seed, training)
    workers = Workers(config.n_workers, config.max_queue_size, config.use_multiprocessing)
    weights = records.weights() if training else None
    return Loader(recipe, batch_size, workers, group.rank, group.world, weights)


@torch.inference_mode()
def measure(
    task: Task,
    cfg: Any,
    runner: Runner,
    batches: Loader,
    *,
    group: Group,
    log: Log,
    title: str = "evaluating",
    watch: Callable[[dict[str, Any]], None] | None = None,
) -> Metric:
    """The metric over all batches, gathered from all processes. `watch` is shown every batch (on the device)."""
    metric = task.metric(cfg)
    state: Any = None
    with log.progress(title, len(batches.recipe.records)) as progress:
        for batch in batches.epoch(0):
            batch = to_device(batch, group.device)
            outputs = runner(task.inputs(batch, state, cfg))
            predictions, state = task.decode(
                {name: value.cpu() for name, value in outputs.items()}, to_device(batch, CPU), state, cfg
            )
            metric.update(predictions, batch)
            if watch:
                watch(batch)
            progress.advance(len(batch["index"]) * group.world)
    if group.world > 1:
        metric.merge(group.gather(metric.state()))
    return metric
