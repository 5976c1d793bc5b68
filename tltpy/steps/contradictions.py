"""What the specs of the conversion and of the augmentation say against themselves; loads no library."""

from pathlib import PurePosixPath

from tltpy.data.extensions import WRITABLE
from tltpy.spec.augment_pb2 import AugmentConfig
from tltpy.spec.detection_pb2 import DatasetExportConfig
from tltpy.spec.limits import Finding


def of_conversion(config: DatasetExportConfig) -> list[Finding]:
    """Problems of the spec that no field limit can express."""
    layout = config.WhichOneof("convert_config_type")
    if layout is None:
        hint = "add kitti_config, coco_config, voc_config or yolo_txt_config"
        return [Finding("", "the spec names no data set", (hint,))]
    found = []
    if layout == "kitti_config":
        kitti = config.kitti_config
        if kitti.partition_mode == "random" and kitti.num_partitions != 2:
            text = f'partition_mode "random" makes 2 partitions, not {kitti.num_partitions}'
            hints = ('set num_partitions to 2, or partition_mode to "sequence"',)
            found.append(Finding("kitti_config.num_partitions", text, hints))
        if kitti.partition_mode == "sequence" and not kitti.kitti_sequence_to_frames_file:
            text = 'partition_mode "sequence" needs kitti_sequence_to_frames_file'
            found.append(Finding("kitti_config.kitti_sequence_to_frames_file", text))
    if layout == "coco_config":
        found += _coco_contradictions(config)
    return found


def of_augmentation(config: AugmentConfig) -> list[Finding]:
    """Problems of the spec that no field limit can express."""
    found = []
    for name in ("image_path", "label_path"):
        path = PurePosixPath(getattr(config.dataset_config, name))
        if path.is_absolute() or ".." in path.parts:
            text = f'{name} must be a folder below the one that -d names, not "{path}"'
            found.append(Finding(f"dataset_config.{name}", text))
    if config.image_extension and f".{config.image_extension.lstrip('.').lower()}" not in WRITABLE:
        text = f'pictures with "{config.image_extension}" cannot be written'
        found.append(Finding("image_extension", text, ("the extensions are " + ", ".join(WRITABLE),)))
    if bool(config.output_image_width) != bool(config.output_image_height):
        given = "output_image_width" if config.output_image_width else "output_image_height"
        hint = "give both, or neither to keep the size of each picture"
        found.append(Finding(given, f"{given} is given alone", (hint,)))
    return found


def _coco_contradictions(config: DatasetExportConfig) -> list[Finding]:
    coco = config.coco_config
    partitions = len(coco.img_dir_names)
    counts = {
        "annotation_files": {len(coco.annotation_files)},
        "num_partitions": {coco.num_partitions or partitions},
        "num_shards": {len(coco.num_shards)} - {0, 1},
    }
    return [
        Finding(f"coco_config.{name}", f"{name} makes {count} partitions, but img_dir_names {partitions}")
        for name, said in counts.items()
        for count in said
        if count != partitions
    ]
