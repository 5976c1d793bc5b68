"""One HTML file that needs nothing else: its parts, and the frame around them.

Every function takes plain texts, which it escapes, and gives `Html`, which it takes as it is. A page refers to nothing
outside itself, holds no script, and reads well on paper, on a phone, by day, by night and aloud.
"""

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import NewType

from tltpy.report import theme
from tltpy.report.picture import Picture
from tltpy.report.style import STYLE

Html = NewType("Html", str)
_MIME = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}


def text(words: str) -> Html:
    return Html(escape(words))


def join(parts: Iterable[Html]) -> Html:
    return Html("\n".join(part for part in parts if part))


def page(title: str, subtitle: str, body: Iterable[Html]) -> str:
    """The whole document; the sections of `body` are listed at its top."""
    inner = join(body)
    entries = re.findall(r'<section id="([^"]*)">\s*<h2>(.*?)</h2>', inner)
    links = "".join(f'<a href="#{anchor}">{name}</a>' for anchor, name in entries)
    contents = f'<nav aria-label="Contents">{links}</nav>' if len(entries) > 2 else ""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="color-scheme" content="light dark">\n<title>{escape(title)}</title>\n'
        f"<style>{theme.variables(':root')}{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f'<header><h1>{escape(title)}</h1><p class="lead">{escape(subtitle)}</p></header>\n'
        f"{contents}\n{inner}\n</main>\n</body>\n</html>\n"
    )


def section(title: str, *parts: Html) -> Html:
    """Nothing where there is nothing in it."""
    inner = join(parts)
    anchor = re.sub(r"\W+", "-", title.lower()).strip("-") or "section"
    return Html(f'<section id="{anchor}">\n<h2>{escape(title)}</h2>\n{inner}\n</section>') if inner else Html("")


def tiles(numbers: Sequence[tuple[str, str, str]]) -> Html:
    """The few numbers that matter most: (what, value, remark)."""
    cells = "".join(
        f"<div><dt>{escape(what)}</dt><dd>{escape(value)}<small>{escape(remark)}</small></dd></div>"
        for what, value, remark in numbers
    )
    return Html(f'<dl class="tiles">{cells}</dl>') if cells else Html("")


def facts(pairs: Mapping[str, str]) -> Html:
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in pairs.items() if value)
    return Html(f'<dl class="facts">{rows}</dl>') if rows else Html("")


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], caption: str, best: Sequence[tuple[int, int]] = ()
) -> Html:
    """The first column names the rows, the others hold numbers; the cells `best` (row, column) stand out."""
    if not rows:
        return Html("")
    columns = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    lines = []
    for number, row in enumerate(rows):
        cells = "".join(
            f'<td class="best">{escape(cell)}</td>' if (number, column) in best else f"<td>{escape(cell)}</td>"
            for column, cell in enumerate(row[1:], 1)
        )
        lines.append(f'<tr><th scope="row">{escape(row[0])}</th>{cells}</tr>')
    opened = '<table class="narrow">' if len(head) < 5 else "<table>"
    inner = f"<caption>{escape(caption)}</caption><thead><tr>{columns}</tr></thead><tbody>{''.join(lines)}</tbody>"
    return Html(
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}">{opened}{inner}</table></div>'
    )


def paragraph(words: str) -> Html:
    return Html(f"<p>{escape(words)}</p>") if words else Html("")


def listed(items: Iterable[str], kind: str = "") -> Html:
    found = "".join(f"<li>{escape(item)}</li>" for item in items)
    return Html(f'<ul class="{escape(kind)}">{found}</ul>') if found else Html("")


def code(words: str, summary: str) -> Html:
    """Folded away until it is asked for."""
    return (
        Html(f"<details><summary>{escape(summary)}</summary><pre>{escape(words)}</pre></details>")
        if words
        else Html("")
    )


def pictures(shown: Sequence[Picture]) -> Html:
    """Neighbours of one title as one group, below their title; one that is alone has its title in its caption."""
    parts: list[str] = []
    for title, group in _groups(shown):
        if len(group) > 1:
            figures = "".join(_figure(one, "", f"{title}, {number}") for number, one in enumerate(group, 1))
            said = f'<p class="note">{escape(group[0].group)}</p>\n' if group[0].group else ""
            parts.append(f'<h3>{escape(title)}</h3>\n{said}<div class="grid">{figures}</div>')
        elif parts and parts[-1].startswith('<div class="charts">') and group[0].svg:
            parts[-1] = parts[-1].removesuffix("</div>") + _figure(group[0], title, title) + "</div>"
        else:
            parts.append(f'<div class="charts">{_figure(group[0], title, title)}</div>')
    return Html("\n".join(parts))


def _groups(shown: Sequence[Picture]) -> list[tuple[str, list[Picture]]]:
    groups: list[tuple[str, list[Picture]]] = []
    for one in shown:
        if groups and groups[-1][0] == one.title:
            groups[-1][1].append(one)
        else:
            groups.append((one.title, [one]))
    return groups


def _figure(shown: Picture, title: str, spoken: str) -> str:
    alt = escape(f"{spoken}. {shown.alt}")
    if shown.svg:
        drawing = shown.svg.replace("<svg ", f'<svg role="img" aria-label="{alt}" ', 1)
        return f"<figure>{_heading(title)}{drawing}{_caption(shown)}</figure>"
    data = base64.b64encode(shown.data).decode()
    image = f'<img alt="{alt}" src="data:{_MIME[shown.suffix]};base64,{data}">'
    wide = ' class="wide"' if title else ""
    return f"<figure{wide}>{_heading(title)}{image}{_caption(shown)}</figure>"


def _heading(title: str) -> str:
    return f"<h3>{escape(title)}</h3>" if title else ""


def _caption(shown: Picture) -> str:
    return f"<figcaption>{escape(shown.caption)}</figcaption>" if shown.caption else ""
