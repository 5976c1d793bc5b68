"""Matplotlib figures in the style of this package, and their two forms: PNG for a folder, SVG for a page."""

import io
import re
import warnings
from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any

from tltpy.report import theme
from tltpy.report.picture import Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_INCH, HEIGHT_INCH = 4.2, 3.1
FONT = 9.0  # points; the width of a phone shows a chart of WIDTH_INCH at about this size
_DPI = 170
_NAME_LENGTH = 26
_MOST_SVG = 200_000  # bytes; a chart of more is on the page what it is in the folder
_lock = Lock()  # the form of text in an SVG is a setting of the whole of matplotlib


def new(width: float = WIDTH_INCH, height: float = HEIGHT_INCH) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", facecolor=theme.PAPER)


def axes_of(figure: "Figure", *, xlabel: str, ylabel: str, grid: str = "both") -> "Axes":
    """Axes with a quiet grid along `grid` (x, y, both) and two spines."""
    axes = figure.add_subplot(facecolor="none")
    axes.set_xlabel(xlabel, color=theme.QUIET, fontsize=FONT)
    axes.set_ylabel(ylabel, color=theme.QUIET, fontsize=FONT)
    axes.grid(axis=grid, color=theme.LINE, linewidth=0.8)  # type: ignore[arg-type]
    axes.set_axisbelow(True)
    axes.tick_params(which="both", colors=theme.QUIET, labelcolor=theme.INK, labelsize=FONT - 0.5, length=3)
    for side, spine in axes.spines.items():
        spine.set_color(theme.QUIET)
        spine.set_visible(side in ("left", "bottom"))
    return axes


def legend(axes: "Axes") -> None:
    """The legend above the axes, where it hides nothing."""
    handles, labels = axes.get_legend_handles_labels()
    if not handles:
        return
    axes.legend(
        handles,
        labels,
        loc="lower left",
        bbox_to_anchor=(0, 1.01),
        ncols=legend_columns(labels),
        frameon=False,
        fontsize=FONT - 0.5,
        labelcolor=theme.INK,
        borderaxespad=0.2,
        handlelength=2.2,
        columnspacing=1.4,
    )


def legend_columns(labels: Sequence[str]) -> int:
    """How many names stand side by side."""
    return max(1, min(len(labels), 50 // (max(map(len, labels), default=1) + 6)))


def short(name: str) -> str:
    """A name as a legend can hold it; matplotlib hides those that begin with _."""
    name = name.lstrip("_") or name
    return name if len(name) <= _NAME_LENGTH else name[: _NAME_LENGTH - 3] + "..."


def colour(number: int) -> str:
    return theme.SERIES[number % len(theme.SERIES)]


def dashes(number: int) -> Any:
    """A line style; neighbours differ, so that colour is not all that tells lines apart."""
    return ("-", (0, (5, 1.6)), (0, (1.4, 1.3)), (0, (6, 1.5, 1.4, 1.5)))[number % 4]


def marker(number: int) -> str:
    return "osD^vPX*"[number % 8]


def render(figure: "Figure", *, name: str, title: str, caption: str, alt: str) -> Picture:
    """Both forms of a figure, which is of no more use afterwards."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_parse_math(False)  # a class may be called a$b$
    canvas, png, svg = FigureCanvasAgg(figure), io.BytesIO(), io.StringIO()
    settings: Any = {"svg.fonttype": "none", "svg.hashsalt": name}
    with _lock, warnings.catch_warnings(), rc_context(settings):
        warnings.simplefilter("ignore")  # letters that the font of the PNG lacks; a page has other fonts
        engine = figure.get_layout_engine()
        if engine is not None:
            engine.execute(figure)
        figure.set_layout_engine(None)  # once is enough; otherwise each form draws the figure twice
        canvas.print_figure(png, format="png", dpi=_DPI, facecolor=theme.PAPER)
        canvas.print_figure(svg, format="svg", facecolor="none", metadata={"Date": None})
    vectors = _clean(svg.getvalue(), name)
    return Picture(name, title, caption, alt, png.getvalue(), svg=vectors if len(vectors) <= _MOST_SVG else "")


def _clean(svg: str, name: str) -> str:
    """The <svg> element alone: without prologue and metadata, its ids its own, colours and font those of the page."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<svg[^>]*?(viewBox="[^"]*")[^>]*>', r'<svg xmlns="http://www.w3.org/2000/svg" \1>', svg, count=1)
    svg = svg.replace("xlink:href=", "href=")
    svg = re.sub(r'\bid="([^"]*)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r'href="#([^"]*)"', rf'href="#{name}-\1"', svg)
    svg = re.sub(r"url\(#([^)]*)\)", rf"url(#{name}-\1)", svg)
    svg = re.sub(r"font: (?:(bold|\d{3}) )?([\d.]+)px [^;\"]*", _font, svg)
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    return theme.with_variables(re.sub(r"\n\s*", "\n", svg)).strip()


def _font(match: "re.Match[str]") -> str:
    return f"font-size: {match[2]}px" + (f"; font-weight: {match[1]}" if match[1] else "")
