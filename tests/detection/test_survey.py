"""A first look at the data of a spec: every fault at the field to blame, nothing said of sound data."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tltpy.data import tfrecord
from tltpy.detection import survey
from tltpy.detection.examples import record_to_bytes
from tltpy.detection.records import make_record

Make = Callable[..., Any]
DATA = "dataset_config"


def faults(config: Any, **more: Any) -> list[str]:
    """path: message of every fault, warnings marked."""
    found = survey.survey(config, **more)
    return [f"{'warning ' if fault.warning else ''}{fault.path.removeprefix(DATA + '.')}: {fault.message}"
            for fault in found]  # fmt: skip


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Two shards of each of two folds, and their pictures, which are empty files: nobody opens them."""
    (tmp_path / "image_2").mkdir()
    for number in range(4):
        frame = f"image_2/{number:06d}"
        (tmp_path / f"{frame}.PNG").touch()
        names = ["car", "dontcare", "traffic light"] if number else ["car"]
        record = make_record(id=frame, size_hw=(30, 50), class_names=names, boxes_xyxy=[[0, 0, 5, 5]] * len(names))
        name = f"data-fold-{number % 2:03d}-of-002-shard-{number // 2:05d}-of-00002"
        tfrecord.write(tmp_path / name, [record_to_bytes(record)])
    return tmp_path


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    for number in range(3):
        (tmp_path / f"images/{number}.jpg").touch()
        (tmp_path / f"labels/{number}.txt").write_text("car 0 0 0 1 1 9 9 0 0 0 0 0 0 0\nvan 0 0 0 1 1 9 9 0\n")
    return tmp_path


def records(root: Path, pattern: str = "data-*", images: str = "", more: str = "") -> str:
    return f'data_sources {{ tfrecords_path: "{root}/{pattern}" image_directory_path: "{root}{images}" }} {more}'


def labels(root: Path, name: str = "labels") -> str:
    places = f'label_directory_path: "{name}" image_directory_path: "images" root_path: "{root}"'
    return f"data_sources {{ {places} }} validation_data_sources {{ {places} }}"


MAPPING = {"car": "car", "trafficlight": "light", "DontCare": "none"}


def test_sound_records(shards: Path, dataset_config: Make) -> None:
    assert faults(dataset_config(records(shards), **MAPPING)) == []


def test_classes(shards: Path, dataset_config: Make) -> None:
    assert faults(dataset_config(records(shards), car="car", Bus="bus", van="car")) == [
        'warning target_class_mapping["Bus"]: the key "Bus" matches no label of the labelled data, '
        'class "bus" has no box',
        'warning target_class_mapping["van"]: the key "van" matches no label of the labelled data',
        "warning target_class_mapping: 6 boxes of the labelled data have no key and are not used: dontcare, "
        "traffic light",
    ]
    assert faults(dataset_config(records(shards), bus="bus")) == [
        "target_class_mapping: no key matches a box of the labelled data"
    ]


@pytest.mark.parametrize(
    ("pattern", "images", "more", "fault"),
    [
        ("none-*", "", "", "data_sources[0].tfrecords_path: ROOT/none-*: matches no file"),
        ("gone/none-*", "", "", "data_sources[0].tfrecords_path: ROOT/gone/none-*: matches no file"),
        ("data-*", "/gone", "", "data_sources[0].image_directory_path: ROOT/gone: no such folder"),
        ("data-*", "/image_2", "",
         "data_sources[0].image_directory_path: ROOT/image_2/image_2/000000: the first record's picture is missing"),
        ("data-*", "", "validation_fold: 3",
         "data_sources[0].tfrecords_path: ROOT/data-*: no shard is left for validation with validation_fold 3"),
        ("data-fold-001*", "", "validation_fold: 1",
         "data_sources[0].tfrecords_path: ROOT/data-fold-001*: no shard is left for training with validation_fold 1"),
    ],
)  # fmt: skip
def test_records(
    shards: Path, dataset_config: Make, pattern: str, images: str, more: str, fault: str
) -> None:
    assert faults(dataset_config(records(shards, pattern, images, more), **MAPPING)) == [
        fault.replace("ROOT", str(shards))
    ]


def test_records_of_no_fold_serve_where_there_is_validation_data(shards: Path, dataset_config: Make) -> None:
    for number, path in enumerate(sorted(shards.glob("data-*"))):
        path.rename(shards / f"plain-{number}")
    text = records(shards, "plain-*")
    assert faults(dataset_config(text + text.replace("data_sources", "validation_data_sources"), **MAPPING)) == []
    assert len(faults(dataset_config(text, **MAPPING))) == 1


def test_damaged_and_foreign_records(shards: Path, dataset_config: Make) -> None:
    first = min(shards.glob("data-*"))
    first.write_bytes(first.read_bytes()[:-3])
    assert "the file is truncated" in faults(dataset_config(records(shards), **MAPPING))[0]
    tfrecord.write(first, [b"\xff\xff"])
    assert "is no tf.train.Example" in faults(dataset_config(records(shards), **MAPPING))[0]
    tfrecord.write(first, [b""])
    assert "has no frame/id" in faults(dataset_config(records(shards), **MAPPING))[0]


def test_a_sample_of_the_records_says_so(
    shards: Path, dataset_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(survey, "SAMPLE", 1)
    path = shards / "data-fold-000-of-002-shard-00009-of-00002"
    late = make_record(id="image_2/000001", class_names=["late"], boxes_xyxy=[[0, 0, 5, 5]])
    tfrecord.write(path, [record_to_bytes(make_record(id="image_2/000001")), record_to_bytes(late)])
    mapping = {**MAPPING, "late": "late"}
    assert "(a sample: 5 records or files)" in faults(dataset_config(records(shards), **mapping))[0]
    assert faults(dataset_config(records(shards), **mapping), everything=True) == []


def test_sound_folders(folders: Path, dataset_config: Make) -> None:
    assert faults(dataset_config(labels(folders), car="car", van="car")) == []


def test_pairing(folders: Path, dataset_config: Make) -> None:
    (folders / "labels/0.txt").rename(folders / "labels/00.txt")
    (folders / "labels/1.txt").write_text("car 0 0 0 1 1 9 9\nvan 0 0 0 1 1 9 9 0\n\n")
    place = "data_sources[0].label_directory_path"
    wanted = [
        f"warning {place}: 1 of 3 pictures have no label",
        f"warning {place}: 1 label files belong to no picture, the first is 00.txt",
        f"warning {place}: 1 rows have less than 9 columns and are skipped",
    ]
    found = faults(dataset_config(labels(folders), car="car", van="car"))
    assert found == [*wanted, *(text.replace("data_sources", "validation_data_sources") for text in wanted)]


def test_nothing_pairs(folders: Path, dataset_config: Make) -> None:
    for path in (folders / "labels").iterdir():
        path.rename(path.with_name(f"x{path.name}"))
    place, message = faults(dataset_config(labels(folders), car="car"))[0].split(": ", 1)
    assert place == "data_sources[0].label_directory_path"
    assert message == f"{folders}/labels: no label file belongs to a picture of {folders}/images"


def test_missing_label_folder(folders: Path, dataset_config: Make) -> None:
    assert faults(dataset_config(labels(folders, "gone"), car="car")) == [
        f"{name}[0].label_directory_path: {folders}/gone: no such folder"
        for name in ("data_sources", "validation_data_sources")
    ]


def test_coco(folders: Path, dataset_config: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folders / "labels.json"
    document = {"images": [{"id": 1}], "categories": [{"id": 3, "name": "traffic light"}],
                "annotations": [{"category_id": 3}]}  # fmt: skip
    path.write_text(json.dumps(document))
    text = labels(folders, "labels.json") + ' type: "coco"'
    assert faults(dataset_config(text, trafficlight="light")) == []
    assert "no key matches a box" in faults(dataset_config(text, car="car"))[0]
    path.write_text(json.dumps({"images": []}))
    assert faults(dataset_config(text, car="car"))[0].endswith("no JSON file as COCO has them: no 'categories'")
    path.write_text("[1, ")
    assert "no JSON file as COCO has them" in faults(dataset_config(text, car="car"))[0]
    monkeypatch.setattr(survey, "SAMPLE_BYTES", 1)
    assert faults(dataset_config(text, car="car")) == []  # too large to be read for a first look
    assert len(faults(dataset_config(text, car="car"), everything=True)) == 2
    path.unlink()
    assert faults(dataset_config(text, car="car"))[0].endswith("labels.json: no such file")


def test_it_waits_for_no_library() -> None:
    code = "import sys, tltpy.tasks.yolo.survey; print({'torch', 'numpy', 'cv2'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_real_data(shared: Path, dataset_config: Make) -> None:
    root = shared / "data/kitti_object"
    images = next(path for path in sorted(root.rglob("image_2")) if path.is_dir())
    text = labels(images.parent, "label_2").replace('"images"', '"image_2"')
    found = faults(dataset_config(text, car="car", pedestrian="person", cyclist="rider"))
    assert all(text.startswith("warning ") for text in found)
    assert any("no key and are not used" in text and "DontCare" in text for text in found)
