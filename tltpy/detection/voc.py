"""Pascal VOC's layout: JPEGImages, Annotations/*.xml and the lists ImageSets/Main/*.txt.

"difficult" becomes occlusion 1 (that counts as difficult), "truncated" truncation 1; coordinates are taken as they are.
"""

from pathlib import Path
from typing import Any
from xml.parsers import expat

from tltpy.data import images
from tltpy.detection import findings as kinds
from tltpy.detection.findings import Finding
from tltpy.detection.frames import Frame, Labels, Source, list_files, root_folder, unreadable_label
from tltpy.errors import DataError

_OBJECT = ["annotation", "object"]
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def open_source(config: Any) -> Source:
    """Lists what a VOCConfig names; DataError when a folder or a list is missing or both lists are empty."""
    root = root_folder(config.root_directory_path)
    findings: list[Finding] = []
    present = list_files(root / config.image_dir_name, images.EXTENSIONS)
    by_stem = {Path(name).stem: name for name in present}
    partitions = []
    for name in (config.validation_set, config.training_set):
        path = root / "ImageSets" / "Main" / f"{name}.txt"
        partitions.append(tuple(_frame(root, config, stem, by_stem) for stem in _read_list(path)))
        if not partitions[-1]:
            findings.append(Finding(kinds.EMPTY, str(path), 0, "the list names no image"))
    if not any(partitions):
        raise DataError(f"{root / 'ImageSets' / 'Main'}: the lists of training and validation images are empty")
    return Source(tuple(partitions), read_labels, (config.num_shards,) * 2, 2, tuple(findings))


def read_labels(frame: Frame, size_hw: tuple[int, int]) -> Labels:
    """The objects of an XML file; those without a name or a whole box are found."""
    try:
        text = frame.label_path.read_bytes()
    except OSError:
        return Labels(missing=True, findings=[unreadable_label(frame.label_path)])
    try:
        objects = _parse(text)
    except expat.ExpatError as error:
        finding = Finding(
            kinds.BAD_LABEL, str(frame.label_path), error.lineno,
            f"no XML: {expat.ErrorString(error.code)}; its picture is left out",
        )  # fmt: skip
        return Labels(missing=True, findings=[finding])
    labels = Labels()
    for line, fields in objects:
        _add(labels, frame.label_path, line, fields)
    return labels


def _frame(root: Path, config: Any, stem: str, by_stem: dict[str, str]) -> Frame:
    folder = config.image_dir_name
    name = stem + config.image_extension
    if not (root / folder / name).exists():
        name = by_stem.get(stem, name)
    return Frame(f"{folder}/{stem}", root / folder / name, root / config.annotation_dir_name / f"{stem}.xml")


def _read_list(path: Path) -> list[str]:
    """The first word of every line: lists of one class have a second column."""
    try:
        return [line.split()[0] for line in path.read_text().splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: the list of images cannot be read: {error}", "validation_set and training_set name it"
        ) from error


def _parse(text: bytes) -> list[tuple[int, dict[str, str]]]:
    """(line, fields) of every object; a part of an object (a head, a hand) is no object."""
    parser = expat.ParserCreate()
    parser.buffer_text = True
    stack: list[str] = []
    objects: list[tuple[int, dict[str, str]]] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        stack.append(name)
        if stack == _OBJECT:
            objects.append((parser.CurrentLineNumber, {}))

    def end(name: str) -> None:
        stack.pop()

    def data(content: str) -> None:
        if stack[:2] == _OBJECT and (len(stack) == 3 or (len(stack) == 4 and stack[2] == "bndbox")):
            objects[-1][1][stack[-1]] = objects[-1][1].get(stack[-1], "") + content.strip()

    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, data
    parser.Parse(text, True)
    return objects


def _add(labels: Labels, path: Path, line: int, fields: dict[str, str]) -> None:
    missing = [key for key in ("name", *_CORNERS) if not fields.get(key)]
    if missing:
        labels.findings.append(
            Finding(kinds.COLUMNS, str(path), line, f"the object has no {' and no '.join(missing)}; it is skipped")
        )
        return
    try:
        box = [float(fields[key]) for key in _CORNERS]
        difficult, truncated = (float(fields.get(key) or 0) for key in ("difficult", "truncated"))
    except ValueError as error:
        problem = str(error).removeprefix("could not convert string to float: ")
        labels.findings.append(
            Finding(kinds.NUMBER, str(path), line, f"{problem} is not a number; the object is skipped")
        )
        return
    labels.add(fields["name"], (truncated, difficult, 0.0, *box, *(0.0,) * 7), line)
