"""Conversion: partitions, order, shards and names as published; the same bytes for any workers; all shards or none."""

import json
import random
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format

from tltpy.data import tfrecord
from tltpy.data.example_pb2 import Example
from tltpy.detection import convert, dataset, modifiers, partition
from tltpy.detection import findings as kinds
from tltpy.detection.examples import Place, bytes_to_record, record_to_bytes
from tltpy.detection.findings import Finding
from tltpy.detection.records import make_record, record_from_table
from tltpy.detection.sources import open_source
from tltpy.errors import DataError, UsageError
from tltpy.spec.detection_pb2 import SampleModifierConfig

Layouts = Any


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def ids(folder: Path) -> list[str]:
    payloads = (payload for path in sorted(folder.glob("*shard*")) for payload in tfrecord.read(path))
    return [bytes_to_record(payload, Place(folder, 0)).id for payload in payloads]


def test_the_validation_set_is_the_beginning_of_the_sorted_list() -> None:
    # facts: n_val = trunc(val_split / 100 * N); 14 percent of KITTI's 7481 are 1047
    val, train = partition.split_by_share(range(7481), 14)
    assert (val, train) == (list(range(1047)), list(range(1047, 7481)))
    assert partition.split_by_share("abc", 100) == [["a", "b", "c"], []]
    assert partition.split_by_share("abc", 0) == [[], ["a", "b", "c"]]


def test_sequences_are_dealt_out_the_longest_first_and_then_reversed() -> None:
    sequences = {"c": [1], "a": [2, 3], "b": [4, 5], "long": [6, 7, 8]}
    # order: long, a, b, c -> partition 0: long, b; partition 1: a, c; reversed
    assert partition.split_by_sequence(sequences, 2) == [[2, 3, 1], [6, 7, 8, 4, 5]]
    assert partition.split_by_sequence(sequences, 1) == [[6, 7, 8, 2, 3, 4, 5, 1]]


def test_the_order_is_that_of_two_shuffles_with_seed_42() -> None:
    partitions = [list(range(5)), list(range(5, 20))]
    expected = [list(part) for part in partitions]
    random.seed(42)
    for _ in range(2):
        for part in expected:
            random.shuffle(part)
    assert partition.shuffle(partitions) == expected
    assert partitions == [list(range(5)), list(range(5, 20))]


@pytest.mark.parametrize(("count", "shards"), [(13, 10), (0, 3), (3, 10), (100, 7), (5, 0), (6, 3)])
def test_shards_share_evenly_and_the_last_takes_the_rest(count: int, shards: int) -> None:
    bounds = partition.shard_bounds(count, shards)
    assert len(bounds) == max(shards, 1)
    assert [index for start, stop in bounds for index in range(start, stop)] == list(range(count))
    assert all(stop - start == count // max(shards, 1) for start, stop in bounds[:-1])


def test_names_of_shards() -> None:
    # the published example
    assert partition.shard_name("kitti_trainval", 0, 2, 3, 10) == "kitti_trainval-fold-000-of-002-shard-00003-of-00010"
    assert partition.shard_name("a", 1, 2, 0, 0) == "a-fold-001-of-002"
    assert partition.shard_name("a", 0, 0, 0, 4) == "a-shard-00000-of-00004"


def test_an_example_has_the_published_keys_and_types() -> None:
    table = np.arange(28.0).reshape(2, 14)
    record = record_from_table(
        id="image_2/000001", image_path=Path("x"), size_hw=(375, 1242), class_names=["Car", "Van"], table=table
    )
    example = Example.FromString(record_to_bytes(record))
    found = {key: feature.WhichOneof("kind") for key, feature in example.features.feature.items()}
    floats = ["truncation", "observation_angle", *(f"coordinates_{corner}" for corner in ("x1", "y1", "x2", "y2"))]
    floats += [f"world_bbox_{name}" for name in ("h", "w", "l", "x", "y", "z", "rot_y")]
    assert found == {
        "frame/id": "bytes_list", "frame/height": "int64_list", "frame/width": "int64_list",
        "target/object_class": "bytes_list", "target/occlusion": "int64_list",
        **{f"target/{name}": "float_list" for name in floats},
    }  # fmt: skip
    feature = example.features.feature
    assert list(feature["target/object_class"].bytes_list.value) == [b"car", b"van"]
    assert list(feature["frame/height"].int64_list.value) == [375]
    assert list(feature["target/coordinates_y2"].float_list.value) == [6, 20]
    assert list(feature["target/world_bbox_w"].float_list.value) == [8, 22]
    back = bytes_to_record(record_to_bytes(record), Place(Path("a"), 0))
    assert record_to_bytes(back) == record_to_bytes(record)


def test_a_record_without_boxes_survives() -> None:
    record = make_record(id="a/b", size_hw=(3, 5))
    back = bytes_to_record(record_to_bytes(record), Place(Path("a"), 0))
    assert (back.id, back.class_names, back.boxes_xyxy.shape, back.dims_hwl.shape) == ("a/b", (), (0, 4), (0, 3))
    assert "target/coordinates_x1" in Example.FromString(record_to_bytes(record)).features.feature


@pytest.mark.parametrize("change", ["no key", "no message", "too few numbers"])
def test_an_odd_example_is_refused_with_its_place(change: str) -> None:
    example = Example.FromString(record_to_bytes(make_record(id="a", class_names=["b"], boxes_xyxy=[[1, 2, 3, 4]])))
    if change == "no key":
        del example.features.feature["target/coordinates_x2"]
    elif change == "too few numbers":
        del example.features.feature["target/coordinates_x2"].float_list.value[:]
    payload = b"\xff\xff\xff" if change == "no message" else example.SerializeToString()
    with pytest.raises(DataError, match="^shard: record 7"):
        bytes_to_record(payload, Place(Path("shard"), 7))


@pytest.mark.parametrize("layout", ["kitti", "voc", "coco", "yolo_txt"])
def test_shards_hold_every_picture_once(layouts: Layouts, tmp_path: Path, layout: str) -> None:
    config = layouts.config(layout)
    tally = convert.convert(open_source(config), config, tmp_path / "out" / "a")
    assert sorted(contents(tmp_path / "out")) == [
        f"a-fold-00{fold}-of-002-shard-0000{shard}-of-00002" for fold in range(2) for shard in range(2)
    ]
    assert tally.shards == [str(path) for path in sorted((tmp_path / "out").iterdir())]
    assert sorted(frame.rsplit("/")[-1] for frame in ids(tmp_path / "out")) == ["000000", "000001", "000002"]
    assert (tally.images, tally.cumulative()) == ([1, 2], Counter(car=4, person=2))
    assert tally.names == {"car": "car", "person": "person"}


def test_the_bytes_do_not_depend_on_the_workers(
    layouts: Layouts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = layouts.config("kitti")
    convert.convert(open_source(config), config, tmp_path / "one" / "a")
    monkeypatch.setattr(convert, "CHUNK", 1)
    with ThreadPoolExecutor(3) as executor:
        convert.convert(open_source(config), config, tmp_path / "many" / "a", workers=executor)
    assert contents(tmp_path / "one") == contents(tmp_path / "many")


def test_bad_boxes_are_listed_beside_the_shards(layouts: Layouts, tmp_path: Path) -> None:
    label = layouts.root / "kitti/labels/000001.txt"
    label.write_text(label.read_text() + "car 0 0 0 7 5 7 9 0 0 0 0 0 0 0\n")
    config = layouts.config("kitti")
    convert.convert(open_source(config), config, tmp_path / "a")
    assert json.loads((tmp_path / "a_warning.json").read_text()) == {"images/000001": [[7, 5, 7, 9]]}
    label.write_text("")
    convert.convert(open_source(config), config, tmp_path / "a", overwrite=True)
    assert not (tmp_path / "a_warning.json").exists()


def test_strict_writes_nothing(layouts: Layouts, tmp_path: Path) -> None:
    (layouts.root / "kitti/labels/000001.txt").write_text("car 1\n")
    config = layouts.config("kitti")
    told: list[Finding] = []
    with pytest.raises(DataError, match=rf"000001.txt:1: .*{kinds.COLUMNS}: 1"):
        convert.convert(
            open_source(config), config, tmp_path / "new/deep/a", strict=True, report=convert.Report(warn=told.extend)
        )
    assert [finding.kind for finding in told] == [kinds.COLUMNS]
    assert not (tmp_path / "new").exists()


def test_existing_shards_are_refused_then_replaced_as_a_whole(layouts: Layouts, tmp_path: Path) -> None:
    config = layouts.config("kitti")
    convert.convert(open_source(config), config, tmp_path / "out/a")
    (tmp_path / "out/a-notes").write_text("mine")
    (tmp_path / "out/ab-shard-00000-of-00001").write_text("another prefix")
    before = contents(tmp_path / "out")
    config.kitti_config.num_shards = 3
    with pytest.raises(UsageError, match="the shard exists"):
        convert.convert(open_source(config), config, tmp_path / "out/a")
    assert contents(tmp_path / "out") == before
    convert.convert(open_source(config), config, tmp_path / "out/a", overwrite=True)
    assert sorted(contents(tmp_path / "out")) == [
        *(f"a-fold-00{fold}-of-002-shard-0000{shard}-of-00003" for fold in range(2) for shard in range(3)),
        "a-notes", "ab-shard-00000-of-00001",
    ]  # fmt: skip


def test_a_full_disk_leaves_nothing_and_the_old_shards(
    layouts: Layouts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = layouts.config("kitti")
    convert.convert(open_source(config), config, tmp_path / "out/a")
    before = contents(tmp_path / "out")
    written: list[str] = []
    real = tfrecord.write

    def failing(path: Path, payloads: Any) -> int:
        written.append(str(path))
        if len(written) == 3:
            raise DataError(f"{path}: the disk is full")
        return real(path, payloads)

    monkeypatch.setattr(tfrecord, "write", failing)
    for prefix in ("out/a", "new/a"):
        written.clear()
        with pytest.raises(DataError) as caught:
            convert.convert(open_source(config), config, tmp_path / prefix, overwrite=True)
        assert caught.value.message == f"{tmp_path / prefix}-fold-001-of-002-shard-00000-of-00002: the disk is full"
    assert contents(tmp_path / "out") == before
    assert not (tmp_path / "new").exists()


def test_a_class_without_mapping_is_found_once(layouts: Layouts, tmp_path: Path) -> None:
    config = layouts.config("kitti")
    config.target_class_mapping["CAR"] = "vehicle"
    tally = convert.check(open_source(config), config)
    (finding,) = tally.findings
    assert (finding.kind, finding.line) == (kinds.UNMAPPED, 2 if "000000" in finding.path else 1)
    assert '"person" (boxes: 2,' in finding.text
    converted = convert.convert(open_source(config), config, tmp_path / "a")
    assert converted.cumulative() == Counter(car=4, person=2)  # the mapping does not change the records
    config.target_class_mapping.clear()
    config.target_class_mapping["bus"] = "bus"
    with pytest.raises(DataError, match="target_class_mapping names no class") as caught:
        convert.convert(open_source(config), config, tmp_path / "b")
    assert caught.value.hints == ("the labels hold car, person", "the keys are bus")
    assert not list(tmp_path.glob("b*"))


def test_nothing_to_convert(layouts: Layouts, tmp_path: Path) -> None:
    for path in (layouts.root / "kitti/labels").iterdir():
        path.unlink()
    config = layouts.config("kitti")
    with pytest.raises(DataError, match="no picture of the data set can be converted"):
        convert.convert(open_source(config), config, tmp_path / "out/a")
    assert not (tmp_path / "out").exists()


def modifier(text: str) -> Any:
    return text_format.Parse(text, SampleModifierConfig())


@pytest.mark.parametrize(
    ("text", "names", "copies"),
    [
        ("", ["car"], 1),
        ('filter_samples_containing_only: ["Car", "van"]', ["car", "VAN"], 0),
        ('filter_samples_containing_only: "car"', ["car", "bus"], 1),
        ('filter_samples_containing_only: "car"', [], 1),
        ('dominant_target_classes: "car" num_duplicates: 2', ["car", "bus"], 1),
        ('dominant_target_classes: "car" num_duplicates: 2', ["car", "bus", "bus"], 3),
        ('dominant_target_classes: "car" num_duplicates: 2', ["car", "car"], 1),
        (
            'dominant_target_classes: "car" num_duplicates: 1 minimum_target_class_imbalance { key: "bus" value: 2.5 }',
            ["car", "car", "bus"],
            2,
        ),
        (
            'dominant_target_classes: "car" num_duplicates: 1 '
            'source_to_target_class_mapping { key: "Van" value: "car" }',
            ["bus", "van", "van"],
            1,
        ),
    ],
)
def test_copies_of_a_training_picture(text: str, names: Sequence[str], copies: int) -> None:
    assert modifiers.copies(names, modifier(text)) == copies


@pytest.mark.parametrize(
    ("text", "fold", "images"),
    [
        ('dominant_target_classes: "person" num_duplicates: 1', 0, [1, 4]),
        ('dominant_target_classes: "person" num_duplicates: 1', 1, [1, 2]),
        ("max_training_samples: 1", 0, [1, 1]),
        ('filter_samples_containing_only: "car"', 0, [1, 1]),
        ('dominant_target_classes: "person" num_duplicates: 1 max_training_samples: 3', 0, [1, 3]),
    ],
)
def test_samples_are_modified_in_the_training_folds(
    layouts: Layouts, tmp_path: Path, text: str, fold: int, images: list[int]
) -> None:
    config = layouts.config("kitti")
    config.sample_modifier_config.MergeFrom(modifier(text))
    tally = convert.convert(open_source(config), config, tmp_path / "a", validation_fold=fold)
    assert tally.images == images
    assert len(ids(tmp_path)) == sum(images)


def test_sequences_from_a_file(layouts: Layouts) -> None:
    config = layouts.config("kitti")
    (layouts.root / "kitti/map.json").write_text(json.dumps({"a": ["000000"], "b": ["000001", "000002", "000007"]}))
    config.kitti_config.partition_mode = "sequence"
    config.kitti_config.kitti_sequence_to_frames_file = "map.json"
    source = open_source(config)
    assert [[frame.id for frame in part] for part in source.partitions] == [
        ["images/000000"], ["images/000001", "images/000002"],
    ]  # fmt: skip
    assert [finding.kind for finding in source.findings] == [kinds.NO_IMAGE]
    (layouts.root / "kitti/map.json").write_text("[]")
    with pytest.raises(DataError, match="a JSON object is needed"):
        open_source(config)


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("moved", [0, 1, 2, 3])
def test_a_conversion_cut_off_while_it_publishes_is_told_and_done_again(
    layouts: Layouts, dataset_config: Any, tmp_path: Path, moved: int, old: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, out = layouts.config("kitti"), tmp_path / "out"
    convert.convert(open_source(config), config, tmp_path / "whole/kitti")
    expected = contents(tmp_path / "whole")
    assert len(expected) == 4
    if old:
        out.mkdir()
        for name in expected:
            (out / name).write_bytes(b"old")
    left = moved

    def dying(source: Path, target: Path) -> None:
        nonlocal left
        if Path(target).parent == out and not Path(target).name.startswith("."):
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
        Path(source).rename(target)

    with monkeypatch.context() as patch:
        patch.setattr(convert.os, "replace", dying)
        with pytest.raises(KeyboardInterrupt):
            convert.convert(open_source(config), config, out / "kitti", overwrite=old)
    if old or moved:
        sources = f'data_sources {{ tfrecords_path: "{out}/kitti*" image_directory_path: "{layouts.root}/kitti" }}'
        with pytest.raises(DataError, match="cut off while it put these shards in place"):
            dataset.read(dataset_config(sources, car="car"), "training")
    convert.convert(open_source(config), config, out / "kitti")  # the same command, though shards exist
    assert contents(out) == expected
