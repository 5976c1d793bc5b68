"""The reader of each layout that a DatasetExportConfig can name."""

from typing import Any

from tltpy.detection import coco, kitti, voc, yolo_txt
from tltpy.detection.frames import Source

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
