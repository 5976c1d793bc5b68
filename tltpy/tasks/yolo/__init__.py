"""yolo: YOLOv3 object detection (Redmon & Farhadi 2018), as TLT trains it.

This file reads and judges the spec; it imports neither torch nor the network.
"""

import ast
from typing import Any

from tltpy.spec.limits import Finding
from tltpy.tasks.yolo.architectures import ARCHITECTURES, architecture, depths

# what other generations call the same -> its name here
RENAMED = {
    "yolov3_config": "yolo_config",
    "dataset_config.validation_data_source": "validation_data_sources",
}
SCALES = ("big", "mid", "small")
# fields of the augmentation -> what to write in place of them in TLT 2.0's form
TLT3_FIELDS = {
    ("hue", "saturation", "exposure"): "use color_augmentation",
    ("vertical_flip", "horizontal_flip", "jitter"): "use spatial_augmentation",
    ("output_channel",): "use output_image_channel",
}
COLORS = ("hue_rotation_max", "saturation_shift_max")  # that a grey picture has not


def canonical(cfg: Any) -> Any:
    """A copy in one form: yolo_config holds the network, validation_data_sources all validation data, whichever
    generation's sections the file used; optimizer, schedule and depth are named where it left them to be chosen."""
    merged = type(cfg)()
    merged.CopyFrom(cfg)
    data, training = merged.dataset_config, merged.training_config
    if data.HasField("validation_data_source"):
        data.validation_data_sources.append(data.validation_data_source)
        data.ClearField("validation_data_source")
    if training.optimizer.WhichOneof("optimizer") is None:
        training.optimizer.adam.SetInParent()
    if training.learning_rate.WhichOneof("learning_rate") is None:
        training.learning_rate.soft_start_annealing_schedule.SetInParent()
    if merged.HasField("yolov3_config"):
        merged.yolo_config.CopyFrom(merged.yolov3_config)
        merged.ClearField("yolov3_config")
    network = merged.yolo_config
    if depths(network.arch):
        network.nlayers = network.nlayers  # the default made explicit, which fill does not
    else:
        network.ClearField("nlayers")
    return merged


def channels(cfg: Any) -> int:
    """Of the network's input: as the augmentation says, else by is_monochrome."""
    augmentation = cfg.augmentation_config
    pre = augmentation.preprocessing
    if augmentation.HasField("preprocessing") and pre.HasField("output_image_channel"):
        return int(pre.output_image_channel)
    flat = 0 if augmentation.HasField("preprocessing") else augmentation.output_channel
    return int(flat) or (1 if cfg.dataset_config.is_monochrome else 3)


def parse_anchors(text: str) -> list[tuple[float, float]]:
    """ "[(w, h), ...]" -> pairs in pixels of the network's input; ValueError for anything else."""
    try:
        value = ast.literal_eval(text.strip())
        # the sum refuses text, which float would read
        pairs = [(float(width + 0.0), float(height + 0.0)) for width, height in value]
    except (ValueError, SyntaxError, TypeError, OverflowError, RecursionError, MemoryError) as error:
        raise ValueError(f'expected a list of (width, height) pairs, got "{text}"') from error
    if not pairs or any(not (0 < side < float("inf")) for pair in pairs for side in pair):
        raise ValueError("expected at least one pair, all sides above 0")
    return pairs


def view(cfg: Any) -> Any:
    """How a picture comes to the network's input, as detection.anchors.View; anchors are sizes there."""
    from tltpy.detection.anchors import View

    augmentation = cfg.augmentation_config
    pre = augmentation.preprocessing
    if not augmentation.HasField("preprocessing"):
        return View((augmentation.output_height, augmentation.output_width))
    crop = (pre.crop_left, pre.crop_top, pre.crop_right, pre.crop_bottom)
    return View(
        (pre.output_image_height, pre.output_image_width),
        crop_xyxy=crop if any(crop) else None,
        scale_xy=(pre.scale_width or 1.0, pre.scale_height or 1.0),
    )


def check(cfg: Any) -> list[Finding]:
    """Problems and warnings that no field limit can express; paths are those of the file as it was written."""
    return [
        *_check_sections(cfg),
        *_check_network(cfg),
        *_check_augmentation(cfg.augmentation_config),
        *_check_pixels(cfg),
        *_check_data(cfg.dataset_config),
        *_check_training(cfg.training_config),
    ]


def _check_sections(cfg: Any) -> list[Finding]:
    if cfg.HasField("yolo_config") and cfg.HasField("yolov3_config"):
        hint = "keep the one whose numbers you mean; both names mean the same section"
        return [Finding("yolov3_config", "yolo_config and yolov3_config are both there", (hint,))]
    data = cfg.dataset_config
    if data.HasField("validation_data_source") and len(data.validation_data_sources):
        message = "validation_data_source and validation_data_sources are both there"
        hint = "write all of them as validation_data_sources"
        return [Finding("dataset_config.validation_data_source", message, (hint,))]
    return []


def _check_network(cfg: Any) -> list[Finding]:
    section = "yolov3_config" if cfg.HasField("yolov3_config") else "yolo_config"
    network = getattr(cfg, section)
    found = []
    for scale in SCALES:
        name = f"{scale}_anchor_shape"
        try:
            parse_anchors(getattr(network, name))
        except ValueError as error:
            found.append(Finding(f"{section}.{name}", str(error), ('write for instance "[(10, 13), (16, 30)]"',)))
    return [*found, *_check_architecture(network, section)]


def _check_architecture(network: Any, section: str) -> list[Finding]:
    found: list[Finding] = []
    if network.arch not in ARCHITECTURES:
        return found  # its limit says so
    allowed = depths(network.arch)
    if allowed and network.nlayers not in allowed:
        wrong = f"{network.arch} has no {network.nlayers} layers"
        message = wrong if network.HasField("nlayers") else "nlayers is missing"
        hint = f"{network.arch} has {', '.join(map(str, allowed))}"
        found.append(Finding(f"{section}.nlayers", message, (hint,)))
    elif network.HasField("nlayers") and not allowed:
        message = f"it has no effect: {network.arch} comes in one size"
        found.append(Finding(f"{section}.nlayers", message, warning=True))
    blocks = architecture(network.arch, next(iter(ARCHITECTURES[network.arch]))).freezable
    for index, block in enumerate(network.freeze_blocks):
        if block not in blocks:
            hint = f"{network.arch} has the blocks {blocks.start}-{blocks.stop - 1}"
            found.append(Finding(f"{section}.freeze_blocks[{index}]", f"no block {block:g} to freeze", (hint,)))
    return found


def _check_augmentation(cfg: Any) -> list[Finding]:
    path = "augmentation_config"
    first, second = cfg.HasField("preprocessing"), cfg.HasField("output_width") or cfg.HasField("output_height")
    if not first and not second:
        hint = "write `preprocessing { output_image_width: 416 output_image_height: 416 }`"
        return [Finding(path, "the size of the network's input is missing", (hint,))]
    if first and second:
        return [
            Finding(
                f"{path}.output_width",
                "the size of the network's input is given in both published forms",
                ("keep either preprocessing { ... } or output_width and output_height",),
            )
        ]
    if second:
        return _check_flat_augmentation(cfg)
    found = []
    for names, instead in TLT3_FIELDS.items():
        for name in names:
            if cfg.HasField(name) and getattr(cfg, name):
                message = "this field of TLT 3 has no effect beside preprocessing { ... }"
                found.append(Finding(f"{path}.{name}", message, (instead,) if instead else (), warning=True))
    pre, spatial = cfg.preprocessing, cfg.spatial_augmentation
    for low, high in (("crop_left", "crop_right"), ("crop_top", "crop_bottom")):
        if getattr(pre, low) > getattr(pre, high):
            message = f"{low} {getattr(pre, low)} is greater than {high} {getattr(pre, high)}"
            found.append(Finding(f"{path}.preprocessing.{low}", message))
    if spatial.zoom_min > spatial.zoom_max:
        message = f"zoom_min {spatial.zoom_min:g} is greater than zoom_max {spatial.zoom_max:g}"
        found.append(Finding(f"{path}.spatial_augmentation.zoom_min", message))
    return found


def _check_flat_augmentation(cfg: Any) -> list[Finding]:
    path = "augmentation_config"
    found = []
    for name in ("output_width", "output_height"):
        if not cfg.HasField(name):
            found.append(Finding(path, f"{name} is missing", (f"write `{name}: 416`",)))
    for name in ("spatial_augmentation", "color_augmentation"):
        if cfg.HasField(name):
            found.append(
                Finding(
                    f"{path}.{name}",
                    "this section of TLT 2.0 has no effect beside output_width",
                    ("give the size in preprocessing { ... }, or use hue, saturation ... jitter",),
                    warning=True,
                )
            )
    return found


def _check_pixels(cfg: Any) -> list[Finding]:
    """Whether channels, depth, mean and colours agree."""
    found = []
    path, augmentation, number = "augmentation_config", cfg.augmentation_config, channels(cfg)
    keys = {"l"} if number == 1 else {"b", "g", "r"}
    if augmentation.image_mean and set(augmentation.image_mean) != keys:
        message = f"a picture of {number} channel{'s' * (number > 1)} needs the keys {', '.join(sorted(keys))}"
        found.append(Finding(f"{path}.image_mean", message))
    if cfg.dataset_config.is_monochrome and number != 1:
        hint = "leave out is_monochrome, or ask for one channel"
        found.append(Finding("dataset_config.is_monochrome", f"the input has {number} channels", (hint,)))
    if augmentation.output_depth == 16 and number != 1:
        hint = "write output_channel: 1 (output_image_channel in preprocessing)"
        found.append(Finding(f"{path}.output_depth", "16 bits are read of pictures of one channel alone", (hint,)))
    if number == 1:
        message = "it has no effect on a picture of one channel"
        found += [Finding(name, message, warning=True) for name in _colorful(augmentation)]
    return found


def _colorful(cfg: Any) -> list[str]:
    """Paths of the fields that vary hue or saturation."""
    path = "augmentation_config"
    if cfg.HasField("preprocessing"):
        return [f"{path}.color_augmentation.{name}" for name in COLORS if getattr(cfg.color_augmentation, name)]
    return [f"{path}.{name}" for name, still in (("hue", 0), ("saturation", 1)) if getattr(cfg, name) > still]


def _check_data(cfg: Any) -> list[Finding]:
    path = "dataset_config"
    found = []
    for name in ("data_sources", "validation_data_sources"):
        sources = getattr(cfg, name)
        for index, source in enumerate(sources):
            found += _check_source(source, f"{path}.{name}[{index}]")
        if len({source.WhichOneof("labels_format") for source in sources} - {None}) > 1:
            found.append(
                Finding(f"{path}.{name}", "some sources hold TFRecords and some label folders", ("use one kind",))
            )
    if cfg.HasField("validation_data_source"):
        found += _check_source(cfg.validation_data_source, f"{path}.validation_data_source")
    has_validation = len(cfg.validation_data_sources) or cfg.HasField("validation_data_source")
    if not has_validation and any(s.WhichOneof("labels_format") == "label_directory_path" for s in cfg.data_sources):
        found.append(
            Finding(path, "label folders have no folds to validate on", ("add validation_data_sources { ... }",))
        )
    if has_validation and cfg.validation_fold:
        found.append(
            Finding(f"{path}.validation_fold", "it has no effect beside validation_data_sources", warning=True)
        )
    return found


def _check_source(source: Any, path: str) -> list[Finding]:
    found = []
    if source.WhichOneof("labels_format") is None:
        hint = "write tfrecords_path (made by tlt-dataset-convert) or label_directory_path"
        found.append(Finding(path, "the source names no labels", (hint,)))
    if not source.image_directory_path:
        found.append(Finding(path, "image_directory_path is missing"))
    return found


def _check_training(cfg: Any) -> list[Finding]:
    path = "training_config"
    found = []
    schedule = cfg.learning_rate.soft_start_annealing_schedule
    where = f"{path}.learning_rate.soft_start_annealing_schedule"
    if cfg.learning_rate.WhichOneof("learning_rate") != "soft_start_cosine_annealing_schedule":
        if schedule.soft_start >= schedule.annealing:
            message = f"soft_start {schedule.soft_start:g} must be less than annealing {schedule.annealing:g}"
            found.append(Finding(f"{where}.soft_start", message))
    else:
        where = f"{path}.learning_rate.soft_start_cosine_annealing_schedule"
        schedule = cfg.learning_rate.soft_start_cosine_annealing_schedule
    if schedule.min_learning_rate > schedule.max_learning_rate:
        message = (
            f"min_learning_rate {schedule.min_learning_rate:g} is greater than "
            f"max_learning_rate {schedule.max_learning_rate:g}"
        )
        found.append(Finding(f"{where}.min_learning_rate", message))
    if cfg.regularizer.type and not cfg.regularizer.weight:
        found.append(
            Finding(f"{path}.regularizer.weight", "a regularizer needs a weight above 0", ("or write type: NO_REG",))
        )
    sgd = cfg.optimizer.sgd
    if sgd.nesterov and not sgd.momentum:
        found.append(Finding(f"{path}.optimizer.sgd.nesterov", "nesterov needs a momentum above 0"))
    if cfg.enable_qat:
        found.append(
            Finding(
                f"{path}.enable_qat",
                "the field has no effect: fake quantization is a stage of its own here",
                ("train, then run --stage calibration and --stage qat with the same results folder",),
                warning=True,
            )
        )
    return found
