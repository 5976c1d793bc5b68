"""plots/ of a results folder: pictures as files, and pictures.json, which says what they are."""

import json
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tltpy import files
from tltpy.report import theme
from tltpy.report.picture import Picture

FOLDER, INDEX = "plots", "pictures.json"
_KEPT = ("name", "title", "caption", "alt", "suffix", "group", "about")


def write(results_dir: Path, pictures: Sequence[Picture], *, keep: bool = False) -> None:
    """Writes plots/; what was there and is not made again goes away, unless it is to be kept."""
    folder = results_dir / FOLDER
    older = _index(folder)
    files.sweep(folder)
    for one in pictures:
        for suffix, data in _files(one):
            with files.atomic(folder / f"{one.name}{suffix}") as file:
                file.write(data)
        if one.asked:
            with files.atomic(results_dir / f"{one.name}{one.suffix}") as file:
                file.write(one.data)
    entries = {one.name: _entry(one) for one in pictures}
    if keep:
        entries = {entry["name"]: entry for entry in older} | entries
    files.write_text(folder / INDEX, json.dumps(list(entries.values()), indent=1) + "\n")
    for entry in older:
        if entry["name"] not in entries:
            for suffix in (entry["suffix"], ".svg"):
                with suppress(OSError):
                    (folder / f"{entry['name']}{suffix}").unlink()


def read(results_dir: Path) -> list[Picture]:
    """The pictures of plots/, in their order; those whose files are gone are left out."""
    folder, found = results_dir / FOLDER, []
    for entry in _index(folder):
        with suppress(OSError):
            path = folder / f"{entry['name']}.svg"
            svg = _without_style(path.read_text()) if entry["vector"] == "yes" else ""
            data = (folder / f"{entry['name']}{entry['suffix']}").read_bytes()
            facts: Any = {name: entry[name] for name in _KEPT}
            found.append(Picture(data=data, svg=svg, **facts))
    return found


def _files(one: Picture) -> Iterable[tuple[str, bytes]]:
    yield one.suffix, one.data
    if one.svg:
        yield ".svg", _with_style(one.svg).encode()


def _entry(one: Picture) -> dict[str, str]:
    facts = asdict(one)
    kept = {name: str(facts[name]) for name in _KEPT}
    return {**kept, "vector": "yes" if one.svg else "no"}


def _index(folder: Path) -> list[dict[str, str]]:
    try:
        found: list[dict[str, str]] = json.loads((folder / INDEX).read_text())
    except (OSError, ValueError):
        return []
    return found


def _with_style(svg: str) -> str:
    """A chart that is looked at by itself brings its colours along."""
    style = f"<style>{theme.variables('svg')}svg{{background:var(--paper);font-family:{theme.FONTS}}}</style>"
    return re.sub(r"(<svg[^>]*>)", lambda match: match[1] + style, svg, count=1)


def _without_style(svg: str) -> str:
    return re.sub(r"(<svg[^>]*>)<style>.*?</style>", r"\1", svg, count=1, flags=re.DOTALL)
