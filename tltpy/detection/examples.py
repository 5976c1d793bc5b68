"""Records as tf.train.Example messages with the published keys. They hold paths, not pixels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from google.protobuf.message import DecodeError

from tltpy.data.example_pb2 import Example, Feature
from tltpy.detection.records import COLUMNS, DetectionRecord, record_from_table
from tltpy.errors import DataError

_FLOAT_KEYS = (
    "target/truncation", "target/observation_angle",
    "target/coordinates_x1", "target/coordinates_y1", "target/coordinates_x2", "target/coordinates_y2",
    "target/world_bbox_h", "target/world_bbox_w", "target/world_bbox_l",
    "target/world_bbox_x", "target/world_bbox_y", "target/world_bbox_z", "target/world_bbox_rot_y",
)  # fmt: skip
_FLOAT_COLUMNS = [0, *range(2, len(COLUMNS))]  # of the table; occlusion, column 1, is an integer
_CLASSES, _OCCLUSION, _ID = "target/object_class", "target/occlusion", "frame/id"
_NEEDED = (_CLASSES, "target/coordinates_x1", "target/coordinates_y1", "target/coordinates_x2", "target/coordinates_y2")


def record_to_bytes(record: DetectionRecord) -> bytes:
    """The serialized Example; the same record always gives the same bytes."""
    example = Example()
    feature = example.features.feature
    height, width = record.size_hw or (0, 0)
    feature[_ID].bytes_list.value.append(record.id.encode())
    feature["frame/height"].int64_list.value.append(height)
    feature["frame/width"].int64_list.value.append(width)
    _fill_bytes(feature[_CLASSES], record.class_names)
    occlusion = feature[_OCCLUSION].int64_list
    occlusion.SetInParent()
    occlusion.value.extend(record.occlusion.tolist())
    floats = np.column_stack(
        (
            record.truncation, record.observation_angle, record.boxes_xyxy,
            record.dims_hwl, record.location_xyz, record.rotation_y,
        )
    ).T.tolist()  # fmt: skip
    for key, values in zip(_FLOAT_KEYS, floats, strict=True):
        numbers = feature[key].float_list
        numbers.SetInParent()
        numbers.value.extend(values)
    return bytes(example.SerializeToString(deterministic=True))


@dataclass(frozen=True)
class Place:
    """Where an Example was read, for messages."""

    path: Path
    number: int

    def __str__(self) -> str:
        return f"{self.path}: record {self.number}"


def bytes_to_record(payload: bytes, place: Place) -> DetectionRecord:
    """The record of a serialized Example, its image_path still empty; DataError names a key that is missing or odd."""
    example = Example()
    try:
        example.ParseFromString(payload)
    except DecodeError as error:
        raise DataError(
            f"{place}: the record is no tf.train.Example", "tlt-dataset-convert writes what is read here"
        ) from error
    feature = example.features.feature
    missing = [key for key in (_ID, *_NEEDED) if key not in feature]
    if missing:
        raise DataError(
            f"{place}: the record has no {missing[0]}",
            "pictures with boxes are needed, with the keys that tlt-dataset-convert writes",
        )
    names = [name.decode("utf-8", "replace") for name in feature[_CLASSES].bytes_list.value]
    table = np.zeros((len(names), len(COLUMNS)))
    columns = [(_OCCLUSION, 1), *zip(_FLOAT_KEYS, _FLOAT_COLUMNS, strict=True)]
    for key, column in columns:
        values = _numbers(feature[key]) if key in feature else ()
        if len(values) not in ((len(names),) if key in _NEEDED else (0, len(names))):
            raise DataError(f"{place}: {key} holds {len(values)} numbers for {len(names)} objects")
        if len(values):
            table[:, column] = values
    frame_id = feature[_ID].bytes_list.value
    if not frame_id:
        raise DataError(f"{place}: {_ID} is empty")
    return record_from_table(
        id=frame_id[0].decode("utf-8", "replace"),
        image_path=Path(),
        size_hw=_size(_first(feature, "frame/height"), _first(feature, "frame/width")),
        class_names=names,
        table=table,
    )


def _fill_bytes(feature: Feature, names: Sequence[str]) -> None:
    feature.bytes_list.SetInParent()
    feature.bytes_list.value.extend(name.encode() for name in names)


def _numbers(feature: Feature) -> Sequence[float]:
    return feature.int64_list.value if feature.HasField("int64_list") else feature.float_list.value


def _first(feature: "dict[str, Feature]", key: str) -> int:
    values = _numbers(feature[key]) if key in feature else ()
    return int(values[0]) if values else 0


def _size(height: int, width: int) -> tuple[int, int] | None:
    return (height, width) if height > 0 and width > 0 else None
