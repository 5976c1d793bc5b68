"""What a step says while it works: text and a progress bar on stderr, one JSON object a line in results/status.json.

Imported by cli and steps alone. Only rank zero of a run speaks.
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from tltpy.files import translated

PLAIN_INTERVAL_S = 5.0  # a line this often where stderr is no terminal


class Log:
    """Speaks for one executable. `quiet` leaves warnings, `verbose` adds details."""

    def __init__(
        self, program: str, *, quiet: bool = False, verbose: bool = False, stream: TextIO | None = None, rank: int = 0
    ) -> None:
        self.program = program
        self.quiet = quiet
        self.verbose = verbose
        self.stream = stream or sys.stderr
        self.rank = rank
        self._status: Path | None = None
        self._bar: Any = None  # the live rich display, if any: text goes above it
        self._copy: Path | None = None
        self.warnings: list[str] = []  # all that was warned of, for the report of the run

    def copy_to(self, path: Path) -> None:
        """From now on all text is appended to a file, too."""
        with translated(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.open("a").close()
        self._copy = path

    def info(self, text: str) -> None:
        if not self.quiet:
            self._write(text)

    def detail(self, text: str) -> None:
        if self.verbose:
            self._write(text)

    def warn(self, text: str, *hints: str) -> None:
        self.warnings.append(text)
        self._write(f"{self.program}: warning: {text}")
        for hint in hints:
            self._write(f"{self.program}: hint: {hint}")

    def open_status(self, results_dir: Path, *, append: bool = False) -> None:
        """Starts (or goes on with) results_dir/status.json, the published name; it holds JSON lines."""
        if self.rank == 0:
            self._status = results_dir / "status.json"
            text = self._status.read_bytes() if append and self._status.exists() else b""
            whole = text[: text.rfind(b"\n") + 1]  # a run that was killed may have left half a line
            if whole != text or not append:
                self._status.write_bytes(whole)

    def status(self, state: str, message: str, **facts: Any) -> None:
        """Appends one event: date, time, status, message and the facts given."""
        if self._status is None:
            return
        now = datetime.now()
        event = {"date": f"{now:%m/%d/%Y}", "time": f"{now:%H:%M:%S}", "status": state, "verbosity": "INFO"}
        with self._status.open("a") as file:
            file.write(json.dumps({**event, "message": message, **facts}) + "\n")

    @contextmanager
    def progress(self, title: str, total: int, unit: str = "image") -> "Iterator[Progress]":
        """A bar on a terminal, else a line every few seconds."""
        progress = Progress(self, title, total, unit)
        try:
            yield progress
        finally:
            progress.close()

    def _write(self, text: str) -> None:
        if self.rank != 0:
            return
        if self._bar is not None:
            self._bar.console.print(text, highlight=False, markup=False)
        else:
            print(text, file=self.stream, flush=True)
        if self._copy is not None:
            with self._copy.open("a") as file:
                file.write(text + "\n")


class Progress:
    """Counts work done; the speed and the time left follow from it."""

    def __init__(self, log: Log, title: str, total: int, unit: str) -> None:
        self._log = log
        self._title, self._total, self._unit = title, total, unit
        self._done = 0
        self._start = time.monotonic()
        self._said = self._start
        self._live: Any = None
        self._row: Any = None
        shown = log.rank == 0 and not log.quiet
        if shown and log.stream.isatty():
            self._open_bar()
        self._plain = shown and self._live is None

    def advance(self, count: int = 1, note: str = "") -> None:
        """`note` stands behind the bar: the loss and the learning rate, say."""
        self._done += count
        if self._live is not None:
            self._live.update(self._row, advance=count, note=note, speed=f"{self._speed():.1f} {self._unit}s/s")
        elif self._plain and (time.monotonic() - self._said >= PLAIN_INTERVAL_S):
            self._said = time.monotonic()
            self._log.info(self._line(note))

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._log._bar = None

    def _speed(self) -> float:
        return self._done / max(time.monotonic() - self._start, 1e-9)

    def _line(self, note: str) -> str:
        left = (self._total - self._done) / max(self._speed(), 1e-9)
        speed = f"{self._speed():.1f} {self._unit}s/s"
        return f"{self._title} {self._done}/{self._total}  {note}  {speed}  {_clock(left)} left".replace("    ", "  ")

    def _open_bar(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Live

        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
        )
        # rich honours NO_COLOR by itself
        self._live = Live(*columns, console=Console(file=self._log.stream), transient=True)
        self._row = self._live.add_task(self._title, total=self._total, note="", speed="")
        self._live.start()
        self._log._bar = self._live


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
