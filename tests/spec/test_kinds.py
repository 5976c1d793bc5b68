"""A spec of a sibling task, or one for another executable, is answered by its name and by nothing else."""

from pathlib import Path

import pytest

from tltpy.errors import SpecError
from tltpy.spec import detection_pb2, yolo_pb2
from tltpy.spec.kinds import closest
from tltpy.spec.load import load, parse_text
from tltpy.spec.parse import parse

SIBLINGS = Path(__file__).parent / "data" / "siblings"
HINTS = [
    "an experiment spec for this command has yolo_config or yolov3_config",
    "`tlt-spec init` writes a starting file of a task that it does train",
]
# file -> the kind, the place and the sign that the answer names
NAMED = {
    "ssd": ("ssd", "2:1", "ssd_config"),
    "dssd": ("dssd", "2:1", "dssd_config"),
    "retinanet": ("retinanet", "2:1", "retinanet_config"),
    "yolo_v4": ("yolo_v4", "2:1", "yolov4_config"),
    "faster_rcnn": ("faster_rcnn", "21:1", "inference_config"),
    "faster_rcnn_tlt2": ("faster_rcnn (TLT 2.0)", "5:1", "network_config"),
    "detectnet_v2": ("detectnet_v2", "9:1", "postprocessing_config"),
    "detectnet_v2_inference": ("detectnet_v2 (inference)", "1:1", "inferencer_config"),
    "mask_rcnn": ("mask_rcnn", "10:1", "num_steps_per_eval"),
    "classification": ("classification", "8:1", "train_config"),
    "classification_tlt2": ("classification", "13:1", "train_config"),
    "unet": ("unet", "2:1", "model_config.model_input_width"),
}
# what is left of such a file is recognised all the same
PARTS = [
    ('model_config { arch: "resnet:18" rpn_stride: 16 }', "faster_rcnn", "1:1", "model_config.rpn_stride"),
    ("model_config { objective_set { } }", "detectnet_v2", "1:1", "model_config.objective_set"),
    ("random_seed: 1\nmodel_config { n_layers: 18 }", "classification", "2:1", "model_config.n_layers"),
    ("dataset_config { }\ntraining_config { kitti_data_config { } }", "faster_rcnn (TLT 2.0)", "2:1",
     "training_config.kitti_data_config"),
    ("cost_function_config { }", "detectnet_v2", "1:1", "cost_function_config"),
    ("data_config { val_json_file: 'a' }", "mask_rcnn", "1:1", "data_config.val_json_file"),
]  # fmt: skip


def test_every_sibling_has_its_case() -> None:
    assert sorted(path.stem for path in SIBLINGS.iterdir()) == sorted(NAMED)


@pytest.mark.parametrize("name", NAMED)
def test_sibling(name: str) -> None:
    kind, place, sign = NAMED[name]
    path = SIBLINGS / f"{name}.txt"
    with pytest.raises(SpecError) as caught:
        load(path, yolo_pb2.Experiment)
    message = f'{path}:{place}: this is a spec of {kind} ("{sign}"), which tltpy does not train'
    assert caught.value.problems == [(message, tuple(HINTS))]
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("name", NAMED)
def test_sibling_for_another_executable(name: str) -> None:
    with pytest.raises(SpecError) as caught:
        load(SIBLINGS / f"{name}.txt", detection_pb2.DatasetExportConfig)
    assert len(caught.value.problems) == 1
    assert "does not train" in caught.value.message


@pytest.mark.parametrize(("text", "kind", "place", "sign"), PARTS)
def test_part_of_a_sibling(text: str, kind: str, place: str, sign: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_text(text, yolo_pb2.Experiment, "s.txt")
    message = f's.txt:{place}: this is a spec of {kind} ("{sign}"), which tltpy does not train'
    assert caught.value.problems == [(message, tuple(HINTS))]


def test_the_closest_kind() -> None:
    kinds = [yolo_pb2.Experiment.DESCRIPTOR, detection_pb2.DatasetExportConfig.DESCRIPTOR]
    assert [closest(parse(text), kinds).name for text in ("", "kitti_config { }", "dataset_config { }", "foo: 1")] == [
        "Experiment", "DatasetExportConfig", "Experiment", "Experiment"
    ]  # fmt: skip
    assert closest(parse("random_seed: 1 target_class_mapping { } voc_config { }"), kinds).name == "DatasetExportConfig"
