"""Order, shares of the ranks, and that neither the workers nor the ranks change an example."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import pytest

from tltpy.data.loader import Batch, Draw, Loader, Recipe, Workers, _adopt
from tltpy.errors import DataError

COUNT = 23


@dataclass(frozen=True)
class Numbers:
    """Records that are numbers; those below 0 do as `sample` says."""

    values: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int) -> int:
        return self.values[index]


def sample(record: int, draw: Draw | None) -> dict[str, Any]:
    if record == -1:
        os._exit(9)  # as the system does to a process when the memory is full
    if record == -2:
        raise DataError("000002.png: not a picture", "convert it")
    if draw is None:
        return {"record": record, "random": None, "step": None, "shared": None}
    shared = float(draw.shared(3).random())
    return {"record": record, "random": float(draw.rng.random()), "step": draw.step, "shared": shared}


def collate(samples: list[dict[str, Any]]) -> Batch:
    return {key: [one[key] for one in samples] for key in samples[0]}


def recipe(count: int = COUNT, *, training: bool = True, seed: int = 4, values: tuple[int, ...] = ()) -> Recipe:
    records = Numbers(values or tuple(range(100, 100 + count)))
    return Recipe(records, sample, collate, seed, training)


@contextmanager
def loading(made: Recipe, batch_size: int = 3, **more: Any) -> Iterator[Loader]:
    more.setdefault("workers", Workers(count=2))
    loader = Loader(made, batch_size, **more)
    try:
        yield loader
    finally:
        loader.close()


def batches(made: Recipe, epoch: int = 1, first_step: int = 0, **more: Any) -> list[Batch]:
    with loading(made, **more) as loader:
        return list(loader.epoch(epoch, first_step))


def indices(found: list[Batch]) -> list[int]:
    return list(chain.from_iterable(batch["index"] for batch in found))


def test_every_record_comes_once_an_epoch() -> None:
    found = batches(recipe())
    assert sorted(indices(found)) == list(range(COUNT)) and indices(found) != list(range(COUNT))
    assert [len(batch["index"]) for batch in found] == [3] * 7 + [2]
    assert all(batch["record"] == [100 + index for index in batch["index"]] for batch in found)


def test_order_is_a_pure_function_of_seed_and_epoch() -> None:
    first = Loader(recipe(), 3).order(2)
    assert np.array_equal(first, Loader(recipe(), 5, rank=1, world=1).order(2)) and first.dtype == np.int64
    assert not np.array_equal(first, Loader(recipe(), 3).order(3))
    assert not np.array_equal(first, Loader(recipe(seed=5), 3).order(2))


def test_evaluation_goes_in_order_without_random_numbers() -> None:
    found = batches(recipe(training=False))
    assert indices(found) == list(range(COUNT))
    assert all(value is None for batch in found for value in batch["random"])


def test_random_numbers_are_a_pure_function_of_seed_epoch_and_index() -> None:
    def drawn(made: Recipe, epoch: int, **more: Any) -> dict[int, float]:
        found = batches(made, epoch, **more)
        return {i: value for batch in found for i, value in zip(batch["index"], batch["random"], strict=True)}

    first = drawn(recipe(), 1)
    assert first == drawn(recipe(), 1, batch_size=5, workers=Workers(count=1, ahead=1))
    assert len(set(first.values())) == COUNT
    for other in (drawn(recipe(), 2), drawn(recipe(seed=5), 1)):
        assert not set(first.values()) & set(other.values())


def test_the_step_counts_on_over_epochs_and_its_numbers_are_shared() -> None:
    whole = [batch for epoch in (0, 1, 2) for batch in batches(recipe(), epoch)]
    assert [set(batch["step"]) for batch in whole] == [{step} for step in range(24)]
    shared = [set(batch["shared"]) for batch in whole]
    assert all(len(numbers) == 1 for numbers in shared)  # alike within a step
    values = [numbers.pop() for numbers in shared]
    assert [values[step] == values[step - 1] for step in range(1, 24)] == [step % 3 != 0 for step in range(1, 24)]
    assert len(set(values)) == 8
    ranks = [batches(recipe(), 1, rank=rank, world=2) for rank in (0, 1)]
    assert all(a["shared"][0] == b["shared"][0] for a, b in zip(*ranks, strict=True))
    assert values[:8] != [batch["shared"][0] for batch in batches(recipe(seed=5), 0)]


@pytest.mark.parametrize("workers", [Workers(1, 1), Workers(3, 1), Workers(4, 30)])
def test_workers_change_nothing(workers: Workers) -> None:
    assert batches(recipe(), workers=workers) == batches(recipe(), workers=Workers(1))


@pytest.mark.parametrize("first_step", [0, 1, 6, 7, 8, 20])
@pytest.mark.parametrize("world", [1, 2])
def test_first_step_skips_exactly(first_step: int, world: int) -> None:
    whole = batches(recipe(), rank=world - 1, world=world)
    assert batches(recipe(), first_step=first_step, rank=world - 1, world=world) == whole[first_step:]


@pytest.mark.parametrize(("count", "batch_size", "world"), [(23, 3, 2), (23, 4, 3), (24, 4, 2), (2, 3, 4), (25, 5, 3)])
def test_ranks_part_each_batch_into_equal_shares(count: int, batch_size: int, world: int) -> None:
    ranks = [batches(recipe(count), batch_size=batch_size, rank=rank, world=world) for rank in range(world)]
    with loading(recipe(count), batch_size, world=world) as loader:
        assert {len(found) for found in ranks} == {loader.steps}
        order = loader.order(1).tolist()
    taken = []
    for parts in zip(*ranks, strict=True):
        assert len({len(part["index"]) for part in parts}) == 1  # the last one, too
        taken += list(chain.from_iterable(zip(*(part["index"] for part in parts), strict=True)))
    assert taken == order
    assert set(taken) == set(range(count)) and len(taken) - count < world


def test_one_process_of_a_large_batch_sees_what_two_see_together() -> None:
    alone = batches(recipe(24), batch_size=6)
    ranks = [batches(recipe(24), batch_size=3, rank=rank, world=2) for rank in range(2)]
    together = [sorted(a["random"] + b["random"]) for a, b in zip(*ranks, strict=True)]
    assert together == [sorted(batch["random"]) for batch in alone]


def test_evaluation_parts_every_record_once() -> None:
    ranks = [batches(recipe(training=False), batch_size=4, rank=rank, world=3) for rank in range(3)]
    assert sorted(chain.from_iterable(map(indices, ranks))) == list(range(COUNT))
    few = [indices(batches(recipe(2, training=False), rank=rank, world=3)) for rank in range(3)]
    assert few == [[0], [1], []]


def test_weights_say_how_often_a_record_is_drawn() -> None:
    weights = np.array([0.0] * 10 + [1.0] * 10 + [3.0] * 3)
    with loading(recipe(), weights=weights) as loader:
        drawn = np.concatenate([loader.order(epoch) for epoch in range(200)])
        assert np.array_equal(loader.order(7), loader.order(7))
        assert len(loader.order(7)) == COUNT
    counts = np.bincount(drawn, minlength=COUNT) / len(drawn)
    assert counts == pytest.approx(weights / weights.sum(), abs=0.02) and not counts[:10].any()


def test_error_of_a_sample_arrives_with_its_hint() -> None:
    made = recipe(values=(1, 2, -2, 4, 5), training=False)
    with loading(made, 2) as loader:
        expect_bad_picture(loader)


def expect_bad_picture(loader: Loader) -> None:
    steps = loader.epoch(0)
    assert next(steps)["record"] == [1, 2]
    with pytest.raises(DataError, match=r"000002\.png: not a picture") as caught:
        next(steps)
    assert caught.value.hints == ("convert it",)


def test_processes_give_the_batches_and_the_errors_of_threads() -> None:
    made = recipe(values=(1, 2, -2, 4, 5), training=False)
    varied = recipe(values=(1, 2, 3, 4, 5))
    with loading(made, 2, workers=Workers(1, processes=True)) as loader:
        expect_bad_picture(loader)
        pool, _ = loader._executor()
        pool.submit(_adopt, varied).result()  # the same process, lest another be waited for
        loader.recipe = varied
        assert list(loader.epoch(3)) == batches(varied, 3, batch_size=2)


def test_a_worker_process_that_dies_is_an_error() -> None:
    values = (0, 1, 2, 3, 4, -1, 6, 7)
    with loading(recipe(values=values, training=False), 2, workers=Workers(1, processes=True)) as loader:
        start = time.monotonic()
        with pytest.raises(DataError, match="a worker that prepares pictures died") as caught:
            list(loader.epoch(0))
        assert time.monotonic() - start < 60
        assert "n_workers" in caught.value.hints[0]
        assert loader._pool is None  # another epoch would start new ones


def test_only_so_many_batches_are_made_ahead() -> None:
    made: list[int] = []

    def counted(record: int, draw: Draw | None) -> dict[str, Any]:
        made.append(record)
        return {"record": record}

    counting = Recipe(recipe().records, counted, collate, 4, False)
    with loading(counting, 1, workers=Workers(1, 3)) as loader:
        steps = loader.epoch(0)
        next(steps)
        deadline = time.monotonic() + 5
        while len(made) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.05)
        assert len(made) == 3


def test_close_ends_the_threads_and_may_be_called_in_the_middle_and_twice() -> None:
    before = threading.active_count()
    loader = Loader(recipe(), 3, workers=Workers(3))
    steps = loader.epoch(0)
    next(steps)
    assert threading.active_count() > before
    steps.close()  # type: ignore[attr-defined]
    loader.close()
    loader.close()
    assert threading.active_count() == before
    assert len(list(loader.epoch(1))) == 8
    loader.close()


def test_an_epoch_left_in_the_middle_does_not_disturb_the_next() -> None:
    with loading(recipe()) as loader:
        left = loader.epoch(0)
        next(left)
        left.close()  # type: ignore[attr-defined]
        assert list(loader.epoch(1)) == batches(recipe())


def test_by_itself_it_has_a_worker_less_than_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, ahead in ((1, 2), (5, 8)):
        monkeypatch.setattr("multiprocessing.cpu_count", lambda cores=cores: cores)
        with loading(recipe(), workers=Workers()) as loader:
            assert loader._executor()[1] == ahead  # twice the workers
