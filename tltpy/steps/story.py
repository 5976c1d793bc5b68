"""The report of a lifecycle: the rows of results.json, what each model comes from, what it costs, what it finds."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tltpy import files
from tltpy.data import images
from tltpy.errors import DataError
from tltpy.report import page, photo
from tltpy.report.page import Html
from tltpy.report.picture import Picture, renamed
from tltpy.steps import album, chronicle, curves, report, results

MOST_DRAWINGS = 10
_WIDTH, _BYTES = 560, 50_000
_CHARTS = ("precision_recall", "confusion_matrix")


def write(source: Path, target: Path, drawings: Path | None = None) -> None:
    """Writes `target`, a page, over the results.json `source`; `drawings`: a folder that tlt-infer filled.

    The curves of each training are drawn if its folder still lies where the row says.
    """
    found = results.read(source)
    rows = [row for row in found["rows"] if row.get("metric")]
    if not rows:
        raise DataError(f"{source}: there are no rows to report", "tlt-evaluate --record FILE --as NAME writes them")
    metric = next(iter(rows[0]["metric"]))
    higher = bool(rows[0].get("higher_is_better", True))
    trained = [row for row in rows if row.get("file") and chronicle.read(_folder(row)).epochs]
    body = [
        page.tiles(_numbers(rows, metric)),
        page.section("The models", _table(found, higher), page.paragraph(_made(rows))),
        page.section("What they are worth for what they cost", page.pictures(curves.tradeoffs(rows, metric, higher))),
        page.section("What the last one finds", page.pictures(list(_drawn(drawings)) if drawings else [])),
        *(_training(row, last=row is trained[-1]) for row in trained),
    ]
    title = f"Life of a model: {found.get('task', '')}"
    files.write_text(target, page.page(title, " \u2192 ".join(row["name"] for row in rows), body))


def _numbers(rows: list[dict[str, Any]], metric: str) -> list[tuple[str, str, str]]:
    """The last model against the first."""
    first, last = rows[0], rows[-1]
    numbers = [
        (
            f"{metric} of {last['name']}",
            f"{last['metric'][metric]:.4f}",
            f"{first['name']}: {first['metric'][metric]:.4f}",
        )
    ]
    for key, unit, what, form in (
        ("params", 1e6, "parameters", "{:.2f} M"),
        ("flops", 1e9, "GFLOPs", "{:.2f}"),
        ("latency_ms", 1.0, "latency", "{:.1f} ms"),
        ("bytes", 1e6, "file", "{:.1f} MB"),
    ):
        if last.get(key) is not None and first.get(key):
            share = f"{last[key] / first[key]:.0%} of {first['name']}" if last is not first else ""
            numbers.append((what, form.format(last[key] / unit), share))
    return numbers


def _table(found: dict[str, Any], higher: bool) -> Html:
    head, body = results.cells(found)
    rows = [row for row in (found.get(results.BASELINE), *found["rows"]) if row]
    sources = _sources(rows)
    lines = [[*cells, source] for cells, source in zip(body, sources, strict=True)]
    counted = [number for number, row in enumerate(rows) if row["name"] != results.BASELINE]
    best = []
    metrics = len(head) - 5
    for column in range(1, len(head)):
        values = {number: _value(body[number][column]) for number in counted}
        known = [value for value in values.values() if value is not None]
        if len(set(known)) > 1:
            wanted = max(known) if column <= metrics and higher else min(known)
            best += [(number, column) for number, value in values.items() if value == wanted]
    return page.table(
        [*head, "made from"], lines, "Every model on the same validation data; the best of a column is bold", best
    )


def _sources(rows: list[dict[str, Any]]) -> list[str]:
    """For each row the row that it was made from and the step, as far as the lineage tells."""
    names = {row["digest"]: row["name"] for row in rows if row.get("digest")}
    found = []
    for row in rows:
        known = [entry for entry in row.get("lineage", ()) if entry["digest"] in names]
        step = known[-1]["step"] if known else ""
        found.append(f"{names[known[-1]['digest']]}, {_STEPS.get(step, step)}" if known else "-")
    return found


def _made(rows: list[dict[str, Any]]) -> str:
    words = []
    for row, source in zip(rows, _sources(rows), strict=True):
        if source != "-":
            origin, step = source.rsplit(", ", 1)
            words.append(f"{row['name']} comes from {origin} by {step}")
    return "The files themselves tell: " + "; ".join(words) + "." if words else ""


_STEPS = {"train": "training", "prune": "pruning", "export": "export"}


def _folder(row: dict[str, Any]) -> Path:
    """Where a row's model would lie if tlt-train wrote it."""
    return Path(row["file"]).parent.parent


def _training(row: dict[str, Any], last: bool) -> Html:
    """How the model of a row was trained; of the last one also what it finds, since a page shall not grow for ever."""
    folder = _folder(row)
    told = chronicle.read(folder)
    prefix = re.sub(r"\W+", "-", row["name"])
    charts = [one for one in album.read(folder) if last and one.name in _CHARTS]
    shown = [renamed(one, prefix) for one in [*curves.training_curves(told), *charts]]
    seconds = sum(epoch.seconds for epoch in told.epochs)
    spent = f"{len(told.epochs)} epochs in {report.duration(seconds)} on {told.about.get('examples', 0):,} examples."
    return page.section(
        f"How {row['name']} was trained",
        page.paragraph(spent),
        page.listed(told.warnings, "warnings"),
        page.pictures(shown),
    )


def _drawn(folder: Path) -> Iterator[Picture]:
    """The first drawings of a folder; no more than a page holds."""
    paths = (
        sorted(path for path in folder.iterdir() if path.suffix.lower() in images.EXTENSIONS) if folder.is_dir() else []
    )
    if not paths:
        raise DataError(f"{folder}: there are no pictures", "tlt-infer -o FOLDER draws them")
    for number, path in enumerate(paths[:MOST_DRAWINGS], 1):
        drawing = images.read(path)
        data = photo.encode(photo.scaled(drawing, min(1.0, _WIDTH / drawing.shape[1])), _BYTES)
        title = "Drawings of pictures that were not trained on"
        yield Picture(f"drawing_{number:02d}", title, path.name, f"Drawing of {path.name}.", data, ".jpg")


def _value(cell: str) -> float | None:
    try:
        return float(cell.replace(",", ""))
    except ValueError:
        return None
