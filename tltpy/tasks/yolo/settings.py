"""The spec message as plain numbers: the one place in this task that reads its fields for the network and the data."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from tltpy.detection.augment import Color, Hsv, Spatial
from tltpy.detection.classes import class_ids, classes
from tltpy.spec.yolo_pb2 import Experiment
from tltpy.tasks.yolo import SCALES, channels, parse_anchors
from tltpy.tasks.yolo.architectures import architecture
from tltpy.tasks.yolo.decode import Anchors
from tltpy.tasks.yolo.loss import Weights

MEAN_BGR = (103.939, 116.779, 123.68)
MEAN_GREY = (117.3786,)


@dataclass(frozen=True)
class Settings:
    """Sizes are (height, width) in pixels; `mean` has one value a channel."""

    input_hw: tuple[int, int]
    mean: tuple[float, ...]
    classes: tuple[str, ...]
    class_ids: dict[str, int]  # class in the labels, in normal form -> id
    anchors: Anchors
    strides: tuple[int, int, int]  # of the big, mid and small scale
    weights: Weights
    crop_xyxy: tuple[int, int, int, int] | None
    scale_xy: tuple[float, float]
    min_box_wh: tuple[float, float]
    spatial: Spatial
    color: Color | Hsv
    jitter: float
    train_difficult: bool
    deep: bool  # 16 bits a pixel, 0..65535
    size_period: int  # steps of the training for which the input keeps a size; 0: always the configured one

    @property
    def channels(self) -> int:
        return len(self.mean)


def settings(cfg: Any) -> Settings:
    """Of a canonical Experiment."""
    return _settings(cfg.SerializeToString(deterministic=True))


@lru_cache(maxsize=16)
def _settings(serialized: bytes) -> Settings:
    cfg = Experiment.FromString(serialized)
    augmentation = cfg.augmentation_config
    pre = augmentation.preprocessing
    flat = not augmentation.HasField("preprocessing")
    width = augmentation.output_width if flat else pre.output_image_width
    height = augmentation.output_height if flat else pre.output_image_height
    deep = augmentation.output_depth == 16
    crop = (pre.crop_left, pre.crop_top, pre.crop_right, pre.crop_bottom)
    return Settings(
        input_hw=(height, width),
        mean=_mean(augmentation.image_mean, channels(cfg), deep),
        classes=tuple(classes(cfg.dataset_config)),
        class_ids=class_ids(cfg.dataset_config),
        anchors=_anchors(cfg.yolo_config, height, width),
        strides=architecture(cfg.yolo_config.arch, cfg.yolo_config.nlayers).strides,
        weights=Weights(
            location=cfg.yolo_config.loss_loc_weight,
            negative=cfg.yolo_config.loss_neg_obj_weights,
            classes=cfg.yolo_config.loss_class_weights,
            neutral_iou=cfg.yolo_config.matching_neutral_box_iou,
        ),
        crop_xyxy=crop if any(crop) else None,
        scale_xy=(pre.scale_width or 1.0, pre.scale_height or 1.0),
        min_box_wh=(pre.min_bbox_width, pre.min_bbox_height),
        spatial=_flat_spatial(augmentation) if flat else _spatial(augmentation.spatial_augmentation),
        color=_hsv(augmentation) if flat else _color(augmentation.color_augmentation),
        jitter=augmentation.jitter if flat else 0.0,
        train_difficult=cfg.dataset_config.include_difficult_in_training,
        deep=deep,
        size_period=augmentation.randomize_input_shape_period,
    )


def _mean(given: Any, channels: int, deep: bool) -> tuple[float, ...]:
    if given:
        return tuple(given[key] for key in ("l" if channels == 1 else "bgr"))
    grey = MEAN_GREY[0] * (256 if deep else 1)
    return (grey,) if channels == 1 else MEAN_BGR


def _anchors(network: Any, height: int, width: int) -> Anchors:
    scales = [parse_anchors(getattr(network, f"{scale}_anchor_shape")) for scale in SCALES]
    return Anchors(tuple(tuple((h / height, w / width) for w, h in scale) for scale in scales))


def _spatial(section: Any) -> Spatial:
    return Spatial(
        hflip=section.hflip_probability,
        vflip=section.vflip_probability,
        zoom_min=section.zoom_min,
        zoom_max=section.zoom_max,
        translate_x=section.translate_max_x,
        translate_y=section.translate_max_y,
        rotate=section.rotate_rad_max,
        rotate_probability=section.rotate_probability,
    )


def _flat_spatial(section: Any) -> Spatial:
    return Spatial(hflip=section.horizontal_flip, vflip=section.vertical_flip)


def _color(section: Any) -> Color:
    return Color(
        hue=section.hue_rotation_max,
        saturation=section.saturation_shift_max,
        contrast=section.contrast_scale_max,
        contrast_center=section.contrast_center,
        brightness=section.color_shift_stddev,
    )


def _hsv(section: Any) -> Hsv:
    return Hsv(hue=section.hue, saturation=section.saturation or 1.0, exposure=section.exposure or 1.0)
