"""report.html of one run: what was trained or measured, on what, how it went, what came out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tltpy import files
from tltpy.report import page
from tltpy.report.page import Html
from tltpy.report.picture import Picture
from tltpy.steps import album, chronicle
from tltpy.steps.chronicle import Chronicle, Epoch

NAME = "report.html"


def training(folder: Path, measured: int | None = None) -> None:
    """Of a folder of tlt-train, from its files alone; `measured`: the epoch that its pictures show."""
    told, pictures = chronicle.read(folder), album.read(folder)
    about = told.about
    of_epoch = f"As measured after epoch {measured}." if measured else ""
    body = [
        page.tiles(_numbers(told)),
        warned(told.warnings),
        page.section("How it went", page.paragraph(_course(told)), _part(pictures, "course")),
        page.section("What it finds", _measured(told), page.paragraph(of_epoch), _part(pictures, "predictions")),
        page.section("What it learned from", page.facts(_data(about)), _part(pictures, "data")),
        page.section("Where it comes from", lineage(about.get("lineage", []), str(about.get("model", "this model")))),
        page.section("How to make it again", page.facts(about.get("environment", {})), _spec(folder / "spec.txt")),
    ]
    title = f"Training of {about.get('model', folder.name)}"
    files.write_text(folder / NAME, page.page(title, _subtitle(told), body))


def evaluation(
    folder: Path, result: Mapping[str, Any], warnings: Sequence[str], environment: Mapping[str, str]
) -> None:
    """Of a folder of tlt-evaluate."""
    pictures, headline = album.read(folder), result["headline"]
    name = Path(result["model"]).name if result["model"] else "the untrained network"
    numbers = [(headline, f"{result['metric'][headline]:.4f}", f"on {result['examples']:,} examples")]
    numbers += [(what, value, remark) for what, value, remark in _costs(result)]
    facts = {"model": str(result["model"] or "none: random weights"), "kind": result["kind"]}
    body = [
        page.tiles(numbers),
        warned(warnings),
        page.section("What it finds", _nested(result["metric"]), page.pictures(pictures)),
        page.section("How it was measured", page.facts({**facts, **environment})),
    ]
    files.write_text(
        folder / NAME, page.page(f"Evaluation of {name}", f"{result['kind']}, measured by tlt-evaluate", body)
    )


def warned(warnings: Sequence[str]) -> Html:
    return page.section("Warnings", page.listed(dict.fromkeys(warnings), "warnings"))


def lineage(entries: Sequence[Mapping[str, Any]], name: str) -> Html:
    """The files that a model comes from, oldest first, and the step that each was put through."""
    if not entries:
        return page.paragraph("It was trained from the start.")
    rows = [[str(entry["name"]), str(entry["step"]), str(entry["digest"])[:12]] for entry in entries]
    return page.table(["file", "then", "digest"], [*rows, [name, "", ""]], "The files it comes from, oldest first")


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"


def _numbers(told: Chronicle) -> list[tuple[str, str, str]]:
    best, found = told.best, []
    if best:
        found.append((f"best {told.headline}", f"{best.measured[told.headline]:.4f}", f"after epoch {best.number}"))
    planned = told.planned or len(told.epochs)
    last = told.epochs[-1].number if told.epochs else 0
    seconds = sum(epoch.seconds for epoch in told.epochs)
    each = f"{seconds / len(told.epochs):.1f} s an epoch" if told.epochs else ""
    found += [("epochs", f"{last} of {planned}", told.state if len(told.state) < 20 else "failed")]
    found += [("time", duration(seconds), each)]
    if "params" in told.about:
        found += [("parameters", f"{told.about['params']:,}", "")]
    return found


def _costs(result: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    found = []
    if result.get("params") is not None:
        found.append(("parameters", f"{result['params']:,}", ""))
    if result.get("flops") is not None:
        found.append(("GFLOPs", f"{result['flops'] / 1e9:.2f}", "for one example"))
    if result.get("bytes") is not None:
        found.append(("file", f"{result['bytes'] / 1e6:.2f} MB", ""))
    return found


def _subtitle(told: Chronicle) -> str:
    about = told.about
    words = [str(about.get("task", "")), f"started {told.started}" if told.started else "", f"as of {told.updated}"]
    return ", ".join(word for word in words if word)


def _course(told: Chronicle) -> str:
    again = f" It was resumed {told.starts - 1} times." if told.starts > 2 else " It was resumed once."
    return {
        "running": "The training is still running, or it was stopped.",
        "finished": "The training ran to its end.",
    }.get(told.state, f"The training failed: {told.state}.") + (again if told.starts > 1 else "")


def _measured(told: Chronicle) -> Html:
    """The best epoch beside the last."""
    best = told.best
    if best is None:
        return page.paragraph("Nothing was measured yet.")
    measured = [epoch for epoch in told.epochs if epoch.measured]
    shown: list[Epoch] = [best, *([measured[-1]] if measured[-1].number != best.number else [])]
    names = sorted(best.measured, key=lambda name: (name != told.headline, name == "validation_loss"))
    rows = [[name, *(_plain(epoch.measured.get(name)) for epoch in shown)] for name in names]
    head = ["", f"best, after epoch {best.number}", *(f"last, after epoch {epoch.number}" for epoch in shown[1:])]
    return page.table(head, rows, "Measured on the validation data")


def _nested(metric: Mapping[str, Any]) -> Html:
    """Single numbers as rows; tables of numbers as columns, a row for each of their keys."""
    columns = {name: value for name, value in metric.items() if isinstance(value, dict)}
    single = [[name, _plain(value)] for name, value in metric.items() if name not in columns]
    together = {name: value for name, value in columns.items() if value.keys() == next(iter(columns.values())).keys()}
    keys = next(iter(together.values()), {})
    rows = [[key, *(_plain(column[key]) for column in together.values())] for key in keys]
    for name in columns.keys() - together.keys():
        single += [[f"{name} {key}", _plain(value)] for key, value in columns[name].items()]
    title = "Measured on the validation data"
    parts = page.table(["", *together], rows, f"{title}, in parts")
    return page.join([page.table(["", "value"], single, title), parts])


def _plain(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}" if isinstance(value, float) else str(value)


def _data(about: Mapping[str, Any]) -> dict[str, str]:
    names = {"examples": "training examples", "validation_examples": "validation examples", "batch": "batch size",
             "processes": "processes", "precision": "precision", "seed": "random seed"}  # fmt: skip
    return {text: f"{about[key]:,}" if isinstance(about[key], int) else str(about[key])
            for key, text in names.items() if key in about}  # fmt: skip


def _part(pictures: Sequence[Picture], about: str) -> Html:
    return page.pictures([one for one in pictures if one.about == about])


def _spec(path: Path) -> Html:
    try:
        return page.code(path.read_text(), "The spec, every default filled in")
    except OSError:
        return Html("")
