"""Decoded pictures kept in memory as far as a budget goes, so that each file is decoded once."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np


class PixelCache:
    """Keeps what comes first and never evicts: an epoch visits every file once, so that a newest-first cache of less than
    the whole set would never be hit. Threads may share it."""

    def __init__(self, budget_bytes: int, read: Callable[[Path], np.ndarray]) -> None:
        self._left = budget_bytes
        self._read = read
        self._kept: dict[Path, np.ndarray] = {}

    def get(self, path: Path) -> np.ndarray:
        """What `read` gives for the file; callers do not write to it."""
        found = self._kept.get(path)
        if found is None:
            found = self._read(path)
            if found.nbytes <= self._left:
                self._left -= found.nbytes
                found.setflags(write=False)
                self._kept[path] = found
        return found


def memory_bytes() -> int:
    """Of this machine; a limit of the control group counts."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.exists() and (text := limit.read_text().strip()).isdigit():
        total = min(total, int(text))
    return total
