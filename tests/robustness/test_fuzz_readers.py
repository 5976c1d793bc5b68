"""Whatever a file holds, its reader gives what it found or a TltError: never another exception, never a hang.

Valid files are damaged (cut, spliced, bytes changed) and files are made up from the pieces of the format.
"""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from google.protobuf import text_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tltpy import artifact
from tltpy.crypto import key as key_module
from tltpy.data import images, tfrecord
from tltpy.detection import convert
from tltpy.detection.examples import Place, bytes_to_record
from tltpy.detection.sources import open_source
from tltpy.errors import DataError, ModelFileError, TltError
from tltpy.spec.detection_pb2 import DatasetExportConfig

MANY = settings(
    max_examples=int(os.environ.get("EXAMPLES", "150")), deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
KITTI_ROW = "car 0.00 0 -1.57 3.0 5.0 20.0 19.0 1.5 1.6 3.9 1.8 1.5 13.2 -1.6\n"
VOC = (
    "<annotation><size><width>40</width><height>24</height></size><object><name>car</name><difficult>0</difficult>"
    "<bndbox><xmin>3</xmin><ymin>4</ymin><xmax>20</xmax><ymax>19</ymax></bndbox></object></annotation>\n"
)
COCO: dict[str, Any] = {
    "images": [{"id": 1, "file_name": "a.png", "width": 40, "height": 24}],
    "annotations": [{"id": 5, "image_id": 1, "category_id": 7, "bbox": [3, 4, 17, 15], "iscrowd": 0}],
    "categories": [{"id": 7, "name": "car"}],
}


@st.composite
def damaged(draw: st.DrawFn, good: bytes) -> bytes:
    """The bytes after a few cuts, splices and changes."""
    data = bytearray(good)
    for _ in range(draw(st.integers(1, 4))):
        at, length = draw(st.integers(0, len(data))), draw(st.sampled_from([0, 1, 2, 8, 40, 1 << 20]))
        data[at : at + length] = draw(st.binary(max_size=6) | st.sampled_from([b"\n", b" ", b"nan", b"1e999", b"\xff"]))
    return bytes(data)


def layout(folder: Path, kind: str, text: bytes) -> Any:
    """A data set of one picture in a layout, with the text as its label file."""
    shutil.rmtree(folder, ignore_errors=True)
    places = {
        "kitti": ("i/a.png", "l/a.txt", 'image_dir_name: "i" label_dir_name: "l" val_split: 0'),
        "voc": ("i/a.png", "x/a.xml", 'image_dir_name: "i" annotation_dir_name: "x" image_extension: ".png"'),
        "coco": ("i/a.png", "a.json", 'img_dir_names: "i" annotation_files: "a.json"'),
        "yolo_txt": ("t/images/a.png", "t/labels/a.txt", 'validation_images: "v/images" training_images: "t/images"'),
    }
    picture, label, more = places[kind]
    for name in (picture, label, "v/images/b.png", "ImageSets/Main/train.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(folder / picture), np.full((24, 40, 3), 70, np.uint8))
    (folder / label).write_bytes(text)
    (folder / "classes.txt").write_text("car\nperson\n")
    (folder / "ImageSets/Main/train.txt").write_text("a\n")
    (folder / "ImageSets/Main/val.txt").write_text("")
    return text_format.Parse(f'{kind}_config {{ root_directory_path: "{folder}" {more} }}', DatasetExportConfig())


def boxes(config: Any) -> int:
    """How many boxes are found; every one is a box, and what is left out is told."""
    tally = convert.check(open_source(config), config)
    for finding in tally.findings:
        assert finding.path and finding.line >= 0 and str(finding)
    return sum(tally.cumulative().values())


def labels(kind: str) -> bytes:
    return {
        "kitti": (KITTI_ROW * 3).encode(),
        "voc": VOC.encode(),
        "coco": json.dumps(COCO, indent=1).encode(),
        "yolo_txt": b"0 0.3 0.4 0.2 0.3\n1 0.6 0.5 0.1 0.2\n",
    }[kind]


@pytest.mark.parametrize("kind", ["kitti", "voc", "coco", "yolo_txt"])
def test_damaged_labels(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    assert boxes(layout(folder, kind, labels(kind))) >= 1  # unharmed

    @MANY
    @given(damaged(labels(kind)))
    def check(text: bytes) -> None:
        try:
            boxes(layout(folder, kind, text))
        except TltError as error:
            assert isinstance(error, DataError) and error.message

    check()


numbers = st.floats() | st.integers() | st.sampled_from(["1e999", "-0", "0x1", "", "1,5", "nan", "inf", "10" * 40])


@MANY
@given(rows=st.lists(st.lists(numbers | st.sampled_from(["car", "#", "\x00", "\u00e4"]), max_size=18), max_size=6))
def test_rows_of_anything(rows: list[list[Any]], tmp_path: Path) -> None:
    text = "\n".join(" ".join(map(str, row)) for row in rows).encode()
    for kind in ("kitti", "yolo_txt"):
        boxes(layout(tmp_path / "data", kind, text))  # a bad row is a finding, not an error


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@MANY
@given(
    where=st.sampled_from(["images", "annotations", "categories"]),
    field=st.sampled_from(["id", "image_id", "category_id", "bbox", "file_name", "name", "width", "iscrowd"]),
    value=anything,
    whole=st.booleans(),
)
def test_coco_of_anything(where: str, field: str, value: Any, whole: bool, tmp_path: Path) -> None:
    data = json.loads(json.dumps(COCO))
    if whole:
        data[where] = value
    else:
        data[where][0][field] = value
    try:
        boxes(layout(tmp_path / "data", "coco", json.dumps(data).encode()))
    except TltError as error:
        assert isinstance(error, DataError) and ("a.json" in error.message or "no picture" in error.message)


def records(path: Path) -> int:
    return sum(1 for number, payload in enumerate(tfrecord.read(path)) if bytes_to_record(payload, Place(path, number)))


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("shard")
    config = layout(folder / "data", "kitti", labels("kitti"))
    tally = convert.convert(open_source(config), config, folder / "out/a")
    (path,) = (Path(name) for name in tally.shards if Path(name).stat().st_size)
    assert records(path) == 1
    return path.read_bytes()


def test_damaged_records(shard: bytes, tmp_path: Path) -> None:
    path = tmp_path / "shard"

    @MANY
    @given(damaged(shard))
    def check(data: bytes) -> None:
        path.write_bytes(data)
        if data in (b"", shard):
            assert records(path) == (data == shard)
            return
        for reader in (records, tfrecord.read_index):
            try:
                found = reader(path)
            except DataError as error:
                assert str(path) in error.message
            else:  # only the index, which reads no payload, may overlook the damage; or whole records were cut out
                assert reader is tfrecord.read_index or found == 0 or data.startswith(shard)

    check()


@MANY
@given(payload=st.binary(max_size=60))
def test_records_of_any_payload(payload: bytes) -> None:
    try:
        bytes_to_record(payload, Place(Path("shard"), 3))
    except DataError as error:
        assert "shard: record 3" in error.message


def test_damaged_examples(shard: bytes, tmp_path: Path) -> None:
    """Checksums that are right, of a message that is not."""
    (tmp_path / "shard").write_bytes(shard)
    (payload,) = tfrecord.read(tmp_path / "shard")

    @MANY
    @given(damaged(payload))
    def check(data: bytes) -> None:
        try:
            record = bytes_to_record(data, Place(Path("shard"), 3))
        except DataError as error:
            assert "shard: record 3" in error.message
        else:
            assert len(record.boxes_xyxy) == len(record.class_names) == len(record.occlusion)

    check()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".gif"])
def test_damaged_pictures(suffix: str, tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (24, 40, 3)).astype(np.uint8)
    good = cv2.imencode(suffix, pixels)[1].tobytes()
    path = tmp_path / f"a{suffix}"

    @MANY
    @given(damaged(good))
    def check(data: bytes) -> None:
        path.write_bytes(data)
        readers: list[Callable[[Path], Any]] = [images.read, images.read_deep, images.read_size]
        for reader in readers:
            try:
                reader(path)
            except DataError as error:
                assert str(path) in error.message

    check()


def test_damaged_model_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_module, "LOG2_N", 10)  # the key is derived again for every file
    import torch

    path = tmp_path / "a.tlt"
    tensors = {"w": torch.arange(300.0).reshape(3, 100), "n": torch.tensor(3)}
    artifact.save_model(path, key="key", task="yolo", tensors=tensors, metadata={"spec": "x"})
    good = path.read_bytes()

    @MANY
    @given(damaged(good))
    def check(data: bytes) -> None:
        path.write_bytes(data)
        if data == good:
            return
        for opener in (artifact.load_model, artifact.load_graph, artifact.check_key):
            with pytest.raises(ModelFileError) as caught:
                opener(path, "key")
                assert opener is artifact.check_key  # it looks at the header alone
                raise ModelFileError(f"{path}: ")
            assert str(path) in caught.value.message

    check()
