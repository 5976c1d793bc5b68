"""Folders for DeepStream and Triton: complete, equal to infer on real pictures, and wrong ones found out."""

import json
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from shapes import KEY, Trained

from tltpy import tasks
from tltpy.deploy import deepstream, nvinfer, triton
from tltpy.errors import QualityError, UsageError
from tltpy.steps import bundles, models

Cli = Callable[..., Any]


@pytest.fixture(scope="module")
def exported(here: Cli, trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A folder with both bundles, and what the executable printed."""
    out = tmp_path_factory.mktemp("bundles")
    done = here(
        "tlt-export", "yolo", "-m", trained.model, "-k", KEY, "-o", out / "shapes.etlt", "--gen_ds_config", "--triton",
        out / "models", "--max_batch_size", 3, "--json", check=0,
    )
    return out, done


def reference(model: Path, images: Path) -> bundles.Reference:
    opened = models.open_network(model, KEY, "yolo")
    task = tasks.load("yolo")
    (graph,) = task.graphs(opened.network, opened.cfg)
    return bundles.reference(task, opened.cfg, graph, *bundles.pictures(task, opened.cfg, images))


@pytest.fixture(scope="module")
def wanted(trained: Trained) -> bundles.Reference:
    return reference(trained.model, trained.data / "images")


@pytest.fixture
def folder(exported: tuple[Path, Any], tmp_path: Path) -> Path:
    """A copy of the DeepStream folder."""
    return Path(shutil.copytree(exported[0] / "shapes_deepstream", tmp_path / "played"))


def test_the_folders_are_complete(exported: tuple[Path, Any]) -> None:
    out, done = exported
    names = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    assert [name for name in names if "_openvino" not in name] == [
        "models/shapes/1/model.onnx", "models/shapes/config.pbtxt", "models/shapes/labels.txt", "shapes.etlt",
        *(f"shapes_deepstream/{name}" for name in sorted(["README.md", *(
            deepstream.APP, deepstream.LABELS, deepstream.GRAPH, deepstream.CONFIG)])),
    ]  # fmt: skip
    result = json.loads(done.stdout)["bundles"]
    assert [entry["kind"] for entry in result] == ["deepstream", "triton onnxruntime", "triton openvino"]
    assert all(entry["boxes"] > 0 and entry["pictures"] == 4 for entry in result)
    assert "plain ONNX" in done.stderr and "4 validation pictures" in done.stderr
    assert (out / "models/shapes/labels.txt").read_text() == "bar\ndisc\n"


def test_plays_what_infer_finds(folder: Path, wanted: bundles.Reference) -> None:
    (played,) = bundles.check(folder, wanted)
    assert played.boxes >= 14 and played.pictures == 10 and played.threshold == pytest.approx(0.3)
    assert played.paired > 0.9 and played.overlap > 0.9


def test_plays_what_infer_finds_on_kitti(
    exported: tuple[Path, Any], trained: Trained, shared: Path, folder: Path
) -> None:
    """Pictures of several sizes, four times as wide as high, in an input of three to two: half of it is margin."""
    wanted = reference(trained.model, shared / "data/kitti_object/training/image_2")
    sizes = {frame.shape for frame in wanted.frames}
    assert len(wanted.frames) == 13 and len(sizes) > 1
    assert sum(len(objects) for objects in wanted.objects) > 20
    played = [*bundles.check(folder, wanted), *bundles.check(exported[0] / "models", wanted)]
    assert [each.kind for each in played] == ["deepstream", "triton onnxruntime", "triton openvino"]
    path = folder / deepstream.CONFIG
    path.write_text(path.read_text().replace("symmetric-padding=1", "symmetric-padding=0"))
    with pytest.raises(QualityError, match="otherwise than in tlt-infer"):
        bundles.check(folder, wanted)


KEYS: list[tuple[str, str, str]] = [
    ("offsets=103.939;116.779;123.68", "offsets=123.68;116.779;103.939", "otherwise than in tlt-infer"),
    ("offsets=103.939;116.779;123.68", "offsets=103.939;116.779", "2 numbers, not 3"),
    ("net-scale-factor=1.0", "net-scale-factor=0.0039", "otherwise than in tlt-infer"),
    ("model-color-format=1", "model-color-format=0", "otherwise than in tlt-infer"),
    ("model-color-format=1", "model-color-format=2", "3 channels"),
    ("infer-dims=3;64;96", "infer-dims=3;96;64", "infer-dims"),
    ("maintain-aspect-ratio=1", "maintain-aspect-ratio=0", "otherwise than in tlt-infer"),
    ("symmetric-padding=1", "symmetric-padding=0", "otherwise than in tlt-infer"),
    ("scaling-filter=1", "scaling-filter=0", "bilinearly"),
    ("num-detected-classes=2", "num-detected-classes=3", "2 labels"),
    ("onnx-file=model.onnx", "onnx-file=other.onnx", "no such file"),
    ("output-blob-names=BatchedNMS", "output-blob-names=boxes", "no output boxes"),
    ("NvDsInferParseCustomBatchedNMSTLT", "NvDsInferParseCustomNMSTLT", "does not read the layers"),
    ("network-type=0", "network-type=1", "does not read the layers"),
    ("cluster-mode=4", "cluster-mode=2", "merged once more"),
    ("interval=0", "interval=2", "left out"),
    ("detected-min-w=0", "detected-min-w=20", "drops boxes"),
    ("pre-cluster-threshold=0.3", "pre-cluster-threshold=high", "not numbers"),
    ("[property]", "[properties]", "no section"),
    ("batch-size=3", "batch-size=2", "says otherwise"),
]


@pytest.mark.parametrize(("old", "new", "message"), KEYS, ids=[new for _, new, _ in KEYS])
def test_a_wrong_key_is_found_out(
    folder: Path, wanted: bundles.Reference, old: str, new: str, message: str
) -> None:
    path = folder / deepstream.CONFIG
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    with pytest.raises(QualityError, match=message) as caught:
        bundles.check(folder, wanted)
    assert deepstream.CONFIG in caught.value.message or "deepstream_app" in caught.value.message


def test_swapped_labels_are_found_out(folder: Path, wanted: bundles.Reference) -> None:
    (folder / deepstream.LABELS).write_text("disc\nbar\n")
    with pytest.raises(QualityError, match="labels are not those of the graph"):
        bundles.check(folder, wanted)


def test_other_boxes_are_found_out(
    folder: Path, wanted: bundles.Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comparison of boxes, which comes after that of keys and pictures, can fail, too."""
    parse = nvinfer.parse

    def shifted(*arguments: Any, **options: Any) -> nvinfer.Boxes:
        found = parse(*arguments, **options)
        return nvinfer.Boxes(found.boxes_xyxy + 1, found.scores, found.class_ids)

    monkeypatch.setattr(nvinfer, "parse", shifted)
    with pytest.raises(QualityError, match="boxes differ from those of tlt-infer"):
        bundles.check(folder, wanted)


def test_a_threshold_of_a_class(folder: Path, wanted: bundles.Reference) -> None:
    path = folder / deepstream.CONFIG
    (before,) = bundles.check(folder, wanted)
    path.write_text(path.read_text() + "\n[class-attrs-1]\npre-cluster-threshold=0.9999\n")
    assert nvinfer.read(folder).thresholds == (0.3, 0.9999)
    lowered = bundles.check_deepstream(folder, wanted)
    assert lowered.boxes != before.boxes


TRITON: list[tuple[str, str, str]] = [
    ("TYPE_INT32", "TYPE_INT64", "int64 there"),
    ('name: "Input"', 'name: "input"', "not the graph's"),
    ("dims: [ 3, 64, 96 ]", "dims: [ 3, 96, 64 ]", "has dims"),
    ("data_type", "datatype", "datatype"),
    ("TYPE_FP32", "FP32", "FP32"),
    ("max_batch_size: 3", "max_batch_size: 2", "preferred_batch_size 3"),
    ('backend: "onnxruntime"', 'backend: "tensorflow"', "none of"),
    ('name: "shapes"', 'name: "forms"', "its folder"),
    ("model.onnx", "net.onnx", "not there"),
    ('label_filename: "labels.txt"', 'label_filename: "names.txt"', "cannot be read"),
]


@pytest.mark.parametrize(("old", "new", "message"), TRITON, ids=[new for _, new, _ in TRITON])
def test_a_wrong_field_is_found_out(
    exported: tuple[Path, Any], wanted: bundles.Reference, tmp_path: Path, old: str, new: str, message: str
) -> None:
    model = Path(shutil.copytree(exported[0] / "models/shapes", tmp_path / "shapes"))
    assert bundles.check(model, wanted)[0].kind == "triton onnxruntime"
    path = model / triton.CONFIG
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(QualityError, match=message):
        bundles.check(model, wanted)


def test_another_network_is_found_out(
    exported: tuple[Path, Any], wanted: bundles.Reference, tmp_path: Path
) -> None:
    model = Path(shutil.copytree(exported[0] / "models/shapes", tmp_path / "shapes"))
    graph = model / "1/model.onnx"
    import onnx

    changed = onnx.load(graph)
    weight = max(changed.graph.initializer, key=lambda each: len(each.raw_data))
    array = onnx.numpy_helper.to_array(weight) * 1.2
    weight.CopyFrom(onnx.numpy_helper.from_array(array, weight.name))
    onnx.save(changed, graph)
    with pytest.raises(QualityError, match="another answer than the model's"):
        bundles.check(model, wanted)


def test_checked_by_an_executable(here: Cli, exported: tuple[Path, Any], trained: Trained, folder: Path) -> None:
    flags = ["-m", trained.model, "-k", KEY, "-i", trained.data / "images/002.png", "-q"]
    done = here("tlt-bundle-check", "yolo", exported[0] / "models", *flags, check=0)
    assert [line.split("triton ")[1].split(":")[0] for line in done.stdout.splitlines()] == ["onnxruntime", "openvino"]
    path = folder / deepstream.CONFIG
    path.write_text(path.read_text().replace("offsets=103", "offsets=100"))
    done = here("tlt-bundle-check", "yolo", folder, *flags, check=7)
    assert "nvinfer_config.txt: picture 0 reaches the network otherwise" in done.stderr
    here("tlt-bundle-check", "yolo", trained.data, *flags, check=2)
    here("tlt-bundle-check", "yolo", folder / "none", *flags, check=2)


def test_nothing_is_written_when_a_folder_is_wrong(
    exported: tuple[Path, Any], wanted: bundles.Reference, tmp_path: Path
) -> None:
    source = exported[0] / "shapes_deepstream"
    parts = {path.name: path.read_bytes() for path in source.iterdir()}
    wrong = {**parts, deepstream.CONFIG: parts[deepstream.CONFIG].replace(b"format=1", b"format=0")}
    before = {**parts, "old.txt": b""}
    place = tmp_path / "played"
    with ExitStack() as stack:
        bundles.stage(place, before, wanted, stack)
        assert not place.exists()
    with pytest.raises(QualityError, match="otherwise than in tlt-infer"), ExitStack() as stack:
        bundles.stage(place, wrong, wanted, stack)
    assert [path.name for path in tmp_path.iterdir()] == ["played"]
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before
    with ExitStack() as stack:
        (entry,) = bundles.stage(place, parts, wanted, stack)
    assert entry["folder"] == str(place) and not (place / "old.txt").exists()


def test_pictures_of_sixteen_bits_have_no_folder(wanted: bundles.Reference) -> None:
    deep = {**wanted.metadata, "input": {**wanted.metadata["input"], "bits": 16}}
    with pytest.raises(UsageError, match="8 bits"):
        deepstream.require(deep)
    with pytest.raises(UsageError, match="no parser"):
        deepstream.require({"labels": ["a"]})
