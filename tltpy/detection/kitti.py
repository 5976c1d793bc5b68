"""KITTI's layout: a folder of images, a folder of text files with one row of 15 columns for each object."""

import json
import math
from pathlib import Path
from typing import Any

from tltpy.data import images
from tltpy.detection import findings as kinds
from tltpy.detection import partition
from tltpy.detection.findings import Finding
from tltpy.detection.frames import Frame, Labels, Source, list_files, read_text, root_folder, unreadable_label
from tltpy.errors import DataError

NUM_COLUMNS = 15
MIN_COLUMNS = 9
"""Fewest columns of a row when label files are read without conversion; what is missing is 0."""


def open_source(config: Any) -> Source:
    """Lists what a KITTIConfig names; DataError when a folder is missing or holds no image."""
    root = root_folder(config.root_directory_path)
    image_dir, label_dir = root / config.image_dir_name, root / config.label_dir_name
    extension = config.image_extension if config.image_extension.startswith(".") else f".{config.image_extension}"
    names = list_files(image_dir, [extension])
    labels = list_files(label_dir, [".txt"])
    if not names:
        raise DataError(
            f"{image_dir}: no image with the extension {extension}",
            f"image_extension names it; the folder holds {_present(image_dir)}",
        )
    frames = {
        f"{config.image_dir_name}/{Path(name).stem}": Frame(
            f"{config.image_dir_name}/{Path(name).stem}", image_dir / name, label_dir / f"{Path(name).stem}.txt"
        )
        for name in names
    }
    stems = {Path(name).stem for name in names}
    lone = [name for name in labels if Path(name).stem not in stems]
    findings = [Finding(kinds.LONE_LABEL, str(label_dir / name), 0, "no image belongs to this label") for name in lone]
    if config.partition_mode == "sequence":
        partitions = _by_sequence(config, root, frames, findings)
    else:
        partitions = partition.split_by_share(list(frames.values()), config.val_split)
    shards = (config.num_shards,) * len(partitions)
    return Source(tuple(map(tuple, partitions)), read_labels, shards, config.num_partitions, tuple(findings))


def read_labels(frame: Frame, size_hw: tuple[int, int]) -> Labels:
    """The rows of a label file; x1..y2 lose their fraction, as in the original converter."""
    text = read_text(frame.label_path)
    if text is None:
        return Labels(missing=True, findings=[unreadable_label(frame.label_path)])
    labels = parse(text, frame.label_path, NUM_COLUMNS, NUM_COLUMNS)
    labels.rows = [(*row[:3], *map(_whole, row[3:7]), *row[7:]) for row in labels.rows]
    return labels


def parse(text: str, path: Path, min_columns: int, max_columns: int) -> Labels:
    """The rows of a label file, numbers as they are; a row of other length, or with a word for a number, is found."""
    labels = Labels()
    for line, content in enumerate(text.splitlines(), 1):
        fields = content.split()
        if not fields:
            continue
        if not min_columns <= len(fields) <= max_columns:
            wanted = f"{min_columns}" if min_columns == max_columns else f"{min_columns} to {max_columns}"
            labels.findings.append(
                Finding(
                    kinds.COLUMNS, str(path), line, f"{len(fields)} columns instead of {wanted}; the row is skipped"
                )
            )
            continue
        try:
            numbers = tuple(map(float, fields[1:NUM_COLUMNS]))
        except ValueError as error:
            problem = str(error).removeprefix("could not convert string to float: ")
            labels.findings.append(
                Finding(kinds.NUMBER, str(path), line, f"{problem} is not a number; the row is skipped")
            )
            continue
        labels.add(fields[0], numbers + (0.0,) * (NUM_COLUMNS - 1 - len(numbers)), line)
    return labels


def _whole(value: float) -> float:
    return float(math.trunc(value)) if math.isfinite(value) else value


def _present(folder: Path) -> str:
    found = sorted({Path(name).suffix for name in list_files(folder, images.EXTENSIONS)})
    return "images with " + " and ".join(found) if found else "no image at all"


def _by_sequence(config: Any, root: Path, frames: dict[str, Frame], findings: list[Finding]) -> list[list[Frame]]:
    path = root / config.kitti_sequence_to_frames_file
    try:
        sequences = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: kitti_sequence_to_frames_file cannot be read: {error}") from error
    if not isinstance(sequences, dict) or not all(isinstance(ids, list) for ids in sequences.values()):
        raise DataError(f"{path}: a JSON object is needed: sequence name -> list of frame ids")
    listed: dict[str, list[Frame]] = {}
    for name, ids in sequences.items():
        listed[name] = []
        for frame_id in ids:
            frame = frames.get(f"{config.image_dir_name}/{frame_id}")
            if frame is None:
                findings.append(
                    Finding(kinds.NO_IMAGE, str(path), 0, f'sequence "{name}": no image for frame "{frame_id}"')
                )
            else:
                listed[name].append(frame)
    return partition.split_by_sequence(listed, config.num_partitions)
