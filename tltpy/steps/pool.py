"""Work in pieces, done by several processes: those of this machine, or those of a dask cluster, through one interface.

The pieces are done in any order and given back in theirs, so nothing downstream can tell how many workers there were.
A piece whose worker dies is done again, so doing one twice must do no harm. Ctrl-C is the business of this process.
"""

import multiprocessing
import os
import signal
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import cv2

from tltpy import __version__
from tltpy.errors import BackendError, DataError, UsageError

RENEWALS = 3
"""Pools that are lost one after the other without a result in between, before it is given up."""
CONNECT_S = 10

P = TypeVar("P")
R = TypeVar("R")
Say = Callable[[str], None]


@contextmanager
def workers(count: int, cluster: str | None, say: Say) -> Iterator["Pool | None"]:
    """The processes of a cluster, where an address is given, else `count` of this machine; None for one: do it here.

    BackendError when the cluster cannot be used, UsageError when both are asked for; `say` hears of workers that die.
    """
    if cluster is not None:
        if count > 1:
            raise UsageError("--workers and --cluster exclude each other", "a cluster has its own number of workers")
        with _dask(cluster) as (executor, size):
            yield Pool(lambda: executor, size, say)
    elif count <= 1:
        yield None
    else:
        others = set(multiprocessing.active_children())
        pool = Pool(lambda: _processes(count), count, say)
        try:
            yield pool
        except BaseException:  # nobody waits for what is being done, it might take for ever
            for process in set(multiprocessing.active_children()) - others:
                process.kill()
            raise
        finally:
            pool.close()


@contextmanager
def threads(count: int) -> Iterator["Pool"]:
    """Threads of this process, for pieces that wait for a device or for libraries that let go of the interpreter."""
    pool = Pool(lambda: ThreadPoolExecutor(count), count, lambda text: None)
    try:
        yield pool
    finally:
        pool.close()


@dataclass
class _Slot:
    """A piece that was handed out, and what will be its result."""

    piece: Any
    future: "Future[Any] | None" = None

    @property
    def lost(self) -> bool:
        if self.future is None or self.future.cancelled():
            return True
        return not self.future.done() or isinstance(self.future.exception(), BrokenExecutor)


class Pool:
    """An executor that is made anew when it breaks, and holds a few pieces for each of its workers at a time."""

    def __init__(self, make: Callable[[], Executor], size: int, say: Say) -> None:
        self._make, self._size, self._say = make, size, say
        self._executor = make()

    def map(self, function: Callable[[P], R], pieces: Iterable[P]) -> Iterator[R]:
        """The results, in the order of the pieces; an error of the function as it was raised.

        DataError when workers die again and again.
        """
        left, slots = iter(pieces), deque[_Slot]()
        renewals = 0
        while True:
            slots.extend(_Slot(piece) for piece in islice(left, 2 * self._size + 2 - len(slots)))
            if not slots:
                return
            try:
                for slot in slots:
                    slot.future = slot.future or self._executor.submit(_alone, function, slot.piece)
                assert slots[0].future
                result = slots[0].future.result()
            except BrokenExecutor as error:
                renewals += 1
                self._renew(renewals, error)
                for slot in slots:
                    slot.future = None if slot.lost else slot.future
                continue
            renewals = 0
            slots.popleft()
            yield result

    def close(self) -> None:
        """Waits for the pieces that are being done; the others are not begun."""
        self._executor.shutdown(cancel_futures=True)

    def _renew(self, renewals: int, error: BrokenExecutor) -> None:
        hint = "the memory may be full: use fewer workers"
        if renewals > RENEWALS:
            raise DataError(f"worker processes died {renewals} times at the same work", hint) from error
        self._say("a worker process died; another does its work again")
        self._executor.shutdown(wait=False)
        self._executor = self._make()


def _alone(function: Callable[[P], R], piece: P) -> R:
    """One worker is one core: OpenCV would take all of them."""
    cv2.setNumThreads(1)
    return function(piece)


def _processes(count: int) -> Executor:
    return ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), initializer=_start)


def _start() -> None:
    """Ctrl-C is the business of the parent, which ends the workers; but when it is killed nobody does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_follow, daemon=True).start()


def _follow() -> None:
    parent = multiprocessing.parent_process()
    assert parent
    parent.join()
    os._exit(1)


@contextmanager
def _dask(address: str) -> Iterator[tuple[Executor, int]]:
    """A dask cluster's executor, and how many pieces it does at a time. What is lost dask itself hands out again."""
    try:
        from distributed import Client
        from distributed.scheduler import KilledWorker
    except ImportError as error:
        hint = "pip install 'tltpy[cluster]' (dask.distributed), here and on the machines of the cluster"
        raise BackendError("--cluster needs dask.distributed, which is not installed", hint) from error
    client = _connected(Client, address)
    executor = client.get_executor(pure=False)
    try:
        yield executor, _greet(client, address)
    except KilledWorker as error:
        text = f"{address}: the workers that got a piece of the work died, one after the other"
        raise DataError(text, "their logs say why; the memory may be full") from error
    finally:
        with suppress(Exception):  # whatever the scheduler says now, the work is done, or an error is on its way
            executor.shutdown(wait=False)
            client.close()


def _connected(client: Any, address: str) -> Any:
    from distributed.comm.addressing import get_address_host_port

    try:
        host, port = get_address_host_port(address)
        socket.create_connection((host, port), CONNECT_S).close()  # the client would try it for long, and noisily
        return client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError, ImportError) as error:
        text = " ".join(str(error).split()) or "no answer"
        hint = "the address is the one that `dask scheduler` prints, e.g. tcp://10.0.0.5:8786"
        raise BackendError(f"{address}: no dask scheduler can be reached: {text}", hint) from error


def _greet(client: Any, address: str) -> int:
    """Threads of the workers; BackendError where there are none, or where another tltpy, or none, is installed."""
    try:
        client.wait_for_workers(1, timeout=CONNECT_S)
    except TimeoutError as error:
        raise BackendError(f"{address}: the cluster has no worker", f"start one: dask worker {address}") from error
    try:
        versions = client.run(_version)
    except Exception as error:  # dask raises whatever the worker could not do
        raise BackendError(
            f"{address}: a worker of the cluster cannot import tltpy: {error}", "install it on every machine"
        ) from error
    for worker, version in versions.items():
        if version != __version__:
            hint = "install one version on every machine"
            raise BackendError(f"{worker}: this worker has tltpy {version}, not {__version__}", hint)
    return sum(client.nthreads().values())


def _version() -> str:
    return __version__
