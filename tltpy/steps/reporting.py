"""Looking at a training while it runs and when it is over: plots/ and report.html.

It never endangers the training: it comes after the files of the models, and what goes wrong is a warning.
"""

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch

import tltpy
from tltpy.data.loader import Loader
from tltpy.deploy import processor
from tltpy.log import Log
from tltpy.nn import cost
from tltpy.steps import album, chronicle, curves, report
from tltpy.tasks.contract import Metric, Records, Seen

if TYPE_CHECKING:
    from tltpy.steps.train import Training

MOSAIC = 12  # pictures
_SHARE = 0.02  # of the training's time may go into refreshing the curves
_FIRST_S = 1.0  # what a refresh is taken to cost before one was made


class Reporter:
    """Watches one training, in its first process."""

    def __init__(self, folder: Path, loader: Loader, validation: Loader, log: Log) -> None:
        self.folder, self.loader, self.validation, self.log = folder, loader, validation, log
        self._shown: tuple[int, Metric] | None = None
        self._began, self._spent, self._last = time.monotonic(), 0.0, _FIRST_S

    def measured(self, metric: Metric, epoch: int, best: bool) -> None:
        """Keeps the best measurement for the pictures; after a resumption, until one is better, the last."""
        if best or self._shown is None or self._shown[0] < 0:
            self._shown = (epoch if best else -epoch, metric)

    def refresh(self) -> None:
        """The curves and the page, when that takes no more than its share of the time."""
        if self._spent + self._last > _SHARE * (time.monotonic() - self._began):
            return
        started = time.monotonic()
        with harmless(self.log, "the curves were not drawn"):
            album.write(self.folder, curves.training_curves(chronicle.read(self.folder)), keep=True)
            report.training(self.folder)
        self._last = time.monotonic() - started
        self._spent += self._last

    def finish(self) -> None:
        """All pictures, and the page."""
        with harmless(self.log, "the report was not written"):
            pictures = curves.training_curves(chronicle.read(self.folder))
            with harmless(self.log, "some pictures were not drawn"):
                if self._shown is not None:
                    pictures += self._shown[1].pictures(self._seen())
            # a finished run that is resumed measures nothing: its pictures stay
            album.write(self.folder, pictures, keep=self._shown is None)
            report.training(self.folder, measured=abs(self._shown[0]) if self._shown else None)
            self.log.detail(f"wrote {self.folder / report.NAME}")

    def _seen(self) -> Seen:
        first = self.loader.order(0)[:MOSAIC].tolist()
        batch = self.loader.recipe.batch(0, 0, first)
        validation, training = (cast(Records, one.recipe.records) for one in (self.validation, self.loader))
        return Seen(validation, training, batch)


@contextmanager
def harmless(log: Log, what: str) -> Iterator[None]:
    """An error within becomes a warning."""
    try:
        yield
    except Exception as error:  # whatever it is, the models are worth more than their pictures
        log.warn(f"{what}: {type(error).__name__}: {' '.join(str(error).split()) or 'no reason given'}")


def about(training: "Training") -> dict[str, Any]:
    """The facts of a run that its report tells beside those that a resumed run must share."""
    metric, group, amp = training.task.metric(training.cfg), training.group, training.amp
    return {
        "task": training.request.task,
        "model": training.stem,
        "headline": metric.headline,
        "higher_is_better": metric.higher_is_better,
        "validation_examples": len(training.validation.recipe.records),
        "params": cost.parameters(training.network),
        "processes": group.world,
        "precision": "float32" if amp is None else f"mixed, {str(amp).removeprefix('torch.')}",
        "lineage": training.metadata["lineage"],
        "warnings": training.log.warnings,
        "environment": environment(group.device),
    }


def environment(device: torch.device) -> dict[str, str]:
    """What a run ran on; names no user and no machine."""
    found = {
        "tltpy": tltpy.__version__,
        "Python": platform.python_version(),
        "PyTorch": torch.__version__,
        "system": f"{platform.system()} {platform.release()} ({platform.machine()})",
        "processor": f"{processor.name()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads used",
    }
    if device.type == "cuda":
        memory = torch.cuda.get_device_properties(device).total_memory / 2**30
        found["GPU"] = f"{torch.cuda.get_device_name(device)}, {memory:.0f} GiB, CUDA {torch.version.cuda}"
    return found
