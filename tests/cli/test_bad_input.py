"""What a user may get wrong: each is answered by one clear message and the right exit code, and nothing is written."""

import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from shapes import KEY, Trained

Cli = Callable[..., Any]
LINE = re.compile(r"tlt-[a-z-]+: (error|hint|warning): \S")
CONVERT = """kitti_config {{ root_directory_path: "{data}" image_dir_name: "images" label_dir_name: "labels"
image_extension: ".png" partition_mode: "random" num_partitions: 2 val_split: 20 num_shards: 2 }}
image_directory_path: "{data}" """


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Where everything would be written; it must not exist afterwards."""
    return tmp_path / "out"


@pytest.fixture
def refused(here: Cli, out: Path, trained: Trained, forms: Path) -> Iterator[Cli]:
    """refused(code, says, executable, *arguments): runs, checks code and message, and that nothing was written."""

    def run(code: int, says: str, executable: str, *arguments: object) -> list[str]:
        done = here(executable, *arguments, "-q", check=code)
        lines: list[str] = done.stderr.splitlines()
        errors = [line for line in lines if line.startswith(f"{executable}: error: ")]
        assert len(errors) == 1 and says in errors[0], done.stderr
        assert all(LINE.match(line) for line in lines), done.stderr
        text = errors[0].split(": error: ", 1)[1]
        assert (text[0] == "/" or text[0] == text[0].lower()) and not text.endswith("."), text
        assert done.stdout == "" and not out.exists()
        return lines

    before = {path: path.stat().st_mtime_ns for folder in (forms, trained.data) for path in folder.rglob("*")}
    yield run
    assert before == {path: path.stat().st_mtime_ns for folder in (forms, trained.data) for path in folder.rglob("*")}


@pytest.fixture
def changed(trained: Trained, tmp_path: Path) -> Callable[..., Path]:
    """changed(old, new) -> the spec with another text in it."""

    def write(old: str, new: str) -> Path:
        path = tmp_path / "changed.txt"
        text = trained.spec.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        return path

    return write


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "no such file"),
        (b"", "the spec is empty"),
        (b"\x00\xff\x80" * 99, "this is a binary file, not a spec"),
    ],
    ids=["missing", "empty", "binary"],
)
def test_specs(refused: Cli, out: Path, tmp_path: Path, content: bytes | None, says: str) -> None:
    spec = tmp_path / "spec.txt"
    if content is not None:
        spec.write_bytes(content)
    refused(3, says, "tlt-train", "yolo", "-e", spec, "-r", out, "-k", KEY)
    refused(3, says, "tlt-evaluate", "yolo", "-e", spec, "-r", out)
    refused(3, f"{spec}", "tlt-dataset-convert", "-d", spec, "-o", out / "a")


@pytest.mark.parametrize("name", ["yolo.tlt", "yolo.etlt"])
def test_keys(refused: Cli, out: Path, trained: Trained, forms: Path, name: str) -> None:
    flags = ["tlt-infer", "yolo", "-e", trained.spec, "-m", forms / name, "-i", trained.data / "images", "-r", out]
    refused(5, "the key does not open this file", *flags, "-k", "another")
    assert "TLT_KEY" in refused(5, "a key is needed", *flags)[-1]


def test_a_training_needs_a_key(refused: Cli, out: Path, trained: Trained) -> None:
    assert "TLT_KEY" in refused(5, "a key is needed", "tlt-train", "yolo", "-e", trained.spec, "-r", out)[-1]


def damaged(data: bytes) -> bytes:
    return data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda data: data[: len(data) // 3], "the file is truncated"),
        (damaged, "the file is damaged"),
        (lambda data: b"\x9a\x03\xfe\xa7" * 700, "NVIDIA"),
        (lambda data: b"PK\x03\x04" + data[:500], "a zip archive"),
        (lambda data: b"", "an empty file"),
    ],
    ids=["truncated", "damaged", "nvidia", "pth", "empty"],
)
def test_model_files(
    refused: Cli, out: Path, trained: Trained, forms: Path, tmp_path: Path, spoil: Callable[[bytes], bytes], says: str
) -> None:
    model, graph = tmp_path / "yolo.tlt", tmp_path / "yolo.etlt"
    model.write_bytes(spoil((forms / "yolo.tlt").read_bytes()))
    graph.write_bytes(spoil((forms / "yolo.etlt").read_bytes()))
    refused(5, says, "tlt-evaluate", "yolo", "-e", trained.spec, "-m", model, "-k", KEY, "-r", out)
    refused(5, says, "tlt-train", "yolo", "-e", trained.spec, "-m", model, "-k", KEY, "-r", out)
    refused(5, says, "tlt-prune", "-m", model, "-k", KEY, "-o", out)
    refused(5, says, "tlt-export", "yolo", "-m", model, "-k", KEY, "-o", out)
    refused(5, says, "tlt-convert", "-k", KEY, "-e", out, graph)


def test_missing_models(refused: Cli, out: Path, trained: Trained, tmp_path: Path) -> None:
    none, spec = tmp_path / "none.tlt", trained.spec
    refused(5, "no such model file", "tlt-evaluate", "yolo", "-e", spec, "-m", none, "-k", KEY, "-r", out)
    refused(5, "no such model file", "tlt-prune", "-m", none, "-k", KEY, "-o", out)
    refused(5, "no such model file", "tlt-convert", "-k", KEY, "-e", out, none)


def test_files_of_another_kind(refused: Cli, out: Path, trained: Trained, forms: Path, tmp_path: Path) -> None:
    model, graph, plain, engine = (forms / f"yolo.{suffix}" for suffix in ("tlt", "etlt", "onnx", "engine"))
    lines = refused(5, "holds weights, not a graph", "tlt-convert", "-k", KEY, "-e", out, model)
    assert lines[-1] == "tlt-convert: hint: tlt-export makes a graph of it"
    refused(5, "a plain ONNX graph", "tlt-prune", "-m", plain, "-k", KEY, "-o", out)
    refused(5, "holds a graph, not weights", "tlt-prune", "-m", graph, "-k", KEY, "-o", out)
    refused(5, "no model file of tltpy", "tlt-train", "yolo", "-e", trained.spec, "-m", engine, "-k", KEY, "-r", out)
    junk = tmp_path / "junk.engine"
    junk.write_bytes(b"\x01\x02\x03" * 99)
    refused(5, "not an ONNX graph, or damaged", "tlt-evaluate", "yolo", "-e", trained.spec, "-m", junk, "-r", out)


def test_an_unknown_task(refused: Cli, out: Path, trained: Trained) -> None:
    refused(2, "'yolo7' is not one of 'yolo'", "tlt-train", "yolo7", "-e", trained.spec, "-r", out, "-k", KEY)
    refused(2, "missing argument 'TASK'", "tlt-evaluate", "-e", trained.spec)


@pytest.mark.parametrize("name", ["yolo.tlt", "yolo.engine"])
def test_the_spec_has_other_classes(
    refused: Cli, out: Path, forms: Path, changed: Callable[..., Path], name: str
) -> None:
    other = changed('key: "bar" value: "bar"', 'key: "bar" value: "stick"')
    flags = ["-m", forms / name, "-k", KEY, "-r", out]
    says = "knows the classes bar, disc; the spec has disc, stick"
    refused(2, says, "tlt-evaluate", "yolo", "-e", other, *flags)
    more = changed('target_class_mapping { key: "bar"', 'target_class_mapping { value: "x" key: "x" }'
                   ' target_class_mapping { key: "bar"')
    refused(2, "the spec has bar, disc, x", "tlt-evaluate", "yolo", "-e", more, *flags)


def test_the_spec_has_another_network(refused: Cli, out: Path, forms: Path, changed: Callable[..., Path]) -> None:
    flags = ["-m", forms / "yolo.tlt", "-k", KEY, "-r", out]
    anchors = changed('"[(40, 40)]"', '"[(40, 40), (50, 30)]"')
    refused(5, "the output layer", "tlt-evaluate", "yolo", "-e", anchors, *flags)
    layers = changed("nlayers: 10", "nlayers: 18")
    refused(5, "the model file has no tensor", "tlt-evaluate", "yolo", "-e", layers, *flags)
    size = changed("output_image_width: 96", "output_image_width: 128")
    refused(2, "is fed 3x64x128", "tlt-evaluate", "yolo", "-e", size, "-m", forms / "yolo.engine", "-r", out)


def test_a_width_that_is_no_multiple_of_32(refused: Cli, out: Path, changed: Callable[..., Path]) -> None:
    spec = changed("output_image_width: 96", "output_image_width: 100")
    lines = refused(3, "output_image_width", "tlt-train", "yolo", "-e", spec, "-r", out, "-k", KEY)
    assert "multiple of 32" in lines[0] and lines[1].endswith("hint: the nearest are 96 and 128")
    assert re.search(r"changed\.txt:\d+:\d+: ", lines[0])


def test_a_class_mapping_that_matches_nothing(
    refused: Cli, out: Path, trained: Trained, changed: Callable[..., Path], tmp_path: Path
) -> None:
    spec = changed('target_class_mapping { key: "bar" value: "bar" }', "")
    spec.write_text(spec.read_text().replace('"disc"', '"dog"'))
    lines = refused(4, "matches no box of the training data", "tlt-train", "yolo", "-e", spec, "-r", out, "-k", KEY)
    assert lines[1:] == ["tlt-train: hint: the labels hold bar, disc", "tlt-train: hint: the keys are dog"]
    convert = tmp_path / "convert.txt"
    mapping = 'target_class_mapping { key: "dog" value: "dog" }'
    convert.write_text(CONVERT.format(data=trained.data) + mapping)
    refused(4, "names no class of the data set", "tlt-dataset-convert", "-d", convert, "-o", out / "a")


@pytest.fixture
def data(trained: Trained, tmp_path: Path, changed: Callable[..., Path]) -> tuple[Path, Path]:
    """A copy of the data to spoil, and the spec that names it."""
    folder = tmp_path / "data"
    shutil.copytree(trained.data, folder)
    return folder, changed(str(trained.data), str(folder))


@pytest.mark.parametrize("cut", [False, True], ids=["garbage", "cut"])
def test_an_image_that_is_none(
    refused: Cli, here: Cli, out: Path, forms: Path, data: tuple[Path, Path], tmp_path: Path, cut: bool
) -> None:
    folder, spec = data
    image = folder / "images/007.png"
    good = image.read_bytes()
    image.write_bytes(good[:-60] if cut else b"this is no picture")
    says = f"{image}: " + ("the picture is truncated" if cut else "the file is no picture that can be read")
    model = ["-m", forms / "yolo.engine"]
    refused(4, says, "tlt-evaluate", "yolo", "-e", spec, *model, "-r", out)
    refused(4, says, "tlt-infer", "yolo", "-e", spec, *model, "-i", folder / "images", "-r", out / "deep", "-b", 2)
    refused(4, says, "tlt-infer", "yolo", "-e", spec, *model, "-i", image, "-r", out)
    convert = tmp_path / "convert.txt"
    convert.write_text(CONVERT.format(data=folder))
    assert says in here("tlt-dataset-convert", "-d", convert, "--check", check=0).stdout
    spec.write_text(spec.read_text().replace("num_epochs: 25", "num_epochs: 1"))
    training = ["tlt-train", "yolo", "-e", spec, "-r", tmp_path / "run", "-k", KEY, "-q"]
    done = here(*training, check=4)
    assert done.stderr.splitlines()[0] == f"tlt-train: error: {says}" + ": its end is missing" * cut
    assert not list((tmp_path / "run/weights").iterdir())
    image.write_bytes(good)
    here(*training, check=0)  # the failed run left nothing that stands in the way


@pytest.mark.parametrize(("columns", "old", "new"), [(14, " 0\n", "\n"), (16, " 0\n", " 0 0.5\n")])
def test_labels_with_other_columns(
    refused: Cli, here: Cli, out: Path, data: tuple[Path, Path], tmp_path: Path, columns: int, old: str, new: str
) -> None:
    folder, spec = data
    label = folder / "labels/004.txt"
    label.write_text(label.read_text().replace(old, new, 1))
    convert = tmp_path / "convert.txt"
    convert.write_text(CONVERT.format(data=folder))
    says = f"{label}:1: {columns} columns instead of 15"
    refused(4, says, "tlt-dataset-convert", "-d", convert, "-o", out / "a", "--strict")
    done = here("tlt-dataset-convert", "-d", convert, "-o", tmp_path / "tf/a", check=0)
    assert says in done.stderr and "wrong number of columns: 1" in done.stdout
    # a label folder may hold what tlt-infer writes, and rows without what only 3-D needs
    assert here("tlt-evaluate", "yolo", "-e", spec, "-q", "--json", check=0).stderr == ""


def test_pictures_that_are_not_there(refused: Cli, out: Path, trained: Trained, forms: Path, tmp_path: Path) -> None:
    flags = ["tlt-infer", "yolo", "-e", trained.spec, "-m", forms / "yolo.engine", "-r", out, "-i"]
    refused(4, "no such picture or folder", *flags, tmp_path / "none.png")
    (tmp_path / "hollow").mkdir()
    assert ".png" in refused(4, "no picture in the folder", *flags, tmp_path / "hollow")[-1]


def test_results_that_exist(refused: Cli, trained: Trained, forms: Path, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "mine").write_text("mine")
    model, sealed = ["-m", forms / "yolo.tlt", "-k", KEY], forms / "yolo.etlt"
    folders = [
        ("tlt-train", "yolo", "-e", trained.spec, "-k", KEY, "-r"),
        ("tlt-evaluate", "yolo", "-e", trained.spec, *model, "-r"),
        ("tlt-infer", "yolo", "-e", trained.spec, *model, "-i", trained.data / "images", "-l"),
    ]
    for arguments in folders:
        assert "--overwrite" in refused(2, f"{taken}: the folder is not empty", *arguments, taken)[-1]
    outputs = [
        ("tlt-prune", *model, "-o"), ("tlt-export", "yolo", *model, "-o"), ("tlt-convert", "-k", KEY, sealed, "-e")
    ]
    for arguments in outputs:
        assert "--overwrite" in refused(2, f"{taken / 'mine'}: the file exists", *arguments, taken / "mine")[-1]
    for arguments in (*folders[:2], *outputs):
        refused(4, "cannot be written", *arguments, taken / "mine/below")
    assert [path.read_text() for path in taken.iterdir()] == ["mine"]


@pytest.mark.parametrize("verb", ["prune", "convert", "infer", "train", "evaluate", "dataset-convert"])
def test_a_full_disk(
    here: Cli, trained: Trained, forms: Path, changed: Callable[..., Path], tmp_path: Path, verb: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The disk is full when a file has been written; what stood there before still does."""
    out, folder = tmp_path / "out", tmp_path / "folder"
    out.write_text("old")
    folder.mkdir()
    spec, model, convert = changed("num_epochs: 25", "num_epochs: 1"), forms / "yolo.tlt", tmp_path / "convert.txt"
    convert.write_text(CONVERT.format(data=trained.data))
    arguments: dict[str, list[object]] = {
        "prune": ["-m", model, "-k", KEY, "-o", out, "--target-params", 0.5],
        "convert": ["-k", KEY, "-e", out, forms / "yolo.etlt"],
        "infer": ["yolo", "-e", spec, "-m", model, "-k", KEY, "-i", trained.data / "images", "-r", folder],
        "train": ["yolo", "-e", spec, "-k", KEY, "-r", folder],
        "evaluate": ["yolo", "-e", spec, "-r", folder],
        "dataset-convert": ["-d", convert, "-o", folder / "a"],
    }

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    overwrite = [] if verb == "train" else ["--overwrite"]
    done = here(f"tlt-{verb}", *arguments[verb], *overwrite, "-q", check=4)
    errors = [line for line in done.stderr.splitlines() if ": error: " in line]
    assert len(errors) == 1 and errors[0].endswith(": the disk is full"), done.stderr
    assert "free some space" in done.stderr.splitlines()[-1]
    assert out.read_text() == "old" and not list(tmp_path.rglob("*.part"))
    left = [path for path in folder.rglob("*") if path.is_file() and path.name != "status.json"]
    assert left == []
