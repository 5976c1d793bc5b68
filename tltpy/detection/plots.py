"""Precision over recall as a picture."""

import io
from collections.abc import Mapping
from typing import Protocol

import numpy as np

_SIZE_INCH = (8.0, 6.0)
_DPI = 120
_ROWS = 18  # of a legend column


class Curve(Protocol):
    """Precision and recall [P] of a class, and its average precision."""

    @property
    def precision(self) -> np.ndarray: ...

    @property
    def recall(self) -> np.ndarray: ...

    @property
    def average_precision(self) -> float: ...


def precision_recall_figure(curves: Mapping[str, Curve], title: str) -> bytes:
    """A PNG: one line a class, the classes in the legend with their average precision.

    A class without detections or without objects has no line but stands in the legend.
    """
    # the figure's own canvas, not pyplot: no state that outlives the call, no display, any thread
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = -(-len(curves) // _ROWS)
    figure = Figure(figsize=(_SIZE_INCH[0] + 2.0 * columns, _SIZE_INCH[1]), dpi=_DPI, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot(xlabel="recall", ylabel="precision", title=title, xlim=(0, 1), ylim=(0, 1.01))
    axes.set_xticks([tick / 10 for tick in range(11)])
    axes.set_yticks([tick / 10 for tick in range(11)])
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    colours = colormaps["tab20" if len(curves) > 10 else "tab10"]
    for index, (name, curve) in enumerate(curves.items()):
        axes.plot(
            curve.recall,
            curve.precision,
            color=colours(index % colours.N),
            linestyle=("-", "--", ":")[index // colours.N % 3],
            linewidth=1.6,
            label=f"{name.lstrip('_')}  AP {curve.average_precision:.3f}",  # matplotlib hides labels that begin with _
            clip_on=False,
        )
    if curves:
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), ncols=columns, frameon=False, fontsize="small")
    buffer = io.BytesIO()
    canvas.print_png(buffer)
    return buffer.getvalue()
