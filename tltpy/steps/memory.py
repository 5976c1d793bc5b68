"""Memory that runs out: said beforehand where it can be foreseen, recognized in whatever a library raises then."""

import os
import resource
from contextlib import suppress
from pathlib import Path

from tltpy.errors import DataError

SAYINGS = ("allocate memory", "bad_alloc", "bad allocation", "start new thread")  # of libraries
LITTLE = 1 << 28  # bytes; with less under the limit of the process, memory is taken for the cause of an odd failure
LEAST = 1 << 26  # the same for what the machine has left
KERNELS = 1 << 28  # what the libraries allocate beside the tensors
HINT = "lower the batch size, the input size, n_workers, or image_cache_share in training_config"


def spare_bytes() -> int | None:
    """What this process may still map under its limit (ulimit -v); None where it has none."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return None
    with suppress(OSError, ValueError, IndexError):
        return limit - int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    return None


def refuse_small_limit(weight_bytes: int) -> None:
    """DataError where a training of so many weights cannot fit: weights, gradients, two moments, a copy, kernels.

    Native code that is refused memory does not always raise an error; some of it ends the process.
    """
    needed, spare = 5 * weight_bytes + KERNELS, spare_bytes()
    if spare is not None and spare < needed:
        text = f"this training needs about {needed >> 20} MB of memory, and this process may take {spare >> 20} MB more"
        raise DataError(text, "raise the limit (ulimit -v), or train a smaller network")


def full(error: BaseException) -> DataError | None:
    """What to say of an error that comes of a lack of memory; None for another one."""
    text = str(error).lower()
    spare = spare_bytes()
    lacking = isinstance(error, MemoryError) or any(saying in text for saying in SAYINGS)
    if lacking or (spare is not None and spare < LITTLE) or _machine_spare() < LEAST:
        return DataError("the memory of this machine (or the limit of this process) is full", HINT)
    return None


def _machine_spare() -> int:
    with suppress(OSError, ValueError, KeyError):
        facts = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        return int(facts["MemAvailable"].split()[0]) << 10
    return 1 << 62
