"""A field in words: found by path, end or name; what its documentation says."""

import pytest

from tltpy.spec import comments, detection_pb2, explain, yolo_pb2
from tltpy.spec.schema import fields

YOLO = yolo_pb2.Experiment.DESCRIPTOR
EXPORT = detection_pb2.DatasetExportConfig.DESCRIPTOR


def test_every_field_is_explained() -> None:
    paths = [path for path, _ in explain.walk(YOLO)]
    assert len(paths) > 150
    for path in paths:
        entry = explain.entry(YOLO, path)
        assert entry.path == path and entry.type and entry.comment.endswith((".", ")", '"'))
        assert all(each.comment for each in entry.fields)
        assert all(about for _, about in entry.choices)


@pytest.mark.parametrize(
    ("words", "paths"),
    [
        ("training_config.num_epochs", ["training_config.num_epochs"]),
        ("batch_size_per_gpu", ["training_config.batch_size_per_gpu"]),
        ("adam.beta1", ["training_config.optimizer.adam.beta1", "qat_config.optimizer.adam.beta1"]),
        ("yolov3_config.arch", ["yolov3_config.arch", "yolo_config.arch"]),
        ("arch", ["yolo_config.arch", "yolov3_config.arch"]),
        (
            "dataset_config.data_sources[3].source_weight",
            ["dataset_config.data_sources.source_weight", "dataset_config.validation_data_source.source_weight",
             "dataset_config.validation_data_sources.source_weight"],
        ),
        ('dataset_config.target_class_mapping["a.b"]', ["dataset_config.target_class_mapping"]),
    ],
)  # fmt: skip
def test_one_field(words: str, paths: list[str]) -> None:
    assert list(explain.find(YOLO, words).values()) == [paths]


def test_several_fields_of_one_name() -> None:
    assert set(explain.find(YOLO, "tags")) == {"tltpy.spec.WandBConfig.tags", "tltpy.spec.ClearMLConfig.tags"}
    assert not explain.find(YOLO, "no_such")
    assert not explain.find(YOLO, "um_epochs")  # a part of a name is no name


def test_near() -> None:
    assert explain.near(YOLO, "trianing_config.num_epochs")[0] == "training_config.num_epochs"
    assert explain.near(YOLO, "num_epoch") == ["training_config.num_epochs"]
    assert explain.near(YOLO, "xyzzy") == []


def test_what_is_said() -> None:
    entry = explain.entry(YOLO, "yolo_config.loss_loc_weight")
    assert (entry.type, entry.default, entry.limits) == ("number", "0.8", "at least 0")
    entry = explain.entry(YOLO, "training_config.regularizer.type")
    assert entry.choices == (("NO_REG", "No penalty."), ("L1", "weight * sum |w|."), ("L2", "weight * sum w^2."))
    entry = explain.entry(YOLO, "nms_config.force_on_cpu")
    assert (entry.default, entry.ignored) == ("false", "it changes no result")
    entry = explain.entry(YOLO, "augmentation_config.image_mean")
    assert entry.type == "map from text to number"
    assert explain.entry(EXPORT, "kitti_config.root_directory_path").required
    assert explain.entry(EXPORT, "coco_config").oneof == "convert_config_type"
    section = explain.entry(YOLO, "nms_config")
    assert [each.name for each in section.fields] == list(fields(YOLO)["nms_config"].section.fields_by_name)
    assert explain.entry(YOLO, "").comment == comments.comment("tltpy.spec.Experiment")
