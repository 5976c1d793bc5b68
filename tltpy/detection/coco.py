"""COCO's layout: folders of images, each with a JSON file of images, annotations and categories.

Class names lose their blanks ("traffic light" becomes trafficlight), as published; boxes x, y, w, h become corners and
keep their fraction. Crowd regions are boxes like the others.
"""

import bisect
import re
from collections.abc import Iterator
from json import JSONDecodeError, JSONDecoder
from pathlib import Path
from typing import Any

from tltpy.detection import findings as kinds
from tltpy.detection.findings import Finding
from tltpy.detection.frames import Entry, Frame, Labels, Source, read_text, root_folder
from tltpy.errors import DataError

_BLANK = re.compile(r"[ \t\n\r]*")
_PARTS = ("images", "annotations", "categories")
_UNKNOWN = (0.0,) * 7


def open_source(config: Any) -> Source:
    """Lists what a COCOConfig names: a partition for each annotation file; DataError when one is missing or unfit."""
    root = root_folder(config.root_directory_path)
    findings: list[Finding] = []
    partitions = []
    for folder, name in zip(config.img_dir_names, config.annotation_files, strict=True):
        if not (root / folder).is_dir():
            raise DataError(f"{root / folder}: no such folder", "img_dir_names names it")
        partitions.append(tuple(list_frames(root / name, root / folder, folder, findings)))
    shards = tuple(config.num_shards) or (10,)
    return Source(
        tuple(partitions), read_labels, shards * len(partitions) if len(shards) == 1 else shards, len(partitions),
        tuple(findings),
    )  # fmt: skip


def read_labels(frame: Frame, size_hw: tuple[int, int]) -> Labels:
    """The boxes that list_frames found for the picture."""
    labels = Labels()
    for entry in frame.entries or ():
        labels.add(entry.class_name, entry.row, entry.line)
    return labels


def list_frames(path: Path, image_dir: Path, folder: str, findings: list[Finding]) -> list[Frame]:
    """A frame for each entry of "images"; adds annotations that cannot be used to `findings`."""
    parts = _Document(path).parts()
    categories = {
        entry["id"]: "".join(str(entry["name"]).split())
        for _, entry in _entries(parts, "categories", ("id", "name"), path)
    }
    images = {
        entry["id"]: (line, str(entry["file_name"]))
        for line, entry in _entries(parts, "images", ("id", "file_name"), path)
    }
    boxes: dict[Any, list[Entry]] = {image_id: [] for image_id in images}
    for line, entry in parts["annotations"]:
        found = _box(entry, line, categories, boxes)
        if isinstance(found, Entry):
            boxes[entry["image_id"]].append(found)
        else:
            findings.append(Finding(found[0], str(path), line, f"annotation {_id(entry)}: {found[1]}; it is skipped"))
    if not images:
        findings.append(Finding(kinds.EMPTY, str(path), 0, "the file names no image"))
    return [
        Frame(_frame_id(folder, name), image_dir / name, path, line, tuple(boxes[image_id]))
        for image_id, (line, name) in images.items()
    ]


def _frame_id(folder: str, file_name: str) -> str:
    return (Path(folder) / file_name).with_suffix("").as_posix()


class _Document:
    """A JSON file whose entries know their lines."""

    def __init__(self, path: Path) -> None:
        self.path = path
        text = read_text(path)
        if text is None:
            raise DataError(f"{path}: the annotation file cannot be read", "annotation_files names it")
        self.text = text
        self._newlines = [match.start() for match in re.finditer("\n", text)]
        self._decoder = JSONDecoder()

    def parts(self) -> dict[str, list[tuple[int, Any]]]:
        """images, annotations and categories as lists of (line, entry); DataError when one is missing."""
        try:
            found = self._walk()
        except JSONDecodeError as error:
            text = "the annotation file is no JSON object in the layout of COCO"
            raise DataError(f"{self.path}:{self._line(error.pos)}: {text}") from error
        missing = [part for part in _PARTS if part not in found]
        if missing:
            raise DataError(f'{self.path}: the annotation file has no list "{missing[0]}"')
        return found

    def _walk(self) -> dict[str, list[tuple[int, Any]]]:
        found: dict[str, list[tuple[int, Any]]] = {}
        offset = self._past(0, "{")
        while not self.text.startswith("}", offset):
            key, offset = self._decoder.raw_decode(self.text, offset)
            offset = self._past(offset, ":")
            if key in _PARTS and self.text.startswith("[", offset):
                found[key], offset = self._list(offset)
            else:
                _, offset = self._decoder.raw_decode(self.text, offset)
            offset = self._next(offset, "}")
        return found

    def _list(self, offset: int) -> tuple[list[tuple[int, Any]], int]:
        """(line, value) of every entry of the list that starts at `offset`, and where the list ends."""
        entries = []
        offset = self._past(offset, "[")
        while not self.text.startswith("]", offset):
            value, end = self._decoder.raw_decode(self.text, offset)
            entries.append((self._line(offset), value))
            offset = self._next(end, "]")
        return entries, offset + 1

    def _next(self, offset: int, close: str) -> int:
        """Past the comma, to the next entry, or to the mark that closes."""
        offset = self._past(offset, "")
        return offset if self.text.startswith(close, offset) else self._past(offset, ",")

    def _past(self, offset: int, mark: str) -> int:
        """Past blanks, the mark and more blanks."""
        offset = _past_blanks(self.text, offset)
        if not self.text.startswith(mark, offset):
            raise JSONDecodeError(f"{mark} is missing", self.text, offset)
        return _past_blanks(self.text, offset + len(mark))

    def _line(self, offset: int) -> int:
        return bisect.bisect_left(self._newlines, offset) + 1


def _past_blanks(text: str, offset: int) -> int:
    match = _BLANK.match(text, offset)
    return match.end() if match else offset


def _entries(
    parts: dict[str, list[tuple[int, Any]]], part: str, keys: tuple[str, ...], path: Path
) -> Iterator[tuple[int, dict[str, Any]]]:
    for line, entry in parts[part]:
        if not isinstance(entry, dict) or any(key not in entry for key in keys):
            raise DataError(f'{path}:{line}: an entry of "{part}" has no {" or no ".join(keys)}')
        if not isinstance(entry["id"], int | str):
            raise DataError(f'{path}:{line}: the id of an entry of "{part}" is neither a number nor a word')
        yield line, entry


def _box(entry: Any, line: int, categories: dict[Any, str], images: dict[Any, Any]) -> Entry | tuple[str, str]:
    """The box of an annotation, or (kind, text) of what is wrong with it."""
    if not isinstance(entry, dict):
        return kinds.BAD_LABEL, "it is no object"
    image_id, category_id = entry.get("image_id"), entry.get("category_id")
    if not isinstance(image_id, int | str) or image_id not in images:
        return kinds.NO_IMAGE, f"no image has the id {image_id}"
    if not isinstance(category_id, int | str) or category_id not in categories:
        return kinds.NO_CLASS, f"no category has the id {category_id}"
    box = entry.get("bbox")
    if not isinstance(box, list) or len(box) != 4:
        return kinds.COLUMNS, "bbox has not four numbers"
    if not all(isinstance(value, int | float) for value in box):
        return kinds.NUMBER, "bbox holds something that is no number"
    x, y, width, height = map(float, box)
    return Entry(categories[category_id], (0.0, 0.0, 0.0, x, y, x + width, y + height, *_UNKNOWN), line)


def _id(entry: Any) -> Any:
    return entry.get("id") if isinstance(entry, dict) else entry
