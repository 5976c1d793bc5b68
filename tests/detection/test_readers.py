"""The four readers: the same records whichever source; what is wrong is found with its file and line, and counted."""

import json
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format

from tltpy.detection import coco, kitti, yolo_txt
from tltpy.detection import findings as kinds
from tltpy.detection.findings import Finding, count_kinds
from tltpy.detection.frames import Reading, Source, read_frame
from tltpy.detection.records import DetectionRecord, make_record, select
from tltpy.detection.sources import open_source
from tltpy.errors import DataError
from tltpy.spec.detection_pb2 import DatasetExportConfig

Layouts = Any
LAYOUTS = ("kitti", "voc", "coco", "yolo_txt")


def read_all(source: Source, decode: bool = False) -> list[list[Reading]]:
    return [[read_frame(source.read_labels, frame, decode=decode) for frame in part] for part in source.partitions]


def records_of(config: Any) -> list[list[DetectionRecord]]:
    return [[reading.record for reading in part if reading.record] for part in read_all(open_source(config))]


def findings_of(config: Any, decode: bool = False) -> list[Finding]:
    source = open_source(config)
    return [*source.findings, *(f for part in read_all(source, decode) for reading in part for f in reading.findings)]


def assert_same(one: DetectionRecord, other: DetectionRecord, *, but: tuple[str, ...] = ()) -> None:
    for field in fields(DetectionRecord):
        if field.name not in but:
            expected, found = getattr(one, field.name), getattr(other, field.name)
            if isinstance(expected, np.ndarray):
                assert expected.dtype == found.dtype, field.name
                np.testing.assert_array_equal(expected, found, field.name)
            else:
                assert expected == found, field.name


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_records_whichever_source(layouts: Layouts, layout: str) -> None:
    reference, found = records_of(layouts.config("kitti")), records_of(layouts.config(layout))
    assert [[record.id.rsplit("/")[-1] for record in part] for part in found] == [["000000"], ["000001", "000002"]]
    for one, other in zip(sum(reference, []), sum(found, []), strict=True):
        # coco and yolo-txt know nothing of difficult boxes; the folders differ
        unknown = ("occlusion",) if layout in ("coco", "yolo_txt") else ()
        assert_same(one, other, but=("image_path", "id", *unknown))
        assert other.image().shape == (*other.size_hw, 3)
        np.testing.assert_array_equal(one.image(), other.image())


def test_fields_of_a_kitti_row(layouts: Layouts) -> None:
    label = layouts.root / "kitti/labels/000001.txt"
    label.write_text("Van 0.25 2 -1.5 10.9 3.2 20.99 30.5 1.5 1.6 3.9 -2.5 1.75 30.25 -1.6\n\n")
    record = records_of(layouts.config("kitti"))[1][0]
    assert (record.id, record.size_hw, record.class_names) == ("images/000001", (36, 50), ("van",))
    assert record.boxes_xyxy.tolist() == [[10, 3, 20, 30]]  # the fraction is cut off
    assert (record.truncation[0], record.occlusion[0], record.observation_angle[0]) == (0.25, 2, -1.5)
    np.testing.assert_allclose(record.dims_hwl, [[1.5, 1.6, 3.9]])
    np.testing.assert_allclose(record.location_xyz, [[-2.5, 1.75, 30.25]])
    np.testing.assert_allclose(record.rotation_y, [-1.6])


def test_voc_flags_and_fractions(layouts: Layouts) -> None:
    label = layouts.root / "voc/Annotations/000001.xml"
    label.write_text(
        "<annotation><object><name>Dog</name><truncated>1</truncated><bndbox><xmin>1.5</xmin><ymin>2</ymin>"
        "<xmax>9.25</xmax><ymax>8</ymax></bndbox><difficult>1</difficult></object></annotation>"
    )
    record = records_of(layouts.config("voc"))[1][0]
    assert record.class_names == ("dog",)
    assert record.boxes_xyxy.tolist() == [[1.5, 2, 9.25, 8]]
    assert (record.truncation.tolist(), record.occlusion.tolist()) == ([1.0], [1])


def test_coco_names_lose_their_blanks_and_pictures_without_boxes_stay(layouts: Layouts) -> None:
    path = layouts.root / "coco/train.json"
    content = json.loads(path.read_text())
    content["annotations"] = [{"id": 5, "image_id": 1, "category_id": 12, "bbox": [1.5, 2, 3, 4.25]}]
    path.write_text(json.dumps(content))
    empty, full = records_of(layouts.config("coco"))[1]
    assert (empty.class_names, empty.boxes_xyxy.shape, full.class_names) == ((), (0, 4), ("trafficlight",))
    assert full.boxes_xyxy.tolist() == [[1.5, 2, 4.5, 6.25]]


def test_bad_rows_of_kitti(layouts: Layouts) -> None:
    good = "car 0 0 0 1 2 9 8 0 0 0 0 0 0 0"
    rows = [
        good, good[:-2], good + " 0.9", good.replace("1 2", "one 2"), good.replace("1 2", "nan 2"),
        good.replace("9", "1"), good.replace("9", "900"), "", "car", good,
    ]  # fmt: skip
    path = layouts.root / "kitti/labels/000001.txt"
    path.write_text("\n".join(rows))
    found = findings_of(layouts.config("kitti"))
    assert {(finding.kind, finding.line) for finding in found} == {
        (kinds.COLUMNS, 2), (kinds.COLUMNS, 3), (kinds.NUMBER, 4), (kinds.NUMBER, 5),
        (kinds.DEGENERATE, 6), (kinds.OUTSIDE, 7), (kinds.COLUMNS, 9),
    }  # fmt: skip
    assert {finding.path for finding in found} == {str(path)}
    assert all(str(finding).startswith(f"{path}:{finding.line}: ") for finding in found)
    assert count_kinds(found)[kinds.COLUMNS] == 3
    record = records_of(layouts.config("kitti"))[1][0]
    assert record.boxes_xyxy.tolist() == [[1, 2, 9, 8], [1, 2, 900, 8], [1, 2, 9, 8]]
    bad = [box for reading in read_all(open_source(layouts.config("kitti")))[1] for box in reading.bad_boxes]
    assert bad == [(1, 2, 1, 8)]


def test_bad_objects_of_voc(layouts: Layouts) -> None:
    path = layouts.root / "voc/Annotations/000001.xml"
    box = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>9</xmax><ymax>8</ymax></bndbox>"
    objects = [
        f"<object><name>car</name>{box}</object>",
        f"<object>{box}</object>",
        "<object><name>car</name></object>",
        f"<object><name>car</name>{box.replace('9', 'x')}</object>",
        f"<object><name>car</name>{box.replace('9', '1')}</object>",
    ]
    path.write_text("<annotation>\n" + "\n".join(objects) + "</annotation>")
    found = findings_of(layouts.config("voc"))
    assert [(finding.kind, finding.line) for finding in found] == [
        (kinds.COLUMNS, 3), (kinds.COLUMNS, 4), (kinds.NUMBER, 5), (kinds.DEGENERATE, 6),
    ]  # fmt: skip
    path.write_text("<annotation>\n<object></annotation>")
    (finding,) = findings_of(layouts.config("voc"))
    assert (finding.kind, finding.path, finding.line) == (kinds.BAD_LABEL, str(path), 2)


def test_bad_annotations_of_coco(layouts: Layouts) -> None:
    path = layouts.root / "coco/train.json"
    lines = [
        '{"images": [{"id": 0, "file_name": "000001.png"}],', '"categories": [{"id": 1, "name": "car"}],',
        '"annotations": [', '{"id": 0, "image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4]},',
        '{"id": 1, "image_id": 0, "category_id": 7, "bbox": [1, 2, 3, 4]},',
        '{"id": 2, "image_id": 0, "category_id": 1, "bbox": [1, 2, 3]},',
        '{"id": 3, "image_id": 0, "category_id": 1, "bbox": [1, 2, "a", 4]},', '7,',
        '{"id": 4, "image_id": 0, "category_id": 1, "bbox": [1, 2, 0, 4]},',
        '{"id": 5, "image_id": [0], "category_id": 1, "bbox": [1, 2, 3, 4]}', "]}",
    ]  # fmt: skip
    path.write_text("\n".join(lines))
    found = findings_of(layouts.config("coco"))
    assert sorted((finding.line, finding.kind) for finding in found) == [
        (4, kinds.NO_IMAGE), (5, kinds.NO_CLASS), (6, kinds.COLUMNS), (7, kinds.NUMBER), (8, kinds.BAD_LABEL),
        (9, kinds.DEGENERATE), (10, kinds.NO_IMAGE),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ":1: the annotation file is no JSON object"),
        ("[1, 2]", ":1: the annotation file is no JSON object"),
        ('{"images": [],\n"annotations": [}', ":2: the annotation file is no JSON object"),
        ('{"images": [], "annotations": []}', ': the annotation file has no list "categories"'),
        (
            '{"images": [{"id": 1}], "annotations": [], "categories": []}',
            ':1: an entry of "images" has no id or no file',
        ),
    ],
)
def test_an_unfit_annotation_file(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        coco.list_frames(path, tmp_path, "images", [])
    assert caught.value.message.startswith(f"{path}{message}")


def test_bad_rows_of_yolo_txt(layouts: Layouts) -> None:
    path = layouts.root / "yolo_txt/train/labels/000001.txt"
    path.write_text(
        "0 .5 .5 .5 .5\n0 .5 .5 .5\n3 .5 .5 .1 .1\nx .5 .5 .1 .1\n0 .5 .5 0 .1\n0 inf .5 .1 .1\n\n0 .9 .5 .5 .5\n"
    )
    (layouts.root / "yolo_txt/train/labels/000002.txt").unlink()
    found = findings_of(layouts.config("yolo_txt"))
    assert [(finding.kind, finding.line) for finding in found] == [
        (kinds.COLUMNS, 2), (kinds.NO_CLASS, 3), (kinds.NUMBER, 4), (kinds.DEGENERATE, 5), (kinds.NUMBER, 6),
        (kinds.OUTSIDE, 8), (kinds.NO_LABEL, 0),
    ]  # fmt: skip
    assert records_of(layouts.config("yolo_txt"))[1][1].class_names == ()  # kept as a picture without objects


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("names.txt", "car\n\ntraffic light \n"),
        ("data.yaml", "path: x\nnames: ['car', 'traffic light']\nnc: 2\n"),
        ("data.yaml", "names: [car, traffic light]  # two\n"),
        ("data.yaml", "names: {0: 'car', 1: 'traffic light'}\n"),
        ("data.yaml", "nc: 2\nnames:\n  # the classes\n  1: traffic light  # red\n  0: car\n\ntrain: x\n"),
        ("data.yml", "names:\n- car\n- 'traffic light'\nval: y\n"),
    ],
)
def test_class_names(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert yolo_txt.read_class_names(tmp_path / name) == ("car", "traffic light")


def test_missing_files_are_found(layouts: Layouts) -> None:
    kitti_root, voc_root = layouts.root / "kitti", layouts.root / "voc"
    (kitti_root / "labels/000002.txt").unlink()
    (kitti_root / "labels/000009.txt").write_text("")
    (kitti_root / "images/000001.png").write_bytes(b"no picture")
    found = {(finding.kind, Path(finding.path).name) for finding in findings_of(layouts.config("kitti"))}
    assert found == {
        (kinds.NO_LABEL, "000002.txt"), (kinds.LONE_LABEL, "000009.txt"), (kinds.BAD_IMAGE, "000001.png"),
    }  # fmt: skip
    assert [len(part) for part in records_of(layouts.config("kitti"))] == [1, 0]
    (voc_root / "images/000001.png").unlink()
    assert [finding.kind for finding in findings_of(layouts.config("voc"))] == [kinds.NO_IMAGE]


def test_only_decoding_finds_a_cut_picture(layouts: Layouts) -> None:
    path = layouts.root / "kitti/images/000001.png"
    path.write_bytes(path.read_bytes()[:-100])
    assert findings_of(layouts.config("kitti")) == []
    (finding,) = findings_of(layouts.config("kitti"), decode=True)
    assert (finding.kind, finding.path) == (kinds.BAD_IMAGE, str(path))


def test_a_missing_folder_says_which_field_names_it(layouts: Layouts) -> None:
    config = layouts.config("kitti")
    config.kitti_config.root_directory_path = "/no/such/folder"
    with pytest.raises(DataError, match="/no/such/folder: no such folder") as caught:
        open_source(config)
    assert "root_directory_path" in caught.value.hints[0]
    config = layouts.config("kitti")
    config.kitti_config.image_extension = ".jpg"
    with pytest.raises(DataError, match=r"no image with the extension \.jpg") as caught:
        open_source(config)
    assert ".png" in caught.value.hints[0]
    shutil.rmtree(layouts.root / "voc/ImageSets")
    with pytest.raises(DataError, match="val.txt: the list of images cannot be read"):
        open_source(layouts.config("voc"))


def test_a_relative_root_is_taken_from_the_environment(layouts: Layouts, monkeypatch: pytest.MonkeyPatch) -> None:
    config = layouts.config("kitti")
    config.kitti_config.root_directory_path = "kitti"
    monkeypatch.setenv("DATA_BASE_PATH", str(layouts.root))
    assert len(open_source(config).partitions[1]) == 2
    monkeypatch.delenv("DATA_BASE_PATH")
    monkeypatch.chdir(layouts.root)
    assert len(open_source(config).partitions[1]) == 2


def test_label_files_without_conversion_may_have_nine_columns() -> None:
    labels = kitti.parse("car 0 1 0 1.5 2 9 8 1\ncar 0 0 0 1 2 9 8\n", Path("a.txt"), 9, 99)
    assert labels.rows == [(0, 1, 0, 1.5, 2, 9, 8, 1, 0, 0, 0, 0, 0, 0)]
    assert [finding.line for finding in labels.findings] == [2]


def test_a_selection_keeps_the_fields_together() -> None:
    boxes = np.arange(12.0).reshape(3, 4)
    record = make_record(id="a", class_names=["A", "b", "C"], boxes_xyxy=boxes, occlusion=[0, 1, 2])
    chosen = select(record, np.array([True, False, True]))
    assert (chosen.class_names, chosen.occlusion.tolist()) == (("a", "c"), [0, 2])
    np.testing.assert_array_equal(chosen.boxes_xyxy, boxes[[0, 2]])
    assert all(len(getattr(chosen, name)) == 2 for name in ("truncation", "dims_hwl", "location_xyz", "rotation_y"))


def test_real_voc_data(shared: Path) -> None:
    """As many boxes as the XML files have names, but for the two that SOURCE.txt of the data calls degenerate."""
    config = _export(f'voc_config {{ root_directory_path: "{shared}/data/bccd/BCCD" }}')
    found = findings_of(config)
    assert {(finding.kind, Path(finding.path).stem, finding.line) for finding in found} == {
        (kinds.DEGENERATE, "BloodImage_00338", 158), (kinds.DEGENERATE, "BloodImage_00343", 50),
    }  # fmt: skip
    parts = records_of(config)
    assert [len(part) for part in parts] == [87, 205]
    names = [name for part in parts for record in part for name in record.class_names]
    written = "".join(path.read_text() for path in (shared / "data/bccd/BCCD/Annotations").iterdir())
    assert len(names) == written.count("<name>") - 2


def test_real_kitti_data(shared: Path) -> None:
    config = _export(
        f'kitti_config {{ root_directory_path: "{shared}/data/kitti_object/training" partition_mode: "random" }}'
    )
    assert findings_of(config, decode=True) == []
    parts = records_of(config)
    assert [len(part) for part in parts] == [1, 12]  # trunc(0.14 * 13)
    assert parts[0][0].id == "image_2/000000"
    rows = sum(path.read_text().count("\n") for path in (shared / "data/kitti_object/training/label_2").iterdir())
    assert sum(len(record.class_names) for part in parts for record in part) == rows


def _export(text: str) -> Any:
    return text_format.Parse(text, DatasetExportConfig())


def test_a_different_box_is_a_different_record(layouts: Layouts) -> None:
    path = layouts.root / "kitti/labels/000001.txt"
    path.write_text(path.read_text().replace("50", "49"))
    reference, found = records_of(layouts.config("voc")), records_of(layouts.config("kitti"))
    with pytest.raises(AssertionError):
        assert_same(reference[1][0], found[1][0], but=("image_path", "id"))
