"""A data set in its original layout to TFRecord shards: read in parallel, written in one order, all shards or none."""

import json
import os
import re
import secrets
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tltpy.data import tfrecord
from tltpy.detection import findings as kinds
from tltpy.detection import modifiers, partition
from tltpy.detection.classes import normal
from tltpy.detection.examples import record_to_bytes
from tltpy.detection.findings import Finding
from tltpy.detection.frames import Frame, Reading, ReadLabels, Source, read_frame
from tltpy.errors import DataError, UsageError
from tltpy.files import translated, write_text

CHUNK = 64  # frames a worker takes at once
_SHARD = re.compile(r"(-fold-\d{3}-of-\d{3})?(-shard-\d{5}-of-\d{5})?")


@dataclass
class Tally:
    """What was read, partition by partition, and what was wrong with it."""

    images: list[int] = field(default_factory=list)  # written pictures; a picture written twice counts twice
    training: int = 0  # of these, the ones outside the validation fold
    objects: list[Counter[str]] = field(default_factory=list)  # class as written -> boxes
    names: dict[str, str] = field(default_factory=dict)  # class in the labels -> class as written
    findings: list[Finding] = field(default_factory=list)
    bad_boxes: dict[str, list[tuple[float, ...]]] = field(default_factory=dict)  # frame id -> x1, y1, x2, y2
    shards: list[str] = field(default_factory=list)
    found: dict[str, tuple[int, str, int]] = field(
        default_factory=dict
    )  # class in the labels -> boxes, first file, line

    def cumulative(self) -> Counter[str]:
        return sum(self.objects, Counter())


@dataclass(frozen=True)
class Row:
    """One frame, read and serialized."""

    payload: bytes | None
    class_names: tuple[str, ...]  # of the boxes, as in the labels
    lines: tuple[int, ...]
    findings: tuple[Finding, ...]
    frame: Frame
    bad_boxes: tuple[tuple[float, ...], ...]


Progress = Callable[[int], None]
Say = Callable[[str], None]


def read_all(
    source: Source, *, executor: Executor | None, decode: bool, progress: Progress
) -> Iterator[tuple[int, list[Row]]]:
    """(partition, its frames as serialized records in the order they are written), one partition after the other."""
    for number, frames in enumerate(partition.shuffle(source.partitions)):
        if frames:
            rows: list[Row] = []
            for chunk in _mapped(executor, partial(_read_chunk, source.read_labels, decode), frames):
                rows.extend(chunk)
                progress(len(chunk))
            yield number, rows


def check(source: Source, config: Any, *, executor: Executor | None, progress: Progress) -> Tally:
    """Reads every label and decodes every picture; writes nothing."""
    tally = Tally(findings=list(source.findings))
    for number, rows in read_all(source, executor=executor, decode=True, progress=progress):
        _start(tally, number)
        for row in rows:
            _note(tally, row)
            _count(tally, number, row, 1)
    _finish(tally, config)
    return tally


def convert(
    source: Source,
    config: Any,
    prefix: Path,
    *,
    validation_fold: int = 0,
    executor: Executor | None = None,
    strict: bool = False,
    overwrite: bool = False,
    progress: Progress = lambda count: None,
    say: Say = lambda text: None,
) -> Tally:
    """Writes the shards `<prefix>-fold-...`; DataError, and nothing written, with `strict` and findings.

    Shards of this prefix that exist are a UsageError unless `overwrite` is given; then all of them are replaced.
    """
    old = existing_shards(prefix)
    if old and not overwrite:
        raise UsageError(f"{old[0]}: the shard exists", "name another prefix with -o, or add --overwrite")
    tally = Tally(findings=list(source.findings))
    with _staged(prefix.parent) as folder:
        for number, rows in read_all(source, executor=executor, decode=False, progress=progress):
            _write_partition(source, config, number, rows, folder / prefix.name, validation_fold, tally, say)
        _finish(tally, config)
        if strict and tally.findings:
            raise refuse(tally.findings)
        _write_warnings(prefix, folder, tally)
        with translated(prefix.parent):
            for path in sorted(folder.iterdir()):
                os.replace(path, prefix.parent / path.name)
    written = {Path(path).name for path in tally.shards}
    for path in old:
        if path.name not in written:
            path.unlink()
    tally.shards = [str(prefix.parent / Path(path).name) for path in tally.shards]
    return tally


def refuse(findings: Sequence[Finding]) -> DataError:
    """The error of --strict."""
    counts = ", ".join(f"{kind}: {count}" for kind, count in kinds.count_kinds(findings).items())
    return DataError(
        f"{findings[0]} (the first of {len(findings)} findings: {counts})",
        "--check lists them all; nothing was written because of --strict",
    )


def existing_shards(prefix: Path) -> list[Path]:
    """Sorted files whose names are those of shards with this prefix."""
    if not prefix.parent.is_dir():
        return []
    tails = ((path, path.name.removeprefix(prefix.name)) for path in prefix.parent.iterdir() if path.is_file())
    return sorted(path for path, tail in tails if path.name != tail and _SHARD.fullmatch(tail))


def warning_path(prefix: Path) -> Path:
    """The file that lists the boxes left out, written when there are any."""
    return prefix.with_name(f"{prefix.name}_warning.json")


def _read_chunk(read_labels: ReadLabels, decode: bool, frames: Sequence[Frame]) -> list[Row]:
    return [_row(frame, read_frame(read_labels, frame, decode=decode)) for frame in frames]


def _row(frame: Frame, reading: Reading) -> Row:
    payload = None if reading.record is None else record_to_bytes(reading.record)
    return Row(payload, reading.class_names, reading.lines, reading.findings, frame, reading.bad_boxes)


def _mapped(
    executor: Executor | None, function: Callable[[Sequence[Frame]], list[Row]], frames: Sequence[Frame]
) -> Iterable[list[Row]]:
    chunks = [frames[start : start + CHUNK] for start in range(0, len(frames), CHUNK)]
    return map(function, chunks) if executor is None else executor.map(function, chunks)


def _write_partition(
    source: Source,
    config: Any,
    number: int,
    rows: Sequence[Row],
    prefix: Path,
    validation_fold: int,
    tally: Tally,
    say: Say,
) -> None:
    _start(tally, number)
    for row in rows:
        _note(tally, row)
    modifier = config.sample_modifier_config if number != validation_fold else None
    shards = source.num_shards[number]
    for shard, (start, stop) in enumerate(partition.shard_bounds(len(rows), shards)):
        say(f"Writing partition {number}, shard {shard}")
        path = partition.shard_name(str(prefix), number, source.num_partitions, shard, shards)
        tfrecord.write(path, _payloads(rows[start:stop], number, modifier, tally))
        tally.shards.append(path)
    say("Wrote the following numbers of objects:")
    for line in object_lines(tally.objects[number]):
        say(line)


def object_lines(objects: Counter[str]) -> list[str]:
    """`b'car': 12345`, sorted by name: the published form."""
    return [f"{name.encode()!r}: {count}" for name, count in sorted(objects.items())]


def _payloads(rows: Sequence[Row], number: int, modifier: Any, tally: Tally) -> Iterator[bytes]:
    for row in rows:
        if row.payload is None:
            continue
        times = 1 if modifier is None else modifiers.copies(row.class_names, modifier)
        if modifier is not None and modifier.max_training_samples:
            times = min(times, modifier.max_training_samples - tally.training)
        tally.training += times if modifier is not None else 0
        _count(tally, number, row, times)
        for _ in range(times):
            yield row.payload


def _start(tally: Tally, number: int) -> None:
    while len(tally.images) <= number:
        tally.images.append(0)
        tally.objects.append(Counter())


def _note(tally: Tally, row: Row) -> None:
    tally.findings.extend(row.findings)
    if row.bad_boxes:
        tally.bad_boxes[row.frame.id] = list(row.bad_boxes)
    for name, line in zip(row.class_names, row.lines, strict=True):
        count, path, first = tally.found.get(name, (0, str(row.frame.label_path), line))
        tally.found[name] = (count + 1, path, first)


def _count(tally: Tally, number: int, row: Row, times: int) -> None:
    if row.payload is None or times == 0:
        return
    tally.images[number] += times
    for name, count in Counter(row.class_names).items():
        tally.objects[number][name.lower()] += count * times
        tally.names[name] = name.lower()


def _finish(tally: Tally, config: Any) -> None:
    """Classes that no mapping names; DataError when nothing can be converted or the mapping names no class at all."""
    if not any(tally.images):
        first = f": {tally.findings[0]}" if tally.findings else ""
        raise DataError(f"no picture of the data set can be converted{first}")
    keys = {normal(key) for key in config.target_class_mapping}
    unmapped = {name: place for name, place in sorted(tally.found.items()) if normal(name) not in keys}
    if not keys or not tally.found:
        return
    if len(unmapped) == len(tally.found):
        raise DataError(
            "target_class_mapping names no class of the data set",
            "the labels hold " + ", ".join(sorted(tally.found)), "the keys are " + ", ".join(sorted(keys)),
        )  # fmt: skip
    for name, (count, path, line) in unmapped.items():
        text = f'no target_class_mapping for class "{name}" ({count} boxes, the first is here); written as it is'
        tally.findings.append(Finding(kinds.UNMAPPED, path, line, text))


def _write_warnings(prefix: Path, folder: Path, tally: Tally) -> None:
    path = warning_path(prefix)
    if tally.bad_boxes:
        write_text(folder / path.name, json.dumps(dict(sorted(tally.bad_boxes.items())), indent=1) + "\n")
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _staged(parent: Path) -> Iterator[Path]:
    """A hidden folder beside the results, gone afterwards: what is unfinished is never seen."""
    folder = parent / f".tfrecords.{secrets.token_hex(4)}.part"
    with translated(parent):
        folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
