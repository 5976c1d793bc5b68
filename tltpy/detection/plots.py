"""Charts of detection results as PNG."""

import io
from collections.abc import Mapping
from typing import Any

WIDTH_IN, HEIGHT_IN, DPI = 6.4, 5.2, 120


def precision_recall_figure(curves: Mapping[str, Any], title: str) -> bytes:
    """Precision over recall, a line a class (curves as metrics.average_precision gives them), as the bytes of a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_IN, HEIGHT_IN), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    for name, curve in curves.items():
        axes.step(curve.recall, curve.precision, where="post", label=f"{name}  {curve.average_precision:.3f}")
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision", title=title)
    axes.grid(alpha=0.3)
    axes.legend(title="average precision", loc="lower left")
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()
