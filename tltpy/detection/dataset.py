"""The examples that a training spec names, as one sequence: TFRecord shards or label folders, one source or several.

All labels are read at the start and kept, so access at random is cheap; the records open their pixels on demand.
"""

import glob
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, overload

import numpy as np

from tltpy.data import images, tfrecord
from tltpy.detection import classes, coco, kitti, partition
from tltpy.detection import findings as kinds
from tltpy.detection.examples import Place, bytes_to_record
from tltpy.detection.findings import Finding, count_kinds
from tltpy.detection.frames import list_files, read_frame, read_text
from tltpy.detection.records import BOX, COLUMNS, DetectionRecord, record_from_table, select
from tltpy.errors import DataError

USER_DEFINED, PROPORTIONAL, UNIFORM = range(3)
_FOLD = re.compile(r"fold-\d{3}-of-")


@dataclass(frozen=True)
class Part:
    """The examples of one source: dataset[start : start + length]."""

    name: str
    start: int
    length: int
    share: float  # of the examples to draw, all parts together 1


class Dataset(Sequence[DetectionRecord]):
    """The records of one split, source after source. `warnings` are texts for the log."""

    def __init__(
        self, records: Sequence[DetectionRecord], *, parts: Sequence[Part], warnings: Sequence[str] = ()
    ) -> None:
        self._records = tuple(records)
        self.parts = tuple(parts)
        self.warnings = tuple(warnings)

    def __len__(self) -> int:
        return len(self._records)

    @overload
    def __getitem__(self, index: int) -> DetectionRecord: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[DetectionRecord]: ...

    def __getitem__(self, index: int | slice) -> DetectionRecord | Sequence[DetectionRecord]:
        return self._records[index]

    def weights(self) -> np.ndarray | None:
        """float64 [len], the sum is 1: how often each example is to be drawn; None where all are drawn alike."""
        shares = [part.share / part.length for part in self.parts]
        if np.allclose(shares, 1 / max(len(self), 1)):
            return None
        return np.repeat(shares, [part.length for part in self.parts])


def read(dataset_config: Any, split: str, *, min_box_px: float = 1.0) -> Dataset:
    """The "training" or "validation" examples; boxes narrower or lower than `min_box_px` are left out.

    DataError when a path, a fold, a picture or every box of the trained classes is missing.
    """
    sources, fold = _sources(dataset_config, split)
    lists: list[list[DetectionRecord]] = []
    warnings: list[str] = []
    for source in sources:
        found = _read_source(dataset_config, source, split, fold, warnings)
        lists.append([_without_specks(record, min_box_px) for record in found])
    records = [record for found in lists for record in found]
    warnings += classes.check_mapping(classes.summary(records), dataset_config, split)
    return Dataset(records, parts=_parts(dataset_config, sources, lists), warnings=warnings)


def _sources(config: Any, split: str) -> tuple[list[Any], int | None]:
    """The sources of a split, and the fold that parts training from validation where one source serves both."""
    validation = list(config.validation_data_sources)
    if config.HasField("validation_data_source"):
        validation.append(config.validation_data_source)
    if split == "training":
        return list(config.data_sources), None if validation else config.validation_fold
    return (validation, None) if validation else (list(config.data_sources), config.validation_fold)


def _parts(config: Any, sources: Sequence[Any], lists: Sequence[Sequence[DetectionRecord]]) -> list[Part]:
    lengths = [len(found) for found in lists]
    weights = {
        USER_DEFINED: [source.source_weight for source in sources],
        UNIFORM: [1.0] * len(sources),
    }.get(config.sampling_mode, [float(length) for length in lengths])
    total = sum(weights)
    starts = np.cumsum([0, *lengths]).tolist()
    return [
        Part(_labels_path(source), start, length, weight / total)
        for source, start, length, weight in zip(sources, starts, lengths, weights, strict=False)
    ]


def _read_source(config: Any, source: Any, split: str, fold: int | None, warnings: list[str]) -> list[DetectionRecord]:
    if source.WhichOneof("labels_format") == "tfrecords_path":
        shards = _shards(source, split, fold)
        return _read_shards(shards, _image_dir(source), config.image_extension)
    if fold is not None:
        raise DataError(
            f"{_labels_path(source)}: a label folder has no folds to validate on",
            "name validation_data_sources, or convert the data set with tlt-dataset-convert",
        )
    findings: list[Finding] = []
    if config.type == "coco":
        records = _read_coco(Path(_labels_path(source)), _image_dir(source), findings)
    else:
        records = _read_folder(Path(_labels_path(source)), _image_dir(source), findings)
    if findings:
        counts = ", ".join(f"{kind}: {count}" for kind, count in count_kinds(findings).items())
        warnings.append(f"{findings[0]} (the first of {len(findings)} findings: {counts})")
    return records


def _shards(source: Any, split: str, fold: int | None) -> list[Path]:
    pattern = _labels_path(source)
    shards = [Path(name) for name in sorted(glob.glob(pattern)) if not name.endswith("_warning.json")]
    shards = [path for path in shards if path.is_file()]
    if not shards:
        raise DataError(
            f"{pattern}: tfrecords_path matches no file", "tlt-dataset-convert writes <prefix>-fold-...; name <prefix>*"
        )
    _refuse_unfinished(shards)
    if fold is None:
        return shards
    mark = f"fold-{fold:03d}-of-"
    chosen = [path for path in shards if (mark in path.name) == (split == "validation")]
    if not chosen:
        folds = sorted({match[0] for path in shards for match in _FOLD.finditer(path.name)})
        raise DataError(
            f"{pattern}: no shard is left for {split} with validation_fold {fold}",
            "the shards are of " + (", ".join(name.removesuffix("-of-") for name in folds) or "no fold at all"),
        )
    return chosen


def _refuse_unfinished(shards: Sequence[Path]) -> None:
    """DataError where a conversion was killed while it put its shards in place: some are missing or of another run."""
    for path in shards:
        prefix = partition.prefix_of(path.name)
        if path.with_name(partition.unfinished(prefix)).exists():
            raise DataError(
                f"{path.with_name(prefix)}*: the conversion was cut off while it put these shards in place",
                "run tlt-dataset-convert again, with the same command",
            )


def _read_shards(shards: Iterable[Path], image_dir: Path, extension: str) -> list[DetectionRecord]:
    shards = list(shards)
    records = [
        bytes_to_record(payload, Place(path, number))
        for path in shards
        for number, payload in enumerate(tfrecord.read(path))
    ]
    if not records:
        raise DataError(
            f"{shards[0]}: the shards hold no record", "the converter's val_split decides how many each fold gets"
        )
    folders: dict[Path, dict[str, str]] = {}
    found = [_find_image(image_dir, record.id, extension, folders) for record in records]
    missing = [record.id for record, path in zip(records, found, strict=True) if path is None]
    if missing:
        raise DataError(
            f"{image_dir / missing[0]}.{extension.lstrip('.')}: no such picture "
            f"({len(missing)} of {len(records)} are missing)",
            "image_directory_path is the folder that frame ids such as image_2/000001 are relative to",
        )
    return [replace(record, image_path=path) for record, path in zip(records, found, strict=True) if path is not None]


def _find_image(image_dir: Path, frame_id: str, extension: str, folders: dict[Path, dict[str, str]]) -> Path | None:
    """The picture of a frame: with the extension asked for, else with another that is known, in any case."""
    wanted = image_dir / f"{frame_id}.{extension.lstrip('.')}"
    if wanted.parent not in folders:
        names = list_files(wanted.parent, images.EXTENSIONS)
        folders[wanted.parent] = {os.path.splitext(name)[0]: name for name in names} | {name: name for name in names}
    names_by_stem = folders[wanted.parent]
    name = names_by_stem.get(wanted.name) or names_by_stem.get(frame_id.rsplit("/", 1)[-1])
    if name is None:
        return wanted if wanted.exists() else None
    return wanted.parent / name


def _read_folder(label_dir: Path, image_dir: Path, findings: list[Finding]) -> list[DetectionRecord]:
    """Pictures paired with label files by stem; rows with nine columns or more."""
    labels = {Path(name).stem for name in list_files(label_dir, [".txt"])}
    records = []
    for name in list_files(image_dir, images.EXTENSIONS):
        stem = Path(name).stem
        path = label_dir / f"{stem}.txt"
        text = read_text(path) if stem in labels else None
        labels.discard(stem)
        if text is None:
            findings.append(Finding(kinds.NO_LABEL, str(path), 0, f"no label that can be read; {name} is left out"))
            continue
        rows = kitti.parse(text, path, kitti.MIN_COLUMNS, 1 << 30)
        findings.extend(rows.findings)
        table = np.array(rows.rows, np.float64).reshape(-1, len(COLUMNS))  # [N, 14]
        record = record_from_table(
            id=f"{image_dir.name}/{stem}",
            image_path=image_dir / name,
            size_hw=None,
            class_names=rows.class_names,
            table=table,
        )
        kept = np.isfinite(table).all(1) & (table[:, 3] < table[:, 5]) & (table[:, 4] < table[:, 6])
        for index in np.flatnonzero(~kept):
            box = ", ".join(f"{value:g}" for value in table[index, BOX])
            findings.append(Finding(kinds.DEGENERATE, str(path), rows.lines[index], f"degenerate box ({box}); skipped"))
        records.append(select(record, kept))
    findings.extend(
        Finding(kinds.LONE_LABEL, str(label_dir / f"{stem}.txt"), 0, "no image belongs to this label")
        for stem in sorted(labels)
    )
    if not records:
        raise DataError(
            f"{image_dir}: no picture has a label in {label_dir}", "pictures and labels are paired by their names"
        )
    return records


def _read_coco(path: Path, image_dir: Path, findings: list[Finding]) -> list[DetectionRecord]:
    records = []
    for frame in coco.list_frames(path, image_dir, image_dir.name, findings):
        reading = read_frame(coco.read_labels, frame, decode=False)
        findings.extend(reading.findings)
        if reading.record is not None:
            records.append(reading.record)
    if not records:
        raise DataError(f"{path}: no picture of the file can be read")
    return records


def _without_specks(record: DetectionRecord, min_box_px: float) -> DetectionRecord:
    sizes = record.boxes_xyxy[:, 2:] - record.boxes_xyxy[:, :2]
    return select(record, (sizes >= min_box_px).all(1))


def _labels_path(source: Any) -> str:
    path = source.tfrecords_path or source.label_directory_path
    if not path:
        raise DataError("a data source names neither tfrecords_path nor label_directory_path")
    return os.path.join(source.root_path, path)


def _image_dir(source: Any) -> Path:
    folder = Path(os.path.join(source.root_path, source.image_directory_path))
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder", "image_directory_path names the folder of the pictures")
    return folder
