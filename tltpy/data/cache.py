"""Decoded pictures kept in memory as far as a budget goes, so that each file is decoded once."""

import os
from collections.abc import Callable
from pathlib import Path
from threading import Lock

import numpy as np


class PixelCache:
    """Pictures by path, within a budget; threads may share it.

    A cache that is full keeps what it has: an epoch visits every file once, and one that drops the oldest would
    never be hit. With `evict` it does drop the oldest: for pictures that are wanted twice in short order.
    """

    def __init__(self, budget_bytes: int, read: Callable[[Path], np.ndarray], *, evict: bool = False) -> None:
        self._left = budget_bytes
        self._read = read
        self._evict = evict
        self._kept: dict[Path, np.ndarray] = {}
        self._lock = Lock()

    def get(self, path: Path) -> np.ndarray:
        """What `read` gives for the file; callers do not write to it."""
        found = self._kept.get(path)
        if found is None:
            found = self._read(path)
            found.setflags(write=False)
            with self._lock:
                self._admit(path, found)
        return found

    def _admit(self, path: Path, pixels: np.ndarray) -> None:
        while self._evict and self._kept and pixels.nbytes > self._left:
            self._left += self._kept.pop(next(iter(self._kept))).nbytes
        if pixels.nbytes <= self._left and path not in self._kept:
            self._left -= pixels.nbytes
            self._kept[path] = pixels


def memory_bytes() -> int:
    """Of this machine; a limit of the control group counts."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.exists() and (text := limit.read_text().strip()).isdigit():
        total = min(total, int(text))
    return total
