"""The cache of decoded pictures: within its budget a file is read once."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tltpy.data.cache import PixelCache, memory_bytes

BYTES = 3 * 5 * 7  # of a picture of `Reader`


class Reader:
    """Makes a picture of its own for every path, and counts."""

    def __init__(self) -> None:
        self.count: Counter[str] = Counter()

    def __call__(self, path: Path) -> np.ndarray:
        self.count[path.name] += 1
        return np.full((5, 7, 3), int(path.name), np.uint8)


def visit(cache: PixelCache, names: str) -> list[int]:
    return [int(cache.get(Path(name))[0, 0, 0]) for name in names]


@pytest.mark.parametrize("evict", [False, True])
def test_within_the_budget_every_file_is_read_once(evict: bool) -> None:
    reader = Reader()
    cache = PixelCache(3 * BYTES, reader, evict=evict)
    assert visit(cache, "123321123") == [1, 2, 3, 3, 2, 1, 1, 2, 3]
    assert reader.count == {"1": 1, "2": 1, "3": 1}


def test_a_full_cache_keeps_what_it_has() -> None:
    reader = Reader()
    cache = PixelCache(3 * BYTES - 1, reader)
    for _ in range(4):
        assert visit(cache, "1234") == [1, 2, 3, 4]
    assert reader.count == {"1": 1, "2": 1, "3": 4, "4": 4}


def test_with_evict_the_oldest_goes() -> None:
    reader = Reader()
    cache = PixelCache(2 * BYTES, reader, evict=True)
    visit(cache, "1122334433")
    assert reader.count == {"1": 1, "2": 1, "3": 1, "4": 1}
    visit(cache, "1")
    assert reader.count["1"] == 2
    visit(cache, "14")
    assert reader.count == {"1": 2, "2": 1, "3": 1, "4": 1}


@pytest.mark.parametrize("evict", [False, True])
@pytest.mark.parametrize("budget", [0, BYTES - 1])
def test_a_picture_beyond_the_budget_is_given_and_not_kept(budget: int, evict: bool) -> None:
    reader = Reader()
    cache = PixelCache(budget, reader, evict=evict)
    assert visit(cache, "1121") == [1, 1, 2, 1]
    assert reader.count == {"1": 3, "2": 1}


def test_pictures_cannot_be_written_to() -> None:
    cache = PixelCache(BYTES, Reader())
    for _ in range(2):
        with pytest.raises(ValueError, match="read-only"):
            cache.get(Path("1"))[0, 0, 0] = 9


def test_a_failed_read_is_not_kept() -> None:
    calls = []

    def read(path: Path) -> np.ndarray:
        calls.append(path)
        if len(calls) == 1:
            raise OSError("no such file")
        return np.zeros((2, 3, 3), np.uint8)

    cache = PixelCache(1000, read)
    with pytest.raises(OSError, match="no such file"):
        cache.get(Path("1"))
    assert cache.get(Path("1")).shape == (2, 3, 3)


@pytest.mark.parametrize("evict", [False, True])
def test_threads_share_it_and_the_budget_holds(evict: bool) -> None:
    cache = PixelCache(4 * BYTES, Reader(), evict=evict)
    names = "".join(str(number) for number in np.random.default_rng(0).integers(0, 8, 400))
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda name: visit(cache, name)[0], names))
    assert found == [int(name) for name in names]
    reads = Reader()
    cache._read = reads  # what is not read again is held
    held = [name for name in "01234567" if not (visit(cache, name), reads.count[name])[1]]
    assert len(held) <= 4 and (evict or len(held) == 4)


def test_a_picture_read_twice_at_once_takes_its_room_once() -> None:
    reader = Reader()

    def read(path: Path) -> np.ndarray:
        if path.name == "1" and not reader.count["1"]:
            reader.count["1"] += 1
            cache.get(path)  # as another thread would meanwhile
        return reader(path)

    cache = PixelCache(2 * BYTES, read)
    visit(cache, "122")
    assert reader.count["2"] == 1


def test_memory_of_the_machine_is_no_more_than_it_has() -> None:
    shown = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    assert 2**26 < memory_bytes() <= int(shown.split()[1]) * 1024
