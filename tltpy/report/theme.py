"""The colours of charts and pages, by day and by night.

A chart is drawn in the colours of the day. In its vector form each of them becomes a variable, so that one drawing
serves both. The series are those of Okabe and Ito (2008), told apart with any colour vision, darkened or lightened
until each stands out from its background by 3:1 or more; series also differ by dashes or markers.
"""

import re

INK, QUIET, LINE, PAPER = "#1c2430", "#5b6675", "#dde2e9", "#ffffff"
SERIES = ("#0072b2", "#d55e00", "#00845f", "#a8508a", "#a87300", "#56606e", "#6f47b8", "#7d5a3c")
GOOD, BAD = SERIES[0], SERIES[1]

_NIGHT = {
    INK: "#e8ecf2",
    QUIET: "#a7b2c1",
    LINE: "#343d4a",
    PAPER: "#1a2029",
    **dict(
        zip(
            SERIES,
            ("#5cb3e6", "#ff9152", "#45c79c", "#e29cc9", "#f0bb45", "#b8c2cf", "#b79af0", "#cfae8e"),
            strict=True,
        )
    ),
}
_NAMES = {INK: "ink", QUIET: "quiet", LINE: "line", PAPER: "paper"} | {
    colour: f"s{number}" for number, colour in enumerate(SERIES)
}
_DAY = {colour: colour for colour in _NIGHT}
FONTS = 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif'


def variables(selector: str) -> str:
    """CSS that defines the variables for `selector`, by day and by night."""
    day, night = (
        "".join(f"--{_NAMES[colour]}:{value};" for colour, value in colours.items()) for colours in (_DAY, _NIGHT)
    )
    return (
        f"{selector}{{color-scheme:light dark;{day}}}@media (prefers-color-scheme:dark){{{selector}{{{night}}}}}"
        f"@media print{{{selector}{{color-scheme:light;{day}}}}}"
    )


def with_variables(svg: str) -> str:
    """Replaces the colours of the theme by its variables."""
    return re.sub("|".join(_NAMES), lambda match: f"var(--{_NAMES[match[0]]})", svg)


def contrast(a: str, b: str) -> float:
    """Of two #rrggbb colours, 1 .. 21 (WCAG 2.1)."""
    light, dark = sorted((_luminance(a), _luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def pairs() -> list[tuple[str, str, str]]:
    """(name, colour, paper) of everything that is drawn or written on paper, by day and by night."""
    return [
        (name, colours[colour], colours[PAPER])
        for colours in (_DAY, _NIGHT)
        for colour, name in _NAMES.items()
        if colour not in (PAPER, LINE)
    ]


def _luminance(colour: str) -> float:
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
