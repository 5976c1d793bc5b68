"""What a training leaves to look at: training_log.csv and TensorBoard events. A resumed run goes on with both."""

import csv
import io
import math
from pathlib import Path
from typing import Any

import torch

from tltpy import files


class History:
    """Rows of training_log.csv, in the columns of Keras' CSVLogger as TLT writes them: `epoch` counts from 0, a
    value that
    an epoch did not measure is nan. `first_epoch`: rows from it on are forgotten, they are about to be made again."""

    def __init__(self, results_dir: Path, first_epoch: int) -> None:
        self._path = results_dir / "training_log.csv"
        self.rows: list[dict[str, str]] = []
        if first_epoch and self._path.exists():
            with self._path.open(newline="") as file:
                self.rows = [row for row in csv.DictReader(file) if int(row["epoch"]) < first_epoch]

    def add(self, epoch: int, values: dict[str, float]) -> None:
        self.rows.append({"epoch": str(epoch), **{name: _number(value) for name, value in values.items()}})
        names = sorted({name for row in self.rows for name in row} - {"epoch"})
        text = io.StringIO()
        writer = csv.DictWriter(text, ["epoch", *names], restval="nan", lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        files.write_text(self._path, text.getvalue())


class Events:
    """TensorBoard scalars of every step and epoch, first pictures and histograms as the visualizer section says."""

    def __init__(self, results_dir: Path, config: Any, first_step: int) -> None:
        self._writer: Any = None
        self.histograms = config.weight_histograms
        self.pictures = config.num_images
        if config.enabled:
            from torch.utils.tensorboard import SummaryWriter

            purge = first_step if first_step else None
            self._writer = SummaryWriter(str(results_dir / "events"), purge_step=purge)

    def scalars(self, values: dict[str, float], step: int) -> None:
        if self._writer:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)

    def images(self, batch: dict[str, Any], step: int) -> None:
        """The first pictures of a batch with "image": [B, C, H, W], BGR or grey, uint8 or (16 bits) int32."""
        if self._writer and self.pictures and "image" in batch:
            shown = batch["image"][: self.pictures].cpu().flip(1)
            if shown.dtype == torch.int32:
                shown = (shown // 257).to(torch.uint8)
            self._writer.add_images("training_pictures", shown.expand(-1, 3, -1, -1), step)

    def weights(self, network: Any, step: int) -> None:
        if self._writer and self.histograms:
            for name, parameter in network.named_parameters():
                if parameter.ndim > 1:
                    self._writer.add_histogram(name, parameter.detach().cpu(), step)

    def close(self) -> None:
        if self._writer:
            self._writer.close()


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """Nested numbers as one level: {"AP": {"car": 1.0}} -> {"AP_car": 1.0}; what is no number is left out."""
    found: dict[str, float] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{name}_")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found[prefix + name] = float(value)
    return found


def _number(value: float) -> str:
    return "nan" if math.isnan(value) else repr(float(value))
