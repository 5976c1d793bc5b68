"""The reader of each layout that a DatasetExportConfig can name."""

from typing import Any

from tltpy.detection import coco, kitti, voc, yolo_txt
from tltpy.detection.frames import Source, root_path

READERS = {
    "kitti_config": kitti.open_source,
    "coco_config": coco.open_source,
    "voc_config": voc.open_source,
    "yolo_txt_config": yolo_txt.open_source,
}


def open_source(config: Any) -> Source:
    """Lists the data set that a DatasetExportConfig names; DataError when it is not there."""
    layout = config.WhichOneof("convert_config_type")
    return READERS[layout](getattr(config, layout))


def misplaced(config: Any, source: Source) -> str:
    """Why a training that takes its pictures from image_directory_path, as the config says, would not find them; ""
    where it would."""
    frame = next((frame for frames in source.partitions for frame in frames), None)
    if not config.image_directory_path or frame is None:
        return ""
    folder = root_path(config.image_directory_path)
    place = folder / f"{frame.id}{frame.image_path.suffix}"
    if place.exists():
        return ""
    return f"a training spec with the image_directory_path {folder} would not find {place}"
