"""The layout of the YOLO family: images/..., and labels/... with rows `class cx cy w h` in shares of the picture.

The label of images/a/b.jpg is labels/a/b.txt; where no folder is called images, it lies beside the picture. A picture
without a label file is one without objects there, and is kept as such (but reported). Boxes keep their fraction.
"""

import ast
import re
from functools import partial
from pathlib import Path
from typing import Any

from tltpy.data import images
from tltpy.detection import findings as kinds
from tltpy.detection.findings import Finding
from tltpy.detection.frames import Frame, Labels, Source, list_files, read_text, root_folder, unreadable_label
from tltpy.errors import DataError

_ENTRY = re.compile(r"\s+(?:-|(\d+)\s*:)\s*(.+)")
_UNKNOWN = (0.0,) * 7


def open_source(config: Any) -> Source:
    """Lists what a YOLOTxtConfig names; DataError when a folder or the class names are missing or there is no image."""
    root = root_folder(config.root_directory_path)
    names = read_class_names(root / config.class_names_file)
    findings: list[Finding] = []
    partitions = [
        _list_frames(root, Path(folder), findings) for folder in (config.validation_images, config.training_images)
    ]
    if not any(partitions):
        raise DataError(f"{root}: no image in {config.validation_images} and {config.training_images}")
    return Source(tuple(partitions), partial(read_labels, names), (config.num_shards,) * 2, 2, tuple(findings))


def read_class_names(path: Path) -> tuple[str, ...]:
    """The class names in the order of their numbers, from a file with one a line or from `names` of a data.yaml."""
    text = read_text(path)
    if text is None:
        raise DataError(f"{path}: the class names cannot be read", "class_names_file names a text file, or a data.yaml")
    names = (
        _names_of_yaml(text)
        if path.suffix in (".yaml", ".yml")
        else [line.strip() for line in text.splitlines() if line.strip()]
    )
    if not names:
        raise DataError(f"{path}: the file names no class")
    return tuple(names)


def read_labels(names: tuple[str, ...], frame: Frame, size_hw: tuple[int, int]) -> Labels:
    """The rows of a label file, in pixels; a row of other length, or of a class without a name, is found."""
    if not frame.label_path.exists():
        text = "no such label file; its picture is taken as one without objects"
        return Labels(findings=[Finding(kinds.NO_LABEL, str(frame.label_path), 0, text)])
    content = read_text(frame.label_path)
    if content is None:
        return Labels(missing=True, findings=[unreadable_label(frame.label_path)])
    labels = Labels()
    for line, row in enumerate(content.splitlines(), 1):
        if row.strip():
            _add(labels, names, str(frame.label_path), line, row.split(), size_hw)
    return labels


def _add(
    labels: Labels, names: tuple[str, ...], path: str, line: int, fields: list[str], size_hw: tuple[int, int]
) -> None:
    if len(fields) != 5:
        labels.findings.append(
            Finding(kinds.COLUMNS, path, line, f"{len(fields)} columns instead of 5; the row is skipped")
        )
        return
    try:
        number = int(fields[0])
        cx, cy, w, h = map(float, fields[1:])
    except ValueError:
        labels.findings.append(Finding(kinds.NUMBER, path, line, "a column is not a number; the row is skipped"))
        return
    if not 0 <= number < len(names):
        text = f"class {number} has no name: there are {len(names)}, counted from 0; the row is skipped"
        labels.findings.append(Finding(kinds.NO_CLASS, path, line, text))
        return
    height, width = size_hw
    box = ((cx - w / 2) * width, (cy - h / 2) * height, (cx + w / 2) * width, (cy + h / 2) * height)
    labels.add(names[number], (0.0, 0.0, 0.0, *box, *_UNKNOWN), line)


def _list_frames(root: Path, folder: Path, findings: list[Finding]) -> tuple[Frame, ...]:
    label_dir = root / _label_folder(folder)
    names = list_files(root / folder, images.EXTENSIONS)
    if not names:
        findings.append(Finding(kinds.EMPTY, str(root / folder), 0, "the folder holds no image"))
    stems = {Path(name).stem for name in names}
    if label_dir.is_dir():
        for name in list_files(label_dir, [".txt"]):
            if Path(name).stem not in stems and label_dir / name != root / "classes.txt":
                findings.append(Finding(kinds.LONE_LABEL, str(label_dir / name), 0, "no image belongs to this label"))
    return tuple(
        Frame((folder / Path(name).stem).as_posix(), root / folder / name, label_dir / f"{Path(name).stem}.txt")
        for name in names
    )


def _label_folder(folder: Path) -> Path:
    parts = list(folder.parts)
    if "images" in parts:
        parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
    return Path(*parts)


def _names_of_yaml(text: str) -> list[str]:
    """`names` as a list or a map, in one line or in many: what data.yaml files hold; no other YAML is read."""
    lines = text.splitlines()
    start = next((index for index, line in enumerate(lines) if line.startswith("names:")), None)
    if start is None:
        return []
    inline = lines[start].removeprefix("names:").split("#")[0].strip()
    if inline:
        return _inline_names(inline)
    numbered: list[tuple[int, str]] = []
    for line in lines[start + 1 :]:
        match = _ENTRY.match(line if line[:1] != "-" else f" {line}")
        if match is None:
            if line.strip() and not line.lstrip().startswith("#"):
                break
            continue
        numbered.append((int(match[1]) if match[1] else len(numbered), match[2].split(" #")[0].strip().strip("'\"")))
    return [name for _, name in sorted(numbered)]


def _inline_names(inline: str) -> list[str]:
    try:
        value = ast.literal_eval(inline)
    except (ValueError, SyntaxError):
        value = [word.strip().strip("'\"") for word in inline.strip("[]").split(",") if word.strip()]
    return [str(value[key]) for key in sorted(value)] if isinstance(value, dict) else [str(name) for name in value]
