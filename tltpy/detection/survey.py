"""A first look at the data that a dataset_config names: what is missing, and which classes the labels hold.

No picture is opened and neither numpy nor OpenCV is loaded: the look takes a part of a second. Every label is read only
when `everything` is asked for, else a sample that is spread over all files.
"""

import glob
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from tltpy.data import tfrecord
from tltpy.data.example_pb2 import Example
from tltpy.data.extensions import PICTURES
from tltpy.detection.classes import class_ids, classes, normal
from tltpy.errors import DataError

SAMPLE = 1000  # records
FILE_COST = 2  # a label file takes the time of so many records
SAMPLE_BYTES = 2**25  # of a JSON file; a larger one is read with `everything` only
MIN_COLUMNS = 9
FOLD = re.compile(r"fold-(\d{3})-of-")


@dataclass(frozen=True)
class Fault:
    """`path` is that of the field to blame: dataset_config.data_sources[0].tfrecords_path."""

    path: str
    message: str
    hints: tuple[str, ...] = ()
    warning: bool = False


@dataclass
class _Look:
    """What was seen of one split."""

    everything: bool
    faults: list[Fault] = field(default_factory=list)
    objects: Counter[str] = field(default_factory=Counter)
    seen: int = 0  # records and label files
    partial: bool = False

    def fault(self, path: str, message: str, *hints: str, warning: bool = False) -> None:
        self.faults.append(Fault(path, message, hints, warning))

    def count(self, names: Iterable[str]) -> None:
        self.seen += 1
        self.objects.update(names)


def survey(config: Any, *, everything: bool = False) -> list[Fault]:
    """What a training by this dataset_config would stumble over, or pass over in silence."""
    path = "dataset_config"
    validation = [(f"{path}.validation_data_sources[{i}]", s) for i, s in enumerate(config.validation_data_sources)]
    if config.HasField("validation_data_source"):
        validation.append((f"{path}.validation_data_source", config.validation_data_source))
    training = [(f"{path}.data_sources[{i}]", source) for i, source in enumerate(config.data_sources)]
    fold = None if validation else config.validation_fold
    found: list[Fault] = []
    for split, sources in (("training", training), ("validation", validation)):
        look = _Look(everything)
        for place, source in sources:
            _source(look, config, source, place, fold)
        if look.seen and not any(not fault.warning for fault in look.faults):
            _mapping(look, config, split if validation else "labelled")
        found += look.faults
    return found


def _source(look: _Look, config: Any, source: Any, place: str, fold: int | None) -> None:
    images = Path(os.path.join(source.root_path, source.image_directory_path))
    folder = images.is_dir()
    if not folder:
        look.fault(f"{place}.image_directory_path", f"{images}: no such folder")
    labels = Path(os.path.join(source.root_path, source.tfrecords_path or source.label_directory_path))
    if source.WhichOneof("labels_format") == "tfrecords_path":
        _shards(look, config, str(labels), f"{place}.tfrecords_path", images if folder else None, fold)
    elif config.type == "coco":
        _document(look, labels, f"{place}.label_directory_path")
    elif not labels.is_dir():
        look.fault(f"{place}.label_directory_path", f"{labels}: no such folder")
    elif folder:
        _pairs(look, labels, images, f"{place}.label_directory_path")


def _shards(look: _Look, config: Any, pattern: str, place: str, images: Path | None, fold: int | None) -> None:
    shards = [path for path in map(Path, sorted(glob.glob(pattern))) if path.is_file()]
    shards = [path for path in shards if not path.name.endswith("_warning.json")]
    if not shards:
        return look.fault(place, f"{pattern}: matches no file", *_nearby(pattern))
    if fold is not None:
        _folds(look, shards, pattern, place, fold)
    share = None if look.everything else max(SAMPLE // len(shards), 1)
    first = ""
    try:
        for shard in shards:
            number = -1
            for number, payload in enumerate(islice(tfrecord.read(shard), share)):
                frame, names = _example(payload, f"{shard}: record {number}")
                first = first or frame
                look.count(names)
            look.partial |= share is not None and number + 1 == share
    except DataError as error:
        return look.fault(place, error.message, *error.hints)
    if not first:
        look.fault(place, f"{pattern}: the shards hold no record", "val_split of the conversion decides their number")
    elif images is not None and not _has_picture(images / f"{first}.{config.image_extension.lstrip('.')}"):
        hint = "image_directory_path is the folder that frame ids such as image_2/000001 are relative to"
        message = f"{images / first}: the first record's picture is missing"
        look.fault(place.replace("tfrecords_path", "image_directory_path"), message, hint)
    return None


def _folds(look: _Look, shards: Sequence[Path], pattern: str, place: str, fold: int) -> None:
    """Both splits must be left with a shard."""
    folds = [{int(number) for number in FOLD.findall(path.name)} for path in shards]
    known = sorted(set().union(*folds))
    have = f"the shards are of fold {', '.join(map(str, known))}" if known else "the shards are of no fold at all"
    for split, left in (("validation", any(fold in each for each in folds)), ("training", {fold} != set(known))):
        if not left:
            look.fault(place, f"{pattern}: no shard is left for {split} with validation_fold {fold}", have)


def _pairs(look: _Look, labels: Path, images: Path, place: str) -> None:
    """A folder of label files beside a folder of pictures, paired by their stems."""
    pictures = {os.path.splitext(name)[0] for name in _names(images, PICTURES)}
    files = sorted(os.path.splitext(name)[0] for name in _names(labels, (".txt",)))
    paired = [stem for stem in files if stem in pictures]
    if not paired:
        hint = f"{images} holds {len(pictures)} pictures, {labels} {len(files)} label files; they are paired by name"
        return look.fault(place, f"{labels}: no label file belongs to a picture of {images}", hint)
    if len(paired) < len(pictures):
        look.fault(place, f"{len(pictures) - len(paired)} of {len(pictures)} pictures have no label", warning=True)
    if len(paired) < len(files):
        lone = next(stem for stem in files if stem not in pictures)
        message = f"{len(files) - len(paired)} label files belong to no picture, the first is {lone}.txt"
        look.fault(place, message, warning=True)
    step = 1 if look.everything else -(-len(paired) * FILE_COST // SAMPLE)
    look.partial |= step > 1
    short = 0
    for stem in paired[::step]:
        rows = [line.split() for line in _text(labels / f"{stem}.txt").splitlines() if line.strip()]
        look.count(row[0] for row in rows if len(row) >= MIN_COLUMNS)
        short += sum(len(row) < MIN_COLUMNS for row in rows)
    if short:
        look.fault(place, f"{short} rows have less than {MIN_COLUMNS} columns and are skipped", warning=True)
    return None


def _document(look: _Look, path: Path, place: str) -> None:
    """COCO's JSON file of images, categories and annotations."""
    if not path.is_file():
        return look.fault(place, f"{path}: no such file", 'with type: "coco" it is the JSON file of the annotations')
    if path.stat().st_size > SAMPLE_BYTES and not look.everything:
        look.partial = True
        return None
    try:
        content = json.loads(path.read_bytes())
        names = {entry["id"]: str(entry["name"]) for entry in content["categories"]}
        look.seen += len(content["images"])
        look.objects.update(names.get(entry["category_id"], "?") for entry in content["annotations"])
    except (ValueError, LookupError, TypeError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else str(error)
        look.fault(place, f"{path}: no JSON file as COCO has them: {what}")
    return None


def _mapping(look: _Look, config: Any, split: str) -> None:
    path = "dataset_config.target_class_mapping"
    where = f"the {split} data" + (f" (a sample: {look.seen} records or files)" if look.partial else "")
    ids = class_ids(config)
    found = {normal(name) for name in look.objects}
    if not found & set(ids):
        held = ", ".join(sorted(look.objects)) or "no box at all"
        # a class may well be absent from a sample, but hardly all of them
        return look.fault(path, f"no key matches a box of {where}", f"the labels hold {held}")
    trained = {ids[name] for name in found & set(ids)}
    for key in sorted(config.target_class_mapping):
        if normal(key) not in found:
            name = classes(config)[ids[normal(key)]]
            lost = "" if ids[normal(key)] in trained else f', class "{name}" has no box'
            look.fault(f'{path}["{key}"]', f'the key "{key}" matches no label of {where}{lost}', warning=True)
    unmapped = sorted(name for name in look.objects if normal(name) not in ids)
    if unmapped:
        count = sum(look.objects[name] for name in unmapped)
        message = f"{count} boxes of {where} have no key and are not used: {', '.join(unmapped)}"
        look.fault(path, message, warning=True)
    return None


def _example(payload: bytes, place: str) -> tuple[str, list[str]]:
    """The frame's id and the classes of its boxes."""
    from google.protobuf.message import DecodeError

    try:
        feature = Example.FromString(payload).features.feature
    except DecodeError as error:
        raise DataError(f"{place} is no tf.train.Example", "tlt-dataset-convert writes what is read here") from error
    frame = feature["frame/id"].bytes_list.value
    if not frame or "target/object_class" not in feature:
        raise DataError(f"{place} has no frame/id or no target/object_class", "tlt-dataset-convert writes both")
    names = [name.decode("utf-8", "replace") for name in feature["target/object_class"].bytes_list.value]
    return frame[0].decode("utf-8", "replace"), names


def _has_picture(path: Path) -> bool:
    """With its own extension or another that is known."""
    stem = os.path.splitext(path)[0]
    return path.exists() or any(os.path.splitext(name)[0] == Path(stem).name for name in _names(path.parent, PICTURES))


def _names(folder: Path, extensions: Sequence[str]) -> list[str]:
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    return [name for name in names if os.path.splitext(name)[1].lower() in extensions]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError:
        return ""


def _nearby(pattern: str) -> tuple[str, ...]:
    """Which part of a pattern's path is there."""
    folder = Path(pattern).parent
    missing = next((part for part in reversed([folder, *folder.parents]) if not part.exists()), None)
    if missing is not None and not glob.has_magic(str(missing)):
        return (f"there is no folder {missing}",)
    return ("tlt-dataset-convert writes <prefix>-fold-...; name <prefix>*",)


