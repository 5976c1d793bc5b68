"""From a picture and its label file to a record and findings: what the readers of all layouts share."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tltpy.data import images
from tltpy.detection import findings as kinds
from tltpy.detection.findings import Finding
from tltpy.detection.records import BOX, COLUMNS, DetectionRecord, record_from_table
from tltpy.errors import DataError


@dataclass(frozen=True)
class Entry:
    """One box of a label file that holds all pictures."""

    class_name: str
    row: tuple[float, ...]  # in the order of records.COLUMNS
    line: int


@dataclass(frozen=True)
class Frame:
    """One picture of a source and where its labels are, not yet read."""

    id: str
    image_path: Path
    label_path: Path
    line: int = 0  # of label_path, where it holds many pictures
    entries: tuple[Entry, ...] | None = None


@dataclass
class Labels:
    """The rows of one picture as they stand in its label file."""

    class_names: list[str] = field(default_factory=list)
    rows: list[tuple[float, ...]] = field(default_factory=list)  # in the order of records.COLUMNS
    lines: list[int] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    missing: bool = False  # nothing is known of the picture's boxes: it is left out

    def add(self, class_name: str, row: tuple[float, ...], line: int) -> None:
        self.class_names.append(class_name)
        self.rows.append(row)
        self.lines.append(line)


ReadLabels = Callable[[Frame, tuple[int, int]], Labels]
"""(frame, size_hw of its picture) -> its rows; a function that can be sent to another process."""


@dataclass(frozen=True)
class Source:
    """A data set in its original layout, listed but not read."""

    partitions: tuple[tuple[Frame, ...], ...]  # partition 0 is the validation set
    read_labels: ReadLabels
    num_shards: tuple[int, ...]  # for each partition
    num_partitions: int  # as the shards' names say it; 0: they do not
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Reading:
    """What one frame gave."""

    record: DetectionRecord | None
    class_names: tuple[str, ...] = ()  # of the record's boxes, spelled as in the labels
    lines: tuple[int, ...] = ()
    findings: tuple[Finding, ...] = ()
    bad_boxes: tuple[tuple[float, ...], ...] = ()


def read_frame(read_labels: ReadLabels, frame: Frame, *, decode: bool) -> Reading:
    """The record of a frame, None when its picture or label cannot be read; `decode` opens the pixels, too."""
    try:
        size_hw = images.read_size(frame.image_path)
        if decode:
            images.read(frame.image_path)
    except DataError as error:
        kind = kinds.BAD_IMAGE if frame.image_path.exists() else kinds.NO_IMAGE
        text = error.message.removeprefix(f"{frame.image_path}: ")
        return Reading(None, findings=(Finding(kind, str(frame.image_path), 0, f"{text}; left out"),))
    labels = read_labels(frame, size_hw)
    if labels.missing:
        return Reading(None, findings=tuple(labels.findings))
    return checked(frame, labels, size_hw)


def checked(frame: Frame, labels: Labels, size_hw: tuple[int, int]) -> Reading:
    """Drops rows that are no boxes; reports them and the boxes that leave the picture."""
    table = np.array(labels.rows, np.float64).reshape(-1, len(COLUMNS))  # [N, 14]
    x1, y1, x2, y2 = table[:, BOX].T
    finite = np.asarray(np.isfinite(table).all(1))
    kept = finite & (x1 < x2) & (y1 < y2)
    height, width = size_hw
    outside = kept & ((x1 < 0) | (y1 < 0) | (x2 > width) | (y2 > height))
    findings = list(labels.findings)
    for index in np.flatnonzero(~kept | outside).tolist():
        box = ", ".join(f"{value:g}" for value in table[index, BOX])
        if not finite[index]:
            kind, text = kinds.NUMBER, "a number of the row is not finite; skipped"
        elif kept[index]:
            kind, text = kinds.OUTSIDE, f"box ({box}) leaves the {width}x{height} picture; kept as it is"
        else:
            kind, text = kinds.DEGENERATE, f"degenerate box ({box}): x1 < x2 and y1 < y2 must hold; skipped"
        findings.append(Finding(kind, str(frame.label_path), labels.lines[index], text))
    chosen = np.flatnonzero(kept).tolist()
    class_names = tuple(labels.class_names[index] for index in chosen)
    record = record_from_table(
        id=frame.id, image_path=frame.image_path, size_hw=size_hw, class_names=class_names, table=table[kept]
    )
    bad = tuple(tuple(map(float, box)) for box in table[finite & ~kept][:, BOX])
    return Reading(record, class_names, tuple(labels.lines[index] for index in chosen), tuple(findings), bad)


def list_files(folder: Path, extensions: Iterable[str]) -> list[str]:
    """Sorted names of the files with one of the extensions (any case); DataError where there is no such folder."""
    wanted = {extension.lower() for extension in extensions}
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if os.path.splitext(entry.name)[1].lower() in wanted]
    except OSError as error:
        raise DataError(f"{folder}: the folder cannot be read: {(error.strerror or '').lower()}") from error
    return sorted(names)


def root_path(path: str) -> Path:
    """A relative path is taken from $DATA_BASE_PATH, else from the working folder."""
    return Path(os.environ.get("DATA_BASE_PATH", "")) / Path(path).expanduser()


def root_folder(root_directory_path: str) -> Path:
    """A relative path is taken from $DATA_BASE_PATH, else from the working folder; DataError where there is none."""
    root = root_path(root_directory_path)
    if not root.is_dir():
        raise DataError(
            f"{root}: no such folder",
            "root_directory_path names it; a relative one is taken from $DATA_BASE_PATH, else from the working folder",
        )
    return root


def read_text(path: Path) -> str | None:
    """The text of a label file; None where it is missing or no text."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return None


def unreadable_label(path: Path) -> Finding:
    """Why read_text gave None."""
    if path.exists():
        return Finding(kinds.BAD_LABEL, str(path), 0, "the label file cannot be read as text; its picture is left out")
    return Finding(kinds.NO_LABEL, str(path), 0, "no such label file; its picture is left out")
