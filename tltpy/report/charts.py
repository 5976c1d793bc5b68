"""The kinds of chart: lines, bars, dots, a matrix, a trade-off. Each gives a figure for report.figure.render."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tltpy.report import theme
from tltpy.report.figure import (
    FONT,
    HEIGHT_INCH,
    WIDTH_INCH,
    axes_of,
    colour,
    dashes,
    legend,
    legend_columns,
    marker,
    new,
    short,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_COLOURS = len(theme.SERIES)
_LETTERED = 12  # classes of a matrix whose cells hold their number


@dataclass(frozen=True)
class Series:
    """Points [N]; `strong` is drawn heavier, `quiet` thin, grey and without a name."""

    label: str
    x: Sequence[float] | np.ndarray
    y: Sequence[float] | np.ndarray
    strong: bool = False
    quiet: bool = False


@dataclass(frozen=True)
class Point:
    """Something that costs x and is worth y."""

    label: str
    x: float
    y: float


def lines(
    series: Sequence[Series],
    *,
    xlabel: str,
    ylabel: str,
    xlim: tuple[float, float] | None = None,
    ylim: tuple[float, float] | None = None,
    log_y: bool = False,
    points: bool = False,
) -> "Figure":
    """One line a series; `points` marks each value, as a single one would not be seen otherwise."""
    named = [short(one.label) for one in series if not one.quiet]
    rows = -(-len(named) // legend_columns(named))
    figure = new(height=HEIGHT_INCH + 0.17 * max(rows - 2, 0))
    axes = axes_of(figure, xlabel=xlabel, ylabel=ylabel)
    number = 0
    for one in series:
        drawn: dict[str, Any] = {"color": theme.QUIET, "linewidth": 0.8, "alpha": 0.45, "zorder": 1.5}
        if not one.quiet:
            drawn = {"color": colour(number), "linestyle": dashes(number), "label": short(one.label), "zorder": 2.5}
            drawn["linewidth"] = 2.4 if one.strong else 1.5
            if points and len(one.x) <= 40:
                drawn |= {"marker": marker(number), "markersize": 5 if one.strong else 3.5}
            number += 1
        axes.plot(one.x, one.y, clip_on=False, **drawn)
    if xlim:
        axes.set_xlim(xlim)
    if ylim:
        axes.set_ylim(ylim)
    if log_y:
        axes.set_yscale("log")
        _plain_ticks(axes.yaxis)
    _whole_epochs(axes, xlabel)
    if number > 1 or any(one.label for one in series if not one.quiet):
        legend(axes)
    return figure


def bars(names: Sequence[str], groups: Mapping[str, Sequence[float]], *, xlabel: str) -> "Figure":
    """Horizontal bars, `groups` of them for each name, each with its number."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    height = max(HEIGHT_INCH * 0.6, 0.9 + len(names) * (0.12 + 0.19 * len(groups)))
    figure = new(WIDTH_INCH, height)
    axes = axes_of(figure, xlabel=xlabel, ylabel="", grid="x")
    thick = 0.78 / max(len(groups), 1)
    places = np.arange(len(names))
    most = max((max(values, default=0) for values in groups.values()), default=0)
    for number, (label, values) in enumerate(groups.items()):
        at = places + (number - (len(groups) - 1) / 2) * thick
        hatch = "" if number == 0 else "////"
        face: dict[str, Any] = {"color": colour(number)}
        if hatch:
            face = {"facecolor": "none", "edgecolor": colour(number)}
        axes.barh(at, values, thick * 0.9, label=short(label), hatch=hatch, **face)
        for place, value in zip(at, values, strict=True):
            axes.text(value + 0.012 * most, place, f"{value:,.0f}", va="center", fontsize=FONT - 1, color=theme.INK)
    axes.set_yticks(places, [short(name) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(0, max(most, 1) * 1.16)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    if len(groups) > 1:
        legend(axes)
    return figure


def dots(clouds: Sequence[Series], frames: Sequence[Series], *, xlabel: str, ylabel: str) -> "Figure":
    """Clouds of points and, on top, a few large hollow `frames`; both axes logarithmic, with one scale."""
    figure = new(WIDTH_INCH, WIDTH_INCH * 0.92)
    axes = axes_of(figure, xlabel=xlabel, ylabel=ylabel)
    axes.set_xscale("log")
    axes.set_yscale("log")
    for number, cloud in enumerate(clouds):
        one = theme.QUIET if cloud.quiet else colour(number)
        axes.plot(
            cloud.x, cloud.y, "o", color=one, markersize=3, alpha=0.55, markeredgewidth=0, label=short(cloud.label)
        )
    for number, frame in enumerate(frames):
        axes.plot(
            frame.x, frame.y, "sD^ov"[number % 5], color=theme.INK, markersize=8, markerfacecolor="none",
            markeredgewidth=1.5, label=short(frame.label), zorder=3,
        )  # fmt: skip
    for axis in (axes.xaxis, axes.yaxis):
        _plain_ticks(axis)
    legend(axes)
    return figure


def matrix(counts: np.ndarray, rows: Sequence[str], columns: Sequence[str], *, xlabel: str, ylabel: str) -> "Figure":
    """Counts [R, C], shaded by their share of the row; those of the diagonal in another colour than the others.

    A negative count is none: its cell stays empty.
    """
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    lettered = max(counts.shape) <= _LETTERED
    side = WIDTH_INCH if lettered else min(WIDTH_INCH + 0.07 * max(counts.shape), 9.0)
    figure = new(side, side * 0.92)
    axes = axes_of(figure, xlabel=xlabel, ylabel=ylabel)
    axes.grid(visible=False)
    shares = np.maximum(counts, 0) / np.maximum(np.maximum(counts, 0).sum(axis=1, keepdims=True), 1)  # [R, C]
    diagonal = np.equal(*np.indices(counts.shape))
    for paint, chosen in ((theme.GOOD, diagonal), (theme.BAD, ~diagonal)):
        cells = np.argwhere(chosen & (counts > 0))
        if not len(cells):
            continue
        patches = [Rectangle((column - 0.5, row - 0.5), 1, 1) for row, column in cells]
        strength = 0.12 + 0.88 * shares[tuple(cells.T)]
        axes.add_collection(PatchCollection(patches, facecolor=paint, alpha=strength, linewidth=0))
    if lettered:
        for row, column in np.ndindex(*counts.shape):
            value, share = counts[row, column], shares[row, column]
            ink = theme.PAPER if share > 0.6 else theme.INK if value else theme.QUIET
            if value >= 0:
                axes.text(column, row, f"{value:,}", ha="center", va="center", color=ink, fontsize=FONT)
    small = FONT - 0.5 if lettered else max(3.5, FONT - 0.09 * max(counts.shape))
    axes.set_xticks(range(len(columns)), [short(name) for name in columns], rotation=90 if len(columns) > 5 else 0)
    axes.set_yticks(range(len(rows)), [short(name) for name in rows])
    axes.tick_params(labelsize=small, length=0)
    axes.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(rows) - 0.5, -0.5))
    axes.xaxis.set_label_position("top")
    axes.xaxis.tick_top()
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.hlines(np.arange(len(rows) + 1) - 0.5, -0.5, len(columns) - 0.5, color=theme.LINE, linewidth=0.6)
    axes.vlines(np.arange(len(columns) + 1) - 0.5, -0.5, len(rows) - 0.5, color=theme.LINE, linewidth=0.6)
    return figure


def tradeoff(points: Sequence[Point], *, xlabel: str, ylabel: str, higher_is_better: bool = True) -> "Figure":
    """What is worth more for less: the points that no other beats are joined by steps (the Pareto front)."""
    figure = new()
    axes = axes_of(figure, xlabel=xlabel, ylabel=ylabel)
    places: dict[tuple[float, float], list[str]] = {}
    for point in points:
        places.setdefault((point.x, point.y), []).append(point.label)
    front = pareto(points, higher_is_better)
    best = sorted({(point.x, point.y) for point in front})
    if len(best) > 1:
        axes.plot(
            *zip(*best, strict=True), drawstyle="steps-post", color=theme.QUIET, linewidth=1.2, linestyle=dashes(1)
        )
    xs, ys = np.array(list(places)).reshape(-1, 2).T
    middle = (xs.min() + xs.max()) / 2 if len(xs) else 0.0
    for (x, y), labels in places.items():
        on_front = (x, y) in best
        axes.plot(
            x, y, "o", markersize=9, color=theme.GOOD if on_front else theme.QUIET,
            markerfacecolor=theme.GOOD if on_front else theme.PAPER, markeredgewidth=1.6, zorder=3,
        )  # fmt: skip
        left = x > middle
        axes.annotate(
            ",\n".join(map(short, labels)), (x, y), xytext=(-9 if left else 9, 0), textcoords="offset points",
            ha="right" if left else "left", va="center", fontsize=FONT, color=theme.INK, zorder=4,
        )  # fmt: skip
    axes.margins(0.16, 0.2)
    axes.set_xlim(left=max(0.0, axes.get_xlim()[0]))
    return figure


def pareto(points: Sequence[Point], higher_is_better: bool = True) -> list[Point]:
    """The points that no other beats: none costs no more and is worth no less, and is better in one of the two."""
    sign = 1.0 if higher_is_better else -1.0

    def beats(a: Point, b: Point) -> bool:
        return a.x <= b.x and sign * a.y >= sign * b.y and (a.x < b.x or sign * a.y > sign * b.y)

    return [point for point in points if not any(beats(other, point) for other in points)]


def _plain_ticks(axis: Any) -> None:
    """Numbers as people write them on a logarithmic axis; 2 and 5 too where it spans little."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = sorted(axis.get_view_interval())
    few = low > 0 and high / low < 100
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,), numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _whole_epochs(axes: Any, xlabel: str) -> None:
    if xlabel == "epoch":
        from matplotlib.ticker import MaxNLocator

        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
