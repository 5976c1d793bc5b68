"""The boxes of a data set, width by height, and the anchors found for them, as a picture."""

import io

import numpy as np

from tltpy.detection.anchors import Anchors

SHOWN = 20000
"""Boxes that are drawn; of more, every second, third ... one."""
_PALETTE = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#7F7F7F")  # Okabe and Ito


def figure(sizes_wh: np.ndarray, anchors: Anchors, title: str) -> bytes:
    """A PNG: each box [N, 2] a dot in the colour of its anchor, on logarithmic axes of one scale."""
    # the figure's own canvas, not pyplot: no state that outlives the call, no display, any thread
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import ScalarFormatter

    picture = Figure(figsize=(8.5, 7.0), dpi=120, layout="constrained")
    canvas = FigureCanvasAgg(picture)
    axes = picture.add_subplot(xlabel="width, pixels of the network's input", ylabel="height", title=title)
    axes.set_xscale("log")
    axes.set_yscale("log")
    step = -(-len(sizes_wh) // SHOWN)
    colours = np.array(_PALETTE)[np.arange(len(anchors.shapes_wh)) % len(_PALETTE)]
    width, height = sizes_wh[::step].T
    axes.scatter(width, height, s=6, c=colours[anchors.nearest[::step]], alpha=0.5, linewidths=0)
    for colour, (w, h) in zip(colours, anchors.shapes_wh.tolist(), strict=True):
        axes.scatter(w, h, s=90, c=colour, marker="s", edgecolors="black", linewidths=1.2, zorder=3)
        axes.annotate(
            f"{w:.0f}x{h:.0f}", (w, h), (7, 7), textcoords="offset points", fontsize=9, zorder=4,
            bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.75},
        )  # fmt: skip
    axes.set_aspect("equal", adjustable="datalim")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(ScalarFormatter())
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    buffer = io.BytesIO()
    canvas.print_png(buffer)
    return buffer.getvalue()
