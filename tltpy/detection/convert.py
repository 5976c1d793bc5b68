"""A data set in its original layout to TFRecord shards: read in parallel, written in one order, all shards or none."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from tltpy.data import tfrecord
from tltpy.detection import modifiers, partition
from tltpy.detection.examples import record_to_bytes
from tltpy.detection.findings import Finding, count_kinds
from tltpy.detection.frames import Frame, ReadLabels, Source, read_frame
from tltpy.detection.partition import unfinished
from tltpy.detection.tally import Row, Tally, object_lines
from tltpy.errors import DataError, UsageError
from tltpy.files import staging, translated, write_text

CHUNK = 64  # frames a worker takes at once
Read = tuple[bytes | None, tuple[str, ...], tuple[int, ...], tuple[Finding, ...], tuple[tuple[float, ...], ...]]
"""The fields of a Row without its frame."""
P = TypeVar("P")
R = TypeVar("R")


class Workers(Protocol):
    """Whoever does the pieces: a pool of processes, an executor."""

    def map(self, function: Callable[[P], R], pieces: Iterable[P], /) -> Iterator[R]:
        """The results in the order of the pieces."""
        ...


@dataclass(frozen=True)
class Report:
    """Whom to tell what: pictures read, lines for the log, findings before they may stop the run."""

    progress: Callable[[int], None] = lambda count: None
    say: Callable[[str], None] = lambda text: None
    warn: Callable[[Sequence[Finding]], None] = lambda findings: None


def check(source: Source, config: Any, *, workers: Workers | None = None, report: Report | None = None) -> Tally:
    """Reads every label and decodes every picture; writes nothing."""
    tally = Tally(findings=list(source.findings))
    for number, rows in _read(source, workers, report or Report(), decode=True):
        tally.open_partition(number, rows)
        for row in rows:
            tally.count(number, row)
    tally.finish(config)
    return tally


def convert(
    source: Source,
    config: Any,
    prefix: Path,
    *,
    validation_fold: int = 0,
    workers: Workers | None = None,
    strict: bool = False,
    overwrite: bool = False,
    report: Report | None = None,
) -> Tally:
    """Writes the shards `<prefix>-fold-...`; DataError, and nothing written, with `strict` and findings.

    Shards of this prefix that exist are a UsageError unless `overwrite` is given; then all of them are replaced.
    sample_modifier_config is obeyed outside the `validation_fold`.
    """
    report = report or Report()
    old = refuse_existing(prefix, overwrite)
    tally = Tally(findings=list(source.findings))
    with _staged(prefix.parent) as folder:
        for number, rows in _read(source, workers, report, decode=False):
            modifier = config.sample_modifier_config if number != validation_fold else None
            _write_partition(source, modifier, number, rows, folder / prefix.name, tally, report)
        tally.finish(config)
        report.warn(tally.findings)
        if strict and tally.findings:
            raise refuse(tally.findings)
        if tally.bad_boxes:
            text = json.dumps(dict(sorted(tally.bad_boxes.items())), indent=1)
            write_text(folder / warning_path(prefix).name, text + "\n")
        _publish(folder, prefix, old)
    tally.shards = [str(prefix.parent / name) for name in tally.shards]
    return tally


def refuse(findings: Sequence[Finding]) -> DataError:
    """The error of --strict."""
    counts = ", ".join(f"{kind}: {count}" for kind, count in count_kinds(findings).items())
    return DataError(f"{findings[0]} (the first of {len(findings)} findings: {counts})", "--check lists them all")


def refuse_existing(prefix: Path, overwrite: bool) -> list[Path]:
    """The shards of this prefix that exist, sorted; UsageError when there are any and `overwrite` is not given.

    Those of a run that was killed while it put them in place are no results.
    """
    if not prefix.parent.is_dir():
        return []
    files = (path for path in prefix.parent.iterdir() if path.name.startswith(prefix.name) and path.is_file())
    old = sorted(path for path in files if partition.SHARD.fullmatch(path.name.removeprefix(prefix.name)))
    if old and not overwrite and not prefix.with_name(unfinished(prefix.name)).exists():
        raise UsageError(f"{old[0]}: the shard exists", "name another prefix with -o, or add --overwrite")
    return old


def warning_path(prefix: Path) -> Path:
    """The file that lists the boxes left out, written when there are any: frame id -> boxes x1, y1, x2, y2."""
    return prefix.with_name(f"{prefix.name}_warning.json")


def _read(
    source: Source, workers: Workers | None, report: Report, *, decode: bool
) -> Iterator[tuple[int, list[Row]]]:
    """(partition, its frames in the order they are written) of every partition that is not empty."""
    for number, frames in enumerate(partition.shuffle(source.partitions)):
        rows: list[Row] = []
        for chunk in _mapped(workers, partial(_read_chunk, source.read_labels, decode), frames):
            # the frames are here already: paths are slow to send
            part = frames[len(rows) : len(rows) + len(chunk)]
            rows.extend(Row(frame, *read) for frame, read in zip(part, chunk, strict=True))
            report.progress(len(chunk))
        if rows:
            yield number, rows


def _mapped(
    workers: Workers | None, function: Callable[[Sequence[Frame]], list[Read]], frames: Sequence[Frame]
) -> Iterable[list[Read]]:
    chunks = [frames[start : start + CHUNK] for start in range(0, len(frames), CHUNK)]
    return map(function, chunks) if workers is None else workers.map(function, chunks)


def _read_chunk(read_labels: ReadLabels, decode: bool, frames: Sequence[Frame]) -> list[Read]:
    rows = []
    for frame in frames:
        reading = read_frame(read_labels, frame, decode=decode)
        payload = None if reading.record is None else record_to_bytes(reading.record)
        rows.append((payload, reading.class_names, reading.lines, reading.findings, reading.bad_boxes))
    return rows


def _write_partition(
    source: Source, modifier: Any, number: int, rows: Sequence[Row], prefix: Path, tally: Tally, report: Report
) -> None:
    tally.open_partition(number, rows)
    num_shards = source.num_shards[number]
    for shard, (start, stop) in enumerate(partition.shard_bounds(len(rows), num_shards)):
        report.say(f"Writing partition {number}, shard {shard}")
        name = partition.shard_name(prefix.name, number, source.num_partitions, shard, num_shards)
        tfrecord.write(prefix.with_name(name), _payloads(rows[start:stop], number, modifier, tally))
        tally.shards.append(name)
    report.say("Wrote the following numbers of objects:")
    for line in object_lines(tally.objects[number]):
        report.say(line)


def _payloads(rows: Sequence[Row], number: int, modifier: Any, tally: Tally) -> Iterator[bytes]:
    for row in rows:
        if row.payload is None:
            continue
        times = 1
        if modifier is not None and modifier.ByteSize():
            times = modifiers.copies(row.class_names, modifier)
            if modifier.max_training_samples:
                times = min(times, modifier.max_training_samples - tally.training)
        if modifier is not None:
            tally.training += times
        tally.count(number, row, times)
        for _ in range(times):
            yield row.payload


@contextmanager
def _staged(parent: Path) -> Iterator[Path]:
    """A hidden folder among the results, gone afterwards; where nothing came of it, the folders made for it, too."""
    made = [path for path in (parent, *parent.parents) if not path.exists()]
    try:
        with staging(parent / "tfrecords") as folder:
            try:
                yield folder
            except DataError as error:  # the user knows nothing of the hidden folder
                message = error.message.replace(f"{folder}{os.sep}", f"{parent}{os.sep}")
                raise DataError(message, *error.hints) from error
    finally:
        for path in made:
            with suppress(OSError):  # it holds the results
                path.rmdir()


def _publish(folder: Path, prefix: Path, old: Sequence[Path]) -> None:
    """Moves everything to its place; then removes what an earlier run left and this one did not replace.

    A mark stands beside the shards meanwhile, lest half of them pass for all should the process be killed.
    """
    with translated(prefix.parent):
        names = sorted(os.listdir(folder))
        mark = prefix.with_name(unfinished(prefix.name))
        write_text(mark, "")
        for name in names:
            os.replace(folder / name, prefix.with_name(name))
        for path in (*old, warning_path(prefix)):
            if path.name not in names:
                path.unlink(missing_ok=True)
        mark.unlink()
