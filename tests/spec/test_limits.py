"""The limits of the schema: each kind is enforced on both sides, and the schema keeps its own."""

import pytest
from google.protobuf.message import Message

from tltpy.spec import detection_pb2, training_pb2, yolo_pb2
from tltpy.spec.limits import Finding, describe, findings
from tltpy.spec.options_pb2 import Limits
from tltpy.spec.schema import fields

CLASSES = [
    getattr(module, name)
    for module in (detection_pb2, training_pb2, yolo_pb2)
    for name in module.DESCRIPTOR.message_types_by_name
]


@pytest.mark.parametrize("message_class", CLASSES, ids=lambda each: each.DESCRIPTOR.name)
def test_every_default_keeps_its_limits(message_class: type[Message]) -> None:
    message = message_class()
    for info in fields(message.DESCRIPTOR).values():
        if info.default is not None and not info.oneof:
            setattr(message, info.name, info.default)
    wrong = [each for each in findings(message) if not each.warning and "is required" not in each.message]
    assert wrong == []


# (field of NMSConfig or another message, values inside, values outside)
BOUNDS = [
    (detection_pb2.NMSConfig, "confidence_threshold", [0.0, 0.999], [-0.001, 1.0]),  # min, below
    (detection_pb2.NMSConfig, "clustering_iou_threshold", [0.001, 1.0], [0.0, 1.001]),  # above, max
    (detection_pb2.NMSConfig, "top_k", [1, 4000], [0]),
    (detection_pb2.Preprocessing, "output_image_width", [32, 1248], [0, 31, 33, 1250]),
    (training_pb2.TrainingConfig, "image_cache_share", [0.0, 0.9], [0.95, float("nan")]),
    (training_pb2.AdamConfig, "beta1", [0.9], [0.0, 1.0, float("inf")]),
    (detection_pb2.AugmentationConfig, "output_channel", [0, 1, 3], [2, -1]),
    (yolo_pb2.YoloConfig, "arch", ["resnet", "darknet", "vgg", "efficientnet_b0"], ["", "vgg16", "ResNet"]),
]


@pytest.mark.parametrize(
    ("message_class", "name", "inside", "outside"), BOUNDS, ids=lambda each: getattr(each, "__name__", each)
)
def test_bounds(message_class: type[Message], name: str, inside: list[float], outside: list[float]) -> None:
    for value in inside:
        message = message_class(**{name: value})
        assert [each for each in findings(message) if each.path == name] == []
    for value in outside:
        message = message_class(**{name: value})
        assert [each.path for each in findings(message) if not each.warning and each.path == name] == [name]


def test_a_bound_holds_for_the_float_that_stands_for_it() -> None:
    # 0.9 is above 0.9 as a float32, and yet it is what the user wrote
    assert findings(training_pb2.TrainingConfig(image_cache_share=0.9)) == []


def test_paths_of_repeated_fields_and_maps() -> None:
    message = yolo_pb2.Experiment(
        yolo_config=yolo_pb2.YoloConfig(freeze_blocks=[0, -1, 0.5]),
        augmentation_config=detection_pb2.AugmentationConfig(hue=2),
    )
    message.dataset_config.data_sources.add()
    message.dataset_config.data_sources.add(source_weight=0)
    message.dataset_config.target_class_mapping["a"] = "b"
    assert [each.path for each in findings(message)] == [
        "dataset_config.data_sources[1].source_weight",
        "augmentation_config.hue",
        "yolo_config.freeze_blocks[1]",
        "yolo_config.freeze_blocks[2]",
    ]


def test_required_holds_in_sections_that_are_set() -> None:
    export = detection_pb2.DatasetExportConfig()
    assert findings(export) == []
    export.coco_config.SetInParent()
    paths = ["coco_config.root_directory_path", "coco_config.img_dir_names", "coco_config.annotation_files"]
    assert [each.path for each in findings(export)] == paths
    export.coco_config.root_directory_path = ""
    export.coco_config.img_dir_names.append("a")
    assert [each.path for each in findings(export)] == [paths[0], paths[2]]


def test_ignored_warns_only_when_set() -> None:
    assert findings(detection_pb2.NMSConfig()) == []
    found = findings(detection_pb2.NMSConfig(force_on_cpu=True, infer_nms_score_bits=11))
    assert found == [
        Finding("infer_nms_score_bits", '"infer_nms_score_bits" must be at most 10, not 11'),
        Finding("force_on_cpu", '"force_on_cpu" has no effect: it changes no result', warning=True),
    ]


def test_values_are_named_as_they_were_written() -> None:
    found = findings(detection_pb2.SpatialAugmentation(hflip_probability=1.1))
    assert found == [Finding("hflip_probability", '"hflip_probability" must be at least 0 and at most 1, not 1.1')]
    found = findings(detection_pb2.Preprocessing(output_image_width=1250, output_image_height=20))
    assert [each.hints for each in found] == [("the nearest are 1248 and 1280",), ("the nearest is 32",)]


def test_describe() -> None:
    assert describe(Limits()) == ""
    assert describe(Limits(one_of=["1", "3"])) == "1 or 3"
    assert describe(Limits(above=0, max=0.5)) == "above 0 and at most 0.5"
    assert describe(Limits(min=0, multiple_of=1)) == "at least 0 and a whole number"
