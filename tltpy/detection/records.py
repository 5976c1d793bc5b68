"""What one example of a detection data set is: a picture on disk and its boxes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tltpy.data import images

COLUMNS = (
    "truncation", "occlusion", "observation_angle", "x1", "y1", "x2", "y2", "h", "w", "l", "x", "y", "z", "rotation_y",
)  # fmt: skip
"""The numbers of a label row, in the order of a KITTI row; tables are float64 [N, 14] in this order."""
BOX = slice(3, 7)
UNKNOWN = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
"""A row about which only the box will be known: the numbers tlt-infer writes, too."""


@dataclass(frozen=True)
class DetectionRecord:
    """One picture and its labels; the pixels are opened on demand. Boxes are in pixels of the stored picture."""

    id: str  # image folder / file name without extension
    image_path: Path
    size_hw: tuple[int, int] | None
    class_names: tuple[str, ...]  # as in the labels, in lower case
    boxes_xyxy: np.ndarray  # float32 [N, 4]
    truncation: np.ndarray  # float32 [N], 0 (whole) .. 1
    occlusion: np.ndarray  # int64 [N], 0: fully visible; other than 0 counts as difficult
    observation_angle: np.ndarray  # float32 [N], radians
    dims_hwl: np.ndarray  # float32 [N, 3], metres
    location_xyz: np.ndarray  # float32 [N, 3], metres, camera frame
    rotation_y: np.ndarray  # float32 [N], radians
    pixels: np.ndarray | None = None  # uint8 [H, W, 3] BGR of a made-up record, which has no file

    def image(self) -> np.ndarray:
        """uint8 [H, W, 3] BGR; DataError when the file cannot be read."""
        return images.read(self.image_path) if self.pixels is None else self.pixels


def make_record(
    *,
    id: str,
    image_path: str | Path = "",
    size_hw: tuple[int, int] | None = None,
    class_names: Sequence[str] = (),
    boxes_xyxy: np.ndarray | Sequence[Sequence[float]] = (),
    occlusion: np.ndarray | Sequence[int] | None = None,
    truncation: np.ndarray | Sequence[float] | None = None,
    pixels: np.ndarray | None = None,
) -> DetectionRecord:
    """A record of which only the 2-D part is known; the rest is 0."""
    table = np.tile(np.array(UNKNOWN), (len(class_names), 1))
    table[:, BOX] = np.asarray(boxes_xyxy, np.float64).reshape(-1, 4)  # [N, 4]
    if truncation is not None:
        table[:, 0] = truncation
    if occlusion is not None:
        table[:, 1] = occlusion
    return record_from_table(
        id=id, image_path=Path(image_path), size_hw=size_hw, class_names=class_names, table=table, pixels=pixels
    )


def record_from_table(
    *,
    id: str,
    image_path: Path,
    size_hw: tuple[int, int] | None,
    class_names: Sequence[str],
    table: np.ndarray,
    pixels: np.ndarray | None = None,
) -> DetectionRecord:
    """A record from label rows: `table` is [N, 14] with the columns of COLUMNS."""
    numbers = np.ascontiguousarray(table.astype(np.float32).T)  # [14, N]
    return DetectionRecord(
        id=id,
        image_path=image_path,
        size_hw=size_hw,
        class_names=tuple(name.lower() for name in class_names),
        boxes_xyxy=np.ascontiguousarray(numbers[BOX].T),
        truncation=numbers[0],
        occlusion=table[:, 1].astype(np.int64),
        observation_angle=numbers[2],
        dims_hwl=np.ascontiguousarray(numbers[7:10].T),
        location_xyz=np.ascontiguousarray(numbers[10:13].T),
        rotation_y=numbers[13],
        pixels=pixels,
    )


def table_from_record(record: DetectionRecord) -> np.ndarray:
    """float64 [N, 14] with the columns of COLUMNS: the other way."""
    columns = (record.truncation, record.occlusion, record.observation_angle, *record.boxes_xyxy.T)
    return np.stack([*columns, *record.dims_hwl.T, *record.location_xyz.T, record.rotation_y], axis=1, dtype=np.float64)


def select(record: DetectionRecord, kept: np.ndarray) -> DetectionRecord:
    """The record with only the boxes of the bool mask [N]."""
    if kept.all():
        return record
    return DetectionRecord(
        id=record.id,
        image_path=record.image_path,
        size_hw=record.size_hw,
        class_names=tuple(np.array(record.class_names, object)[kept]),
        boxes_xyxy=record.boxes_xyxy[kept],
        truncation=record.truncation[kept],
        occlusion=record.occlusion[kept],
        observation_angle=record.observation_angle[kept],
        dims_hwl=record.dims_hwl[kept],
        location_xyz=record.location_xyz[kept],
        rotation_y=record.rotation_y[kept],
        pixels=record.pixels,
    )
