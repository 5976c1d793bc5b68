"""Reading what a training spec names: folds, label folders, several sources, class mappings; each mistake is named."""

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tltpy.data import tfrecord
from tltpy.detection import classes, convert, dataset, find
from tltpy.detection.records import make_record
from tltpy.detection.sources import open_source
from tltpy.errors import DataError

Layouts = Any
Make = Callable[..., Any]


@pytest.fixture
def shards(layouts: Layouts, tmp_path: Path) -> Path:
    config = layouts.config("kitti")
    convert.convert(open_source(config), config, tmp_path / "shards/a")
    (tmp_path / "shards/a_warning.json").write_text("{}")  # the published glob matches it, too
    return tmp_path / "shards"


def source(shards: Path, layouts: Layouts, more: str = "") -> str:
    images = layouts.root / "kitti"
    return f'data_sources {{ tfrecords_path: "{shards}/a*" image_directory_path: "{images}" {more} }} '


def test_folds_part_training_from_validation(shards: Path, layouts: Layouts, dataset_config: Make) -> None:
    config = dataset_config(source(shards, layouts), car="car", person="person")
    training, validation = (dataset.read(config, split) for split in ("training", "validation"))
    assert [record.id for record in validation] == ["images/000000"]
    assert sorted(record.id for record in training) == ["images/000001", "images/000002"]
    record = validation[0]
    assert (record.size_hw, record.class_names) == ((40, 72), ("car", "person"))
    assert record.boxes_xyxy.tolist() == [[3, 5, 20, 19], [30, 1, 41, 33]]
    assert record.occlusion.tolist() == [0, 1]
    assert record.image().shape == (40, 72, 3)
    config.validation_fold = 1
    assert len(dataset.read(config, "validation")) == 2


def test_root_path_and_another_extension(shards: Path, layouts: Layouts, dataset_config: Make) -> None:
    config = dataset_config(
        f'data_sources {{ root_path: "{shards.parent}" tfrecords_path: "shards/a-*" '
        f'image_directory_path: "layouts/kitti" }} image_extension: "jpg"', car="car",
    )  # fmt: skip
    picture = layouts.root / "kitti/images/000001.png"
    picture.rename(picture.with_suffix(".PNG"))
    read = sorted(dataset.read(config, "training"), key=lambda record: record.id)
    assert [record.image_path.name for record in read] == ["000001.PNG", "000002.png"]


def test_label_folders(layouts: Layouts, dataset_config: Make) -> None:
    labels = layouts.root / "kitti/labels"
    (labels / "000001.txt").write_text("Car 0 1 0 1.5 2 9.5 8 1\ncar 0 0 0 1 2 9 8\ncar 0 0 0 9 2 9 8 0\n")
    (labels / "000002.txt").unlink()
    (labels / "000007.txt").write_text("")
    folder = f'{{ label_directory_path: "{labels}" image_directory_path: "{layouts.root}/kitti/images" }}'
    config = dataset_config(f"data_sources {folder} validation_data_sources {folder}", car="car", person="person")
    read = dataset.read(config, "training")
    assert [record.id for record in read] == ["images/000000", "images/000001"]
    assert read[1].boxes_xyxy.tolist() == [[1.5, 2, 9.5, 8]]  # nine columns are enough; no fraction is cut off
    assert read[1].occlusion.tolist() == [1]
    (warning,) = read.warnings
    assert "000001.txt:2: 8 columns" in warning
    assert "4 findings" in warning
    assert len(dataset.read(config, "validation")) == 2
    alone = dataset_config(f"data_sources {folder}", car="car")
    with pytest.raises(DataError, match="a label folder has no folds"):
        dataset.read(alone, "training")


def test_an_annotation_file_of_coco(layouts: Layouts, dataset_config: Make) -> None:
    folder = f'label_directory_path: "train.json" image_directory_path: "images" root_path: "{layouts.root}/coco"'
    config = dataset_config(
        f'data_sources {{ {folder} }} validation_data_sources {{ {folder} }} type: "coco"', car="car", traffic_light="x"
    )
    read = dataset.read(config, "training")
    assert [len(record.class_names) for record in read] == [1, 3]
    assert any('"x" has no box' in warning for warning in read.warnings)


def test_several_sources(shards: Path, layouts: Layouts, dataset_config: Make) -> None:
    folder = (
        f'{{ label_directory_path: "{layouts.root}/kitti/labels" image_directory_path: "{layouts.root}/kitti/images" '
    )
    text = source(shards, layouts, "source_weight: 1") + f"data_sources {folder} source_weight: 3 }}"
    text += source(shards, layouts).replace("data_sources", "validation_data_source")
    config = dataset_config(text, car="car", person="person")
    read = dataset.read(config, "training")
    assert [(part.start, part.length) for part in read.parts] == [(0, 3), (3, 3)]
    assert read.weights() is None  # proportional: every example alike
    config.sampling_mode = dataset.USER_DEFINED
    weights = dataset.read(config, "training").weights()
    assert weights is not None
    np.testing.assert_allclose(weights, [0.25 / 3] * 3 + [0.75 / 3] * 3)
    config.sampling_mode = dataset.UNIFORM
    assert [part.share for part in dataset.read(config, "training").parts] == [0.5, 0.5]
    assert len(dataset.read(config, "validation")) == 3


def test_small_boxes_are_left_out(shards: Path, layouts: Layouts, dataset_config: Make) -> None:
    config = dataset_config(source(shards, layouts), car="car", person="person")
    widths = np.concatenate([np.diff(record.boxes_xyxy[:, ::2]) for record in dataset.read(config, "training")])
    kept = np.concatenate(
        [np.diff(record.boxes_xyxy[:, ::2]) for record in dataset.read(config, "training", min_box_px=10)]
    )
    assert 0 < len(kept) == (widths >= 10).sum() < len(widths)


def test_a_dataset_can_be_sent_to_a_process(shards: Path, layouts: Layouts, dataset_config: Make) -> None:
    read = dataset.read(dataset_config(source(shards, layouts), car="car"), "training")
    sent = pickle.loads(pickle.dumps(read))
    assert [record.id for record in sent] == [record.id for record in read]
    assert sent[-1].id == read[1].id


def test_mistakes_are_named(shards: Path, layouts: Layouts, dataset_config: Make) -> None:
    def refusal(config: Any, split: str = "training") -> DataError:
        with pytest.raises(DataError) as caught:
            dataset.read(config, split)
        assert caught.value.hints
        return caught.value

    text = source(shards, layouts)
    assert "matches no file" in refusal(dataset_config(text.replace("a*", "b*"), car="car")).message
    missing_fold = dataset_config(text + "validation_fold: 4", car="car")
    assert "no shard is left for validation" in (error := refusal(missing_fold, "validation")).message
    assert "fold-000, fold-001" in error.hints[0]
    assert "no such folder" in refusal(dataset_config(text.replace("/kitti", "/none"), car="car")).message
    error = refusal(dataset_config(text, bus="bus", tram="rail"))
    assert error.message == "target_class_mapping matches no box of the training data"
    assert error.hints == ("the labels hold car, person", "the keys are bus, tram")
    shutil.copy(layouts.root / "kitti/images/000001.png", shards / "a-picture")
    assert "a-picture: no TFRecord file" in refusal(dataset_config(text, car="car")).message
    (shards / "a-picture").unlink()
    (layouts.root / "kitti/images/000002.png").unlink()
    assert "000002.png: no such picture (1 of 2" in refusal(dataset_config(text, car="car")).message
    for path in shards.glob("a-fold-000*"):
        tfrecord.write(path, [])
    assert "the shards hold no record" in refusal(dataset_config(text, car="car"), "validation").message


def test_classes_are_sorted_and_in_lower_case(dataset_config: Make) -> None:
    config = dataset_config("", Van="Vehicle", car="vehicle", traffic_light="Light", Person="person")
    assert classes.classes(config) == ["light", "person", "vehicle"]
    record = make_record(
        id="a", class_names=["CAR", "trafficlight", "bus", "traffic light", "person"], boxes_xyxy=np.zeros((5, 4))
    )
    kept, ids = classes.map_classes(record, classes.class_ids(config))
    assert (kept.tolist(), ids.tolist()) == ([True, True, False, True, True], [2, 0, 0, 1])
    kept, ids = classes.map_classes(make_record(id="b"), classes.class_ids(config))
    assert (kept.shape, kept.dtype, ids.shape) == ((0,), np.bool_, (0,))


def test_what_the_mapping_leaves_out_is_said(dataset_config: Make) -> None:
    config = dataset_config("", car="car", bus="bus")
    warnings = classes.check_mapping({"car": 3, "dontcare": 7, "misc": 1}, config, "training")
    assert len(warnings) == 2
    assert 'class "bus" has no box' in warnings[0]
    assert warnings[1].startswith("8 boxes of the training data") and warnings[1].endswith("dontcare, misc")
    assert classes.check_mapping({"car": 3, "bus": 1}, config, "training") == []


def test_find(layouts: Layouts, tmp_path: Path) -> None:
    folder = layouts.root / "kitti/images"
    (folder / "000001.png").rename(folder / "b.PNG")
    (folder / "notes.txt").write_text("notes")
    found = find.find(folder)
    assert [record.id for record in found] == ["000000", "000002", "b"]
    assert [record.size_hw for record in found] == [(40, 72), (48, 30), (36, 50)]
    assert all(record.class_names == () for record in found)
    assert find.find(folder / "b.PNG")[0].image().shape == (36, 50, 3)
    with pytest.raises(DataError, match="no picture in the folder"):
        find.find(tmp_path / "layouts")
    with pytest.raises(DataError, match="no such picture or folder"):
        find.find(tmp_path / "none.png")
    with pytest.raises(DataError, match="no picture that can be read"):
        find.find(folder / "notes.txt")


def test_real_data_through_shards(shared: Path, tmp_path: Path, layouts: Layouts, dataset_config: Make) -> None:
    config = layouts.config("voc")
    config.voc_config.Clear()
    config.voc_config.root_directory_path = f"{shared}/data/bccd/BCCD"
    convert.convert(open_source(config), config, tmp_path / "bccd")
    text = f'data_sources {{ tfrecords_path: "{tmp_path}/bccd*" image_directory_path: "{shared}/data/bccd/BCCD" }} '
    trained = dataset_config(text + 'image_extension: "jpg"', rbc="rbc", WBC="wbc", platelets="platelets")
    read = {split: dataset.read(trained, split) for split in ("training", "validation")}
    assert {split: len(found) for split, found in read.items()} == {"training": 205, "validation": 87}  # SOURCE.txt
    assert read["training"].warnings == ()
    assert classes.summary(read["training"]) == {"rbc": 2381, "wbc": 214, "platelets": 209}
    assert read["training"][7].image().shape == (480, 640, 3)
