"""What the status.json of a training tells: how it was started, what each epoch gave, how it ended."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Epoch:
    """`losses` and `measured` by name; the latter is empty where the epoch was not measured."""

    number: int  # from 1
    seconds: float
    rate: float
    losses: dict[str, float]
    measured: dict[str, float]


@dataclass(frozen=True)
class Chronicle:
    """`about`: the facts of the last start. `state`: running, finished, or why it failed."""

    about: dict[str, Any] = field(default_factory=dict)
    epochs: tuple[Epoch, ...] = ()
    planned: int = 0
    starts: int = 0
    started: str = ""
    updated: str = ""
    state: str = "running"
    warnings: tuple[str, ...] = ()

    @property
    def headline(self) -> str:
        return str(self.about.get("headline", ""))

    @property
    def best(self) -> Epoch | None:
        """The epoch of the best measurement, the first of equals; None where nothing was measured."""
        measured = [epoch for epoch in self.epochs if self.headline in epoch.measured]
        measured = [epoch for epoch in measured if not math.isnan(epoch.measured[self.headline])]
        sign = 1 if self.about.get("higher_is_better", True) else -1
        return max(measured, key=lambda epoch: sign * epoch.measured[self.headline], default=None)


def read(results_dir: Path) -> Chronicle:
    """An epoch that a resumed run made again counts as it was made last; lines that are no events are passed over."""
    about: dict[str, Any] = {}
    epochs: dict[int, Epoch] = {}
    warnings: dict[str, None] = {}
    starts, planned, state, times = 0, 0, "running", []
    for event in _events(results_dir / "status.json"):
        times.append(f"{event.get('date', '')} {event.get('time', '')}")
        warnings |= dict.fromkeys(event.get("warnings", ()))
        if event["status"] == "STARTED":
            about, state, starts = event, "running", starts + 1
        elif event["status"] == "RUNNING" and "epoch" in event:
            epochs[event["epoch"]] = _epoch(event)
            planned = event.get("max_epoch", planned)
        elif event["status"] == "SUCCESS":
            state = "finished"
        elif event["status"] == "FAILURE":
            state = str(event.get("message", "failed"))
    return Chronicle(
        about=about,
        epochs=tuple(epochs[number] for number in sorted(epochs)),
        planned=planned,
        starts=starts,
        started=times[0] if times else "",
        updated=times[-1] if times else "",
        state=state,
        warnings=tuple(warnings),
    )


def _events(path: Path) -> list[dict[str, Any]]:
    found = []
    try:
        text = path.read_text()
    except OSError:
        return []
    for line in text.splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and "status" in event:
            found.append(event)
    return found


def _epoch(event: dict[str, Any]) -> Epoch:
    measured = {name: float(value) for name, value in event.get("kpi", {}).items()}
    graphical = {name: float(value) for name, value in event.get("graphical", {}).items()}
    losses = {name: value for name, value in graphical.items() if name not in {*measured, "learning_rate"}}
    seconds = float(event.get("time_per_epoch", 0.0))
    return Epoch(event["epoch"], seconds, graphical.get("learning_rate", 0.0), losses, measured)
