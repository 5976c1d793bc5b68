"""results.json: what the lifecycle scripts gather of one task, a row a model, for people who automate."""

import json
from pathlib import Path
from typing import Any

from tltpy import files
from tltpy.errors import DataError

BASELINE = "baseline"


def record(path: Path, task: str, name: str, row: dict[str, Any]) -> None:
    """Adds or replaces a row; the name "baseline" is kept apart from the rows."""
    results = read(path) if path.exists() else _empty(task)
    row = {"name": name, **row}
    if name == BASELINE:
        results[BASELINE] = row
    else:
        names = [old["name"] for old in results["rows"]]
        if name in names:
            results["rows"][names.index(name)] = row
        else:
            results["rows"].append(row)
    files.write_text(path, json.dumps(results, indent=2) + "\n")


def note(path: Path, task: str, entry: str, value: dict[str, Any]) -> None:
    """Sets another entry beside the rows, such as align."""
    results = read(path) if path.exists() else _empty(task)
    files.write_text(path, json.dumps({**results, entry: value}, indent=2) + "\n")


def read(path: Path) -> dict[str, Any]:
    try:
        results: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file", "tlt-evaluate --record writes it") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: this is no results file: {error}") from error
    if not isinstance(results, dict) or not isinstance(results.get("rows"), list):
        raise DataError(f"{path}: this is no results file: it has no rows")
    return results


def cells(results: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Head and rows, the baseline first: metrics, parameters, FLOPs, file size, latency."""
    rows = [row for row in (results.get(BASELINE), *results["rows"]) if row]
    metrics = list(dict.fromkeys(name for row in rows for name in row["metric"]))
    head = ["model", *metrics, "parameters", "GFLOPs", "MB", "latency ms"]
    return head, [
        [
            row["name"],
            *(_number(row["metric"].get(name), 1, 4) for name in metrics),
            "-" if row["params"] is None else f"{row['params']:,}",
            _number(row["flops"], 1e9, 2),
            _number(row["bytes"], 1e6, 2),
            _number(row["latency_ms"], 1, 2),
        ]
        for row in rows
    ]


def table(results: dict[str, Any]) -> str:
    """One line a model."""
    head, body = cells(results)
    widths = [max(len(line[column]) for line in [head, *body]) for column in range(len(head))]
    lines = [
        "  ".join(
            [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))]
        )
        for line in [head, *body]
    ]
    return "\n".join(lines)


def _empty(task: str) -> dict[str, Any]:
    return {"task": task, BASELINE: {}, "rows": []}


def _number(value: float | None, unit: float, digits: int) -> str:
    return "-" if value is None else f"{value / unit:.{digits}f}"
