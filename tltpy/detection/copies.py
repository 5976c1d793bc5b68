"""A KITTI data set and the changed copy of it: listing the pictures, making one copy, putting all of them in place.

Every file of the copy is written whole or not at all, and twice the same: a copy may be made again by another process.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tltpy.data import images
from tltpy.data.extensions import WRITABLE
from tltpy.detection import findings as kinds
from tltpy.detection import kitti, offline
from tltpy.detection.draw import draw
from tltpy.detection.findings import Finding
from tltpy.detection.frames import Frame, checked, list_files, read_text
from tltpy.detection.records import BOX, table_from_record
from tltpy.errors import DataError
from tltpy.files import atomic, staging, translated

ANNOTATED = "images_annotated"
_ANY_LENGTH = 1 << 30

Paint = Callable[[np.ndarray, offline.Change], np.ndarray]
"""(picture, change) -> the changed picture; a function that can be sent to another process."""


@dataclass(frozen=True)
class Layout:
    """Where a data set lies: `labels` is None where it has none."""

    root: Path
    images: str
    labels: str | None

    def at(self, root: Path) -> "Layout":
        return Layout(root, self.images, self.labels)


@dataclass(frozen=True)
class Copy:
    """What became of one picture; not `made`: it could not be read."""

    made: bool
    labelled: bool = False
    boxes: int = 0
    dropped: int = 0
    findings: tuple[Finding, ...] = ()


def list_frames(layout: Layout, extension: str) -> tuple[list[Frame], list[Finding]]:
    """The pictures sorted by name, and the labels that no picture belongs to.

    DataError when a folder or every picture is missing, or two pictures share a name and so a label file.
    """
    image_dir = layout.root / layout.images
    extensions = [extension if extension.startswith(".") else f".{extension}"] if extension else list(WRITABLE)
    names = list_files(image_dir, extensions)
    if not names:
        present = sorted({Path(name).suffix for name in list_files(image_dir, images.EXTENSIONS)})
        hint = "the folder holds pictures with " + " and ".join(present) if present else "image_path names the folder"
        raise DataError(f"{image_dir}: no picture with the extension {' or '.join(extensions)}", hint)
    stems: dict[str, str] = {}
    for name in names:
        other = stems.setdefault(Path(name).stem, name)
        if other != name and layout.labels is not None:
            hint = "rename one of them, or choose with image_extension"
            raise DataError(f"{image_dir / name}: {other} has the same label file", hint)
    label_dir = image_dir if layout.labels is None else layout.root / layout.labels
    frames = [Frame(name, image_dir / name, label_dir / f"{Path(name).stem}.txt") for name in names]
    if layout.labels is None:
        return frames, []
    lone = [name for name in list_files(label_dir, [".txt"]) if Path(name).stem not in stems]
    text = "no image belongs to this label"
    return frames, [Finding(kinds.LONE_LABEL, str(label_dir / name), 0, text) for name in lone]


def class_names(frames: list[Frame]) -> tuple[str, ...]:
    """The first words of all label rows, in lower case and sorted: the colours of the drawings follow from them."""
    texts = (read_text(frame.label_path) or "" for frame in frames)
    return tuple(sorted({line.split()[0].lower() for text in texts for line in text.splitlines() if line.strip()}))


def make(
    frame: Frame, index: int, config: Any, target: Layout, annotate: tuple[str, ...] | None, paint: Paint
) -> Copy:
    """Writes the changed picture `index`, its label file, and a drawing where `annotate` has the names of all classes.

    A picture that cannot be read is left out, a row that cannot be used, too; findings say so.
    """
    try:
        image = images.read(frame.image_path)
    except DataError as error:
        text = error.message.removeprefix(f"{frame.image_path}: ")
        return Copy(False, findings=(Finding(kinds.BAD_IMAGE, str(frame.image_path), 0, f"{text}; left out"),))
    size_hw = (image.shape[0], image.shape[1])
    change = offline.draw(config, index, size_hw)
    picture = paint(image, change)
    _write_picture(target.root / target.images / frame.id, picture)
    if target.labels is None:
        return Copy(True)
    names, table, copy = _labels(frame, size_hw, change)
    if copy.labelled:
        text = "".join(f"{_row(name, row)}\n" for name, row in zip(names, table.tolist(), strict=True))
        _write(target.root / target.labels / frame.label_path.name, text.encode())
    if annotate is not None:
        labels = [annotate.index(name.lower()) for name in names]
        canvas = picture if picture.shape[2] == 3 else cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR)
        _write_picture(target.root / ANNOTATED / frame.id, draw(canvas, table[:, BOX], labels, None, annotate))
    return copy


@contextmanager
def staged(target: Layout) -> Iterator[Layout]:
    """Folders to write into; when the block ends well they come to the target's place, else they are gone.

    A new folder appears at once. In one that holds files already the new files take the place of the old, and then
    the pictures and labels of an older copy that were not made again are removed.
    """
    with staging(target.root) as folder:
        layout = target.at(folder)
        for name in _folders(layout):
            (folder / name).mkdir(parents=True, exist_ok=True)
        try:
            yield layout
        except DataError as error:  # the user knows nothing of the hidden folder
            raise DataError(error.message.replace(str(folder), str(target.root)), *error.hints) from error
        with translated(target.root):
            _publish(layout, target)


def _labels(
    frame: Frame, size_hw: tuple[int, int], change: offline.Change
) -> tuple[tuple[str, ...], np.ndarray, Copy]:
    """Class names, rows [N, 14] of the boxes that are left, and what to say of them."""
    text = read_text(frame.label_path)
    if text is None:
        there = frame.label_path.exists()
        kind, what = (kinds.BAD_LABEL, "cannot be read as text") if there else (kinds.NO_LABEL, "is missing")
        finding = Finding(kind, str(frame.label_path), 0, f"the label file {what}; the picture is copied without one")
        return (), np.zeros((0, 14)), Copy(True, findings=(finding,))
    rows = kitti.parse(text, frame.label_path, kitti.MIN_COLUMNS, _ANY_LENGTH)
    reading = checked(frame, rows, size_hw)
    assert reading.record
    table = table_from_record(reading.record)
    table[:, BOX], kept = offline.move_boxes(table[:, BOX], change)
    names = tuple(name for name, stays in zip(reading.class_names, kept.tolist(), strict=True) if stays)
    copy = Copy(True, True, len(kept), int((~kept).sum()), reading.findings)
    return names, table[kept], copy


def _row(name: str, numbers: list[float]) -> str:
    """15 columns as KITTI writes them: two decimals, the occlusion whole."""
    return " ".join([name, f"{numbers[0]:.2f}", f"{numbers[1]:.0f}", *(f"{number:.2f}" for number in numbers[2:])])


def _write_picture(path: Path, picture: np.ndarray) -> None:
    done, data = cv2.imencode(path.suffix.lower(), picture)
    assert done, path
    _write(path, data.data)


def _write(path: Path, data: bytes | memoryview) -> None:
    with atomic(path, flush=False) as file:
        file.write(data)


def _folders(layout: Layout) -> list[str]:
    return [layout.images, *([] if layout.labels is None else [layout.labels])]


def _publish(made: Layout, target: Layout) -> None:
    for path in made.root.rglob(".*.part"):  # of workers that died
        path.unlink()
    os.sync()  # all files at once: to wait for each would take longer than to make them
    if not target.root.exists() or not any(target.root.iterdir()):
        os.replace(made.root, target.root)
        return
    new = [path.relative_to(made.root) for path in sorted(made.root.rglob("*")) if path.is_file()]
    for relative in new:
        (target.root / relative).parent.mkdir(parents=True, exist_ok=True)
        os.replace(made.root / relative, target.root / relative)
    for folder, extensions in ((target.images, WRITABLE), (target.labels, (".txt",)), (ANNOTATED, WRITABLE)):
        if folder is not None and (target.root / folder).is_dir():
            old = {Path(folder) / name for name in list_files(target.root / folder, extensions)} - set(new)
            for relative in sorted(old):
                (target.root / relative).unlink()
