"""Batches in an order that is a pure function of (seed, epoch, index): no number of workers and no rank changes an
example.

Workers are threads (decoding and warping release the interpreter's lock) or processes; each makes whole batches, and a
few batches are made ahead.
"""

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from tltpy.errors import DataError

Batch = dict[str, Any]


@dataclass(frozen=True)
class Draw:
    """The chance that an example of the training is varied by."""

    rng: np.random.Generator  # the example's own
    seed: int = 0
    epoch: int = 0
    step: int = 0  # of the whole training

    def shared(self, period: int = 1) -> np.random.Generator:
        """Alike for all examples of `period` steps in a row, whichever process or worker makes them."""
        return np.random.default_rng(np.random.SeedSequence((self.seed, SHARED, self.step // period)))


SHARED = 2**32 - 1  # parts the numbers that a step shares from those of an epoch's order and of its examples
SampleOf = Callable[[Any, Draw | None], dict[str, Any]]
Collate = Callable[[list[dict[str, Any]]], Batch]


class Records(Protocol):
    """Examples at random access."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


@dataclass(frozen=True)
class Recipe:
    """How a batch is made; picklable when workers are processes."""

    records: Records
    sample: SampleOf
    collate: Collate
    seed: int
    training: bool

    def batch(self, epoch: int, step: int, indices: Sequence[int]) -> Batch:
        """The examples `indices` of an epoch, collated; key "index" lists them. `step` counts from the first epoch."""
        samples = [self.sample(self.records[index], self._draw(epoch, step, index)) for index in indices]
        return {**self.collate(samples), "index": list(indices)}

    def _draw(self, epoch: int, step: int, index: int) -> Draw | None:
        if not self.training:
            return None
        rng = np.random.Generator(np.random.Philox(np.random.SeedSequence((self.seed, epoch, index))))
        return Draw(rng, self.seed, epoch, step)


@dataclass(frozen=True)
class Workers:
    """`count` 0: one less than the cores. `ahead` 0: twice the count."""

    count: int = 0
    ahead: int = 0
    processes: bool = False


@dataclass
class Loader:
    """Iterate `epoch(number, first_step)`; close it when done. Rank r of `world` gets every world-th example of a
    batch."""

    recipe: Recipe
    batch_size: int
    workers: Workers = field(default_factory=Workers)
    rank: int = 0
    world: int = 1
    weights: np.ndarray | None = None  # [N] relative chance of each record to be drawn; None: each once an epoch
    _pool: Executor | None = None

    @property
    def steps(self) -> int:
        """Batches of an epoch."""
        return -(-len(self.recipe.records) // (self.batch_size * self.world))

    def order(self, epoch: int) -> np.ndarray:
        """The records of an epoch in order, over all ranks; int64, at least one for every rank in the last batch."""
        count = len(self.recipe.records)
        if not self.recipe.training:
            return np.arange(count)
        rng = np.random.default_rng(np.random.SeedSequence((self.recipe.seed, epoch)))
        if self.weights is None:
            order = rng.permutation(count)
        else:
            order = rng.choice(count, size=count, p=self.weights / self.weights.sum())
        # every rank takes part in every step, else the others would wait for it for ever
        return np.concatenate([order, np.resize(order, -count % self.world)])

    def epoch(self, number: int, first_step: int = 0) -> Iterator[Batch]:
        """The batches of this rank from `first_step` on."""
        order = self.order(number)
        size = self.batch_size * self.world
        pending = (
            order[start : start + size][self.rank :: self.world].tolist() for start in range(0, len(order), size)
        )
        todo = deque(list(enumerate(pending, number * self.steps))[first_step:])
        todo = deque((step, indices) for step, indices in todo if indices)
        made: deque[Future[Batch]] = deque()
        pool, ahead = self._executor()
        try:
            while todo or made:
                while todo and len(made) < ahead:
                    made.append(self._submit(pool, number, *todo.popleft()))
                yield made.popleft().result()
        except BrokenProcessPool as error:
            self._pool = None
            hint = "it may have run out of memory: lower n_workers, batch_size_per_gpu or image_cache_share"
            raise DataError("a worker that prepares pictures died", hint) from error
        finally:
            for future in made:
                future.cancel()

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def _executor(self) -> tuple[Executor, int]:
        count = self.workers.count or max((multiprocessing.cpu_count()) - 1, 1)
        if self._pool is None and self.workers.processes:
            # spawn: a fork of a process with torch's threads may hang
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(count, mp_context=context, initializer=_adopt, initargs=(self.recipe,))
        elif self._pool is None:
            self._pool = ThreadPoolExecutor(count, thread_name_prefix="loader")
        return self._pool, self.workers.ahead or 2 * count

    def _submit(self, pool: Executor, epoch: int, step: int, indices: list[int]) -> Future[Batch]:
        if self.workers.processes:
            return pool.submit(_adopted_batch, epoch, step, indices)
        return pool.submit(self.recipe.batch, epoch, step, indices)


_recipe: Recipe | None = None  # of a worker process: sent once, not with every batch


def _adopt(recipe: Recipe) -> None:
    global _recipe
    import torch

    torch.set_num_threads(1)
    _recipe = recipe


def _adopted_batch(epoch: int, step: int, indices: list[int]) -> Batch:
    assert _recipe is not None
    return _recipe.batch(epoch, step, indices)
