"""Charts of detection: precision over recall, confusion, how many objects of what size."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from tltpy.report import charts
from tltpy.report.charts import MOST_COLOURS, Series
from tltpy.report.figure import render
from tltpy.report.picture import Picture

_CURVE_POINTS, _ALL_POINTS = 300, 8000  # of a class, of all; a curve has a point for each detection
_CLOUD_POINTS = 700  # of all classes together
_MOST_BARS = 16


class Curve(Protocol):
    """Precision and recall [P] of a class, and its average precision."""

    @property
    def precision(self) -> np.ndarray: ...

    @property
    def recall(self) -> np.ndarray: ...

    @property
    def average_precision(self) -> float: ...


def precision_recall(curves: Mapping[str, Curve], iou_threshold: float) -> Picture:
    """One line a class. Where there are more classes than colours the weakest are named, the others are grey."""
    weakest = sorted(curves, key=lambda name: curves[name].average_precision)[:MOST_COLOURS]
    series = []
    for name in sorted(curves, key=lambda name: (name not in weakest, list(curves).index(name))):
        recall, precision = _thinned(curves[name].recall, curves[name].precision, _ALL_POINTS // len(curves))
        label = f"{name}  AP {curves[name].average_precision:.3f}"
        series.append(Series(label, recall, precision, quiet=name not in weakest))
    figure = charts.lines(series, xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1))
    listed = ", ".join(f"{name} {curves[name].average_precision:.3f}" for name in weakest)
    others = f" The {len(weakest)} weakest of {len(curves)} classes have colours." if len(weakest) < len(curves) else ""
    return render(
        figure,
        name="precision_recall",
        title="Precision and recall",
        caption=f"The share of detections that are right over the share of objects that are found, as the score that "
        f"is asked for falls; at IoU {iou_threshold:g}.{others}",
        alt=f"Precision over recall, a line for each class. Average precision: {listed}.",
    )


def confusion_matrix(counts: np.ndarray, names: Sequence[str], iou_threshold: float, score_threshold: float) -> Picture:
    """Of `counts` [C + 1, C + 1], whose last row and column are the background."""
    found, total = int(np.trace(counts[:-1, :-1])), int(counts[:-1].sum())
    shown = counts.copy()
    shown[-1, -1] = -1  # nothing that was found as nothing cannot be counted
    return render(
        charts.matrix(shown, [*names, "background"], [*names, "missed"], xlabel="found as", ylabel="object"),
        name="confusion_matrix",
        title="Confusion matrix",
        caption=f"What became of each object (row) and what was found where there is none (last row), for detections "
        f"that score {score_threshold:g} or more and overlap by IoU {iou_threshold:g}. Shading: share of the row.",
        alt=f"Confusion matrix of {len(names)} classes: {found} of {total} objects found and named rightly, "
        f"{int(counts[:-1, -1].sum())} missed, {int(counts[-1].sum())} false detections.",
    )


def label_histogram(counts: Mapping[str, Mapping[str, int]], note: str = "") -> Picture:
    """`counts`: split -> class -> objects."""
    total = {name: sum(split.get(name, 0) for split in counts.values()) for split in counts.values() for name in split}
    names = sorted(total, key=lambda name: -total[name])
    shown = names if len(names) <= _MOST_BARS else names[:_MOST_BARS]
    groups = {split: [found.get(name, 0) for name in shown] for split, found in counts.items()}
    more = f" The {len(shown)} most frequent of {len(names)} classes." if len(shown) < len(names) else ""
    listed = "; ".join(
        f"{split}: " + ", ".join(f"{name} {found.get(name, 0)}" for name in shown) for split, found in counts.items()
    )
    return render(
        charts.bars(shown, groups, xlabel="objects"),
        name="label_histogram",
        title="Objects of each class",
        caption=f"How many objects each class has in the data.{more}{note}",
        alt=f"Bars: number of objects of each class. {listed}.",
    )


def box_sizes(
    sizes_wh: np.ndarray, labels: np.ndarray, names: Sequence[str], anchors_wh: Mapping[str, np.ndarray], note: str = ""
) -> Picture:
    """Boxes [N, 2] and anchors of each scale [A, 2], width and height in pixels of the network's input."""
    step = max(1, -(-len(labels) // _CLOUD_POINTS))
    drawn, kinds = np.maximum(sizes_wh[::step], 0.5), labels[::step]
    if len(names) <= MOST_COLOURS - 1:
        clouds = [Series(name, *drawn[kinds == label].T) for label, name in enumerate(names)]
    else:
        clouds = [Series("all classes", drawn[:, 0], drawn[:, 1], quiet=True)]
    frames = [Series(f"{name} anchors", *wh.T) for name, wh in anchors_wh.items()]
    part = f" Drawn: one in {step} of {len(labels):,} boxes." if step > 1 else ""
    low, high = (np.percentile(sizes_wh, share, axis=0) if len(labels) else np.zeros(2) for share in (5, 95))
    return render(
        charts.dots(clouds, frames, xlabel="width in pixels", ylabel="height in pixels"),
        name="box_sizes",
        title="Box sizes and anchors",
        caption=f"Each dot is an object of the training data as large as the network sees it, before augmentation; "
        f"hollow marks are the anchors, which should lie among them.{part}{note}",
        alt=f"Height over width of the boxes, both axes logarithmic, with the anchors. Nine of ten boxes are "
        f"{low[0]:.0f} to {high[0]:.0f} pixels wide and {low[1]:.0f} to {high[1]:.0f} high.",
    )


def _thinned(x: np.ndarray, y: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """At most so many of the points, the first and the last among them."""
    count = max(2, min(most, _CURVE_POINTS))
    if len(x) <= count:
        return x, y
    kept = np.linspace(0, len(x) - 1, count).round().astype(int)
    return x[kept], y[kept]
