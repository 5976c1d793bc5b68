"""Pieces come back in order whoever did them; dead workers are replaced; a cluster that cannot be used says why."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from tltpy.errors import BackendError, DataError
from tltpy.steps import pool


def double(piece: int) -> int:
    time.sleep(0.01 * (piece % 3))
    return 2 * piece


def die_once(piece: tuple[Path, int]) -> int:
    """Whoever is given number 5 first is gone."""
    folder, number = piece
    mark = folder / "died"
    if number == 5 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    with (folder / f"{number}.txt").open("a") as file:
        file.write("done\n")
    return number


def die(piece: int) -> int:
    if piece == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return piece


def refuse(piece: int) -> int:
    if piece == 2:
        raise DataError("piece two is bad", "leave it out")
    return piece


def parent(piece: int) -> tuple[int, bool]:
    return os.getppid(), "torch" in sys.modules


def test_one_worker_is_this_process() -> None:
    with pool.workers(1, None, print) as workers:
        assert workers is None


def test_results_come_in_the_order_of_the_pieces() -> None:
    with pool.workers(2, None, print) as workers:
        assert workers
        assert list(workers.map(double, range(23))) == [2 * piece for piece in range(23)]
        assert list(workers.map(double, [])) == []
        assert next(workers.map(parent, [0])) == (os.getpid(), False)
    with pool.threads(3) as some:
        assert list(some.map(double, range(23))) == [2 * piece for piece in range(23)]


def test_few_pieces_are_taken_ahead() -> None:
    """A data set of a million pieces is not handed out at once."""
    taken: list[int] = []
    with pool.threads(2) as workers:
        results = workers.map(double, (taken.append(piece) or piece for piece in range(1000)))  # type: ignore[func-returns-value]
        assert next(results) == 0
        assert len(taken) < 10


def test_the_work_of_a_dead_worker_is_done_again(tmp_path: Path) -> None:
    said: list[str] = []
    with pool.workers(2, None, said.append) as workers:
        assert workers
        assert list(workers.map(die_once, [(tmp_path, number) for number in range(20)])) == list(range(20))
    assert said == ["a worker process died; another does its work again"]
    assert len(list(tmp_path.glob("*.txt"))) == 20


def test_work_that_kills_every_worker_is_given_up() -> None:
    said: list[str] = []
    with pool.workers(2, None, said.append) as workers, pytest.raises(DataError, match="died 4 times at the same work"):
        assert workers
        list(workers.map(die, range(8)))
    assert len(said) >= pool.RENEWALS  # more, where a pool was lost before the work ahead was given back


def test_an_error_comes_back_with_its_hints() -> None:
    with pool.workers(2, None, print) as workers, pytest.raises(DataError, match="piece two") as caught:
        assert workers
        list(workers.map(refuse, range(5)))
    assert caught.value.hints == ("leave it out",)


def test_no_dask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(BackendError, match="dask.distributed") as caught, pool.workers(1, "tcp://127.0.0.1:1", print):
        raise AssertionError
    assert "pip install 'tltpy[cluster]'" in caught.value.hints[0]
    assert caught.value.exit_code == 6
