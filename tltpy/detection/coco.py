"""COCO's layout: folders of images, each with a JSON file of images, annotations and categories.

Class names lose their blanks ("traffic light" becomes trafficlight), as published; boxes x, y, w, h become corners and keep
their fraction. Crowd regions are boxes like the others.
"""

import bisect
import re
from collections.abc import Iterator
from functools import cached_property
from json import JSONDecodeError, JSONDecoder
from pathlib import Path
from typing import Any

from tltpy.detection import findings as kinds
from tltpy.detection.findings import Finding
from tltpy.detection.frames import Entry, Frame, Labels, Source, root_folder
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
    document = Document(path)
    parts = document.parts()
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
        Frame(
            f"{folder}/{Path(name).with_suffix('').as_posix()}" if folder not in ("", ".") else Path(name).with_suffix("").as_posix(),
            image_dir / name, path, line, tuple(boxes[image_id]),
        )
        for image_id, (line, name) in images.items()
    ]  # fmt: skip


class Document:
    """A JSON file whose entries know their lines."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: the annotation file cannot be read: {error}") from error

    @cached_property
    def _newlines(self) -> list[int]:
        return [match.start() for match in re.finditer("\n", self.text)]

    def line(self, offset: int) -> int:
        return bisect.bisect_left(self._newlines, offset) + 1

    def parts(self) -> dict[str, list[tuple[int, Any]]]:
        """images, annotations and categories as lists of (line, entry); DataError when one is missing."""
        found: dict[str, list[tuple[int, Any]]] = {}
        try:
            for key, offset in self._members():
                if key in _PARTS and self.text[offset] == "[":
                    found[key] = [(self.line(start), value) for start, value in self._items(offset)]
        except (JSONDecodeError, IndexError) as error:
            line = self.line(error.pos) if isinstance(error, JSONDecodeError) else self.line(len(self.text))
            raise DataError(f"{self.path}:{line}: the annotation file is no JSON object in COCO's layout") from error
        missing = [part for part in _PARTS if part not in found]
        if missing:
            raise DataError(f'{self.path}: the annotation file has no list "{missing[0]}"')
        return found

    def _members(self) -> Iterator[tuple[str, int]]:
        """(key, offset of its value) of the outermost object."""
        decoder = JSONDecoder()
        offset = self._skip(0, "{")
        while self.text[offset] != "}":
            key, offset = decoder.raw_decode(self.text, offset)
            offset = self._skip(offset, ":")
            yield key, offset
            _, offset = (None, self._end) if self._end > offset else decoder.raw_decode(self.text, offset)
            offset = self._skip(offset, "")
            if self.text[offset] == ",":
                offset = self._skip(offset, ",")

    _end = 0  # where the list that _items walked last ends

    def _items(self, offset: int) -> Iterator[tuple[int, Any]]:
        """(offset, value) of every entry of the list that starts at `offset`."""
        decoder = JSONDecoder()
        offset = self._skip(offset, "[")
        while self.text[offset] != "]":
            value, end = decoder.raw_decode(self.text, offset)
            yield offset, value
            offset = self._skip(end, "")
            if self.text[offset] == ",":
                offset = self._skip(offset, ",")
        self._end = offset + 1

    def _skip(self, offset: int, mark: str) -> int:
        """Past blanks, the mark and more blanks."""
        offset = _past_blanks(self.text, offset)
        if not self.text.startswith(mark, offset):
            raise JSONDecodeError(f"{mark} is missing", self.text, offset)
        return _past_blanks(self.text, offset + len(mark))


def _past_blanks(text: str, offset: int) -> int:
    match = _BLANK.match(text, offset)
    return match.end() if match else offset


def _entries(
    parts: dict[str, list[tuple[int, Any]]], part: str, keys: tuple[str, ...], path: Path
) -> Iterator[tuple[int, dict[str, Any]]]:
    for line, entry in parts[part]:
        if not isinstance(entry, dict) or any(key not in entry for key in keys):
            raise DataError(f'{path}:{line}: an entry of "{part}" has no {" or no ".join(keys)}')
        yield line, entry


def _box(entry: Any, line: int, categories: dict[Any, str], images: dict[Any, Any]) -> Entry | tuple[str, str]:
    """The box of an annotation, or (kind, text) of what is wrong with it."""
    if not isinstance(entry, dict):
        return kinds.BAD_LABEL, "it is no object"
    if entry.get("image_id") not in images:
        return kinds.NO_IMAGE, f"no image has the id {entry.get('image_id')}"
    if entry.get("category_id") not in categories:
        return kinds.NO_CLASS, f"no category has the id {entry.get('category_id')}"
    box = entry.get("bbox")
    if not isinstance(box, list) or len(box) != 4:
        return kinds.COLUMNS, "bbox has not four numbers"
    if not all(isinstance(value, (int, float)) for value in box):
        return kinds.NUMBER, "bbox holds something that is no number"
    x, y, width, height = map(float, box)
    return Entry(categories[entry["category_id"]], (0.0, 0.0, 0.0, x, y, x + width, y + height, *_UNKNOWN), line)


def _id(entry: Any) -> Any:
    return entry.get("id") if isinstance(entry, dict) else entry
