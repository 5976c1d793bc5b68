"""The curves of a training, and what the models of a lifecycle are worth for what they cost."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from tltpy.report import charts
from tltpy.report.charts import MOST_COLOURS, Point, Series
from tltpy.report.figure import render
from tltpy.report.picture import Picture
from tltpy.steps.chronicle import Chronicle, Epoch

COSTS = (
    ("params", 1e6, "parameters, millions"),
    ("flops", 1e9, "GFLOPs for one example"),
    ("latency_ms", 1.0, "latency, ms"),
)


def training_curves(told: Chronicle) -> list[Picture]:
    """Losses, validation, learning rate over the epochs; nothing before the first epoch is done."""
    if not told.epochs:
        return []
    return [_losses(told), *_validation(told), _rates(told)]


def tradeoffs(rows: Sequence[dict[str, Any]], metric: str, higher_is_better: bool) -> list[Picture]:
    """The metric over each cost that two or more of the rows of results.json know."""
    shown = []
    for key, unit, label in COSTS:
        points = [
            Point(row["name"], row[key] / unit, row["metric"][metric])
            for row in rows
            if row.get(key) is not None and row["metric"].get(metric) is not None
        ]
        if len(points) < 2:
            continue
        figure = charts.tradeoff(points, xlabel=label, ylabel=metric, higher_is_better=higher_is_better)
        front = ", ".join(point.label for point in charts.pareto(points, higher_is_better))
        listed = "; ".join(f"{point.label} {point.y:.4f} at {point.x:.3g}" for point in points)
        better = "higher" if higher_is_better else "lower"
        shown.append(
            render(
                figure,
                name=f"pareto_{key}",
                title=f"{metric} against {label}",
                caption=f"Further left is cheaper, {better} is better. Filled: no other model is as good for less "
                f"({front}).",
                alt=f"{metric} over {label}: {listed}. On the Pareto front: {front}.",
            )
        )
    return shown


def _losses(told: Chronicle) -> Picture:
    names = list(dict.fromkeys(name for epoch in told.epochs for name in epoch.losses))
    names.sort(key=lambda name: name != "loss")
    series = [_series(told, name, partial(_loss, name), name == "loss") for name in names]
    checked = _series(told, "validation loss", partial(_metric, "validation_loss"))
    series += [checked] if len(checked.x) else []
    lowest = min((value for one in series for value in one.y if value > 0), default=0.0)
    highest = max((value for one in series for value in one.y), default=0.0)
    log_y = lowest > 0 and highest / lowest > 30
    first, last = told.epochs[0], told.epochs[-1]
    return render(
        charts.lines(_coloured(series), xlabel="epoch", ylabel="loss", log_y=log_y, points=True),
        name="loss",
        title="Loss",
        caption="Mean over the steps of each epoch: what is minimised (heavy line; the penalty on the weights "
        f"included) and its parts.{' Logarithmic.' if log_y else ''}",
        alt=f"Loss over {len(told.epochs)} epochs, from {first.losses.get('loss', 0):.4g} "
        f"to {last.losses.get('loss', 0):.4g}.",
    )


def _validation(told: Chronicle) -> list[Picture]:
    names = list(dict.fromkeys(name for epoch in told.epochs for name in epoch.measured if name != "validation_loss"))
    names.sort(key=lambda name: name != told.headline)
    if not names or told.best is None:
        return []
    series = [_series(told, name, partial(_metric, name), name == told.headline) for name in names]
    best = told.best
    shares = all(0 <= value <= 1 for one in series for value in one.y)
    ylim = (0.0, 1.0) if shares else None
    return [
        render(
            charts.lines(_coloured(series), xlabel="epoch", ylabel=told.headline, ylim=ylim, points=True),
            name="validation",
            title=f"Validation: {told.headline}",
            caption=f"Measured on the validation data; best {best.measured[told.headline]:.4f} after epoch "
            f"{best.number}.",
            alt=f"{told.headline} over the epochs: "
            + ", ".join(f"{y:.4f} after epoch {x:.0f}" for x, y in zip(series[0].x, series[0].y, strict=True))
            + ".",
        )
    ]


def _rates(told: Chronicle) -> Picture:
    series = _series(told, "", lambda epoch: epoch.rate)
    return render(
        charts.lines([series], xlabel="epoch", ylabel="learning rate", log_y=min(series.y) > 0, points=True),
        name="learning_rate",
        title="Learning rate",
        caption="At the last step of each epoch. Logarithmic.",
        alt=f"Learning rate over the epochs, from {series.y[0]:.3g} to {series.y[-1]:.3g}, "
        f"at most {max(series.y):.3g}.",
    )


def _series(told: Chronicle, label: str, value: Callable[[Epoch], float | None], strong: bool = False) -> Series:
    found = [(epoch.number, number) for epoch in told.epochs if (number := value(epoch)) is not None]
    return Series(label, [x for x, _ in found], [y for _, y in found], strong=strong)


def _loss(name: str, epoch: Epoch) -> float | None:
    return epoch.losses.get(name)


def _metric(name: str, epoch: Epoch) -> float | None:
    return epoch.measured.get(name)


def _coloured(series: Sequence[Series]) -> list[Series]:
    """The first as they are, those that no colour is left for in grey."""
    return [
        one if number < MOST_COLOURS else Series(one.label, one.x, one.y, quiet=True)
        for number, one in enumerate(series)
    ]
