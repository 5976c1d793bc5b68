"""Files that are no spec at all, positions, and what a step does with findings."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tltpy.errors import SpecError
from tltpy.spec import yolo_pb2
from tltpy.spec.limits import Finding
from tltpy.spec.load import load, parse_text

DATA = Path(__file__).parent / "data"
GOOD = """dataset_config {
  data_sources { tfrecords_path: "a" }
  data_sources: [{ root_path: "b" },
    { root_path: "c" source_weight: 2 }]
  target_class_mapping { key: "a" value: "b" }
}
augmentation_config {
  output_width: 64
  output_height: 32
}
yolo_config { freeze_blocks: [0,
 1] }
"""


def answer(path: Path) -> list[str]:
    with pytest.raises(SpecError) as caught:
        load(path, yolo_pb2.Experiment)
    return [text.replace(str(path.parent), "D") for _, text in caught.value.lines()]


def test_no_such_file(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text(GOOD)
    assert answer(tmp_path / "trian.txt") == ["D/trian.txt: no such file", "did you mean D/train.txt?"]
    assert answer(tmp_path / "none" / "x.txt") == ["D/x.txt: no such file"]


def test_a_folder(tmp_path: Path) -> None:
    (tmp_path / "specs").mkdir()
    assert answer(tmp_path / "specs") == ["D/specs: this is a folder, not a spec file"]


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", ["D/s.txt: the spec is empty"]),
        (b"\xef\xbb\xbf \r\n\t\n", ["D/s.txt: the spec is empty"]),
        (b"# nothing but a comment", ["D/s.txt: the spec is empty"]),
        (b"\x89HDF\r\n\x1a\n\0\0\0", ["D/s.txt: this is a binary file, not a spec",
         "a model file is named with -m, the spec is the text file that describes the experiment"]),
        ("random_seed: 3".encode("utf-16"), ["D/s.txt: this is UTF-16 text", "save the file as UTF-8"]),
        (b"random_seed: 3\n# \xe9t\xe9", ["D/s.txt:2:3: the byte 0xe9 is not UTF-8 text", "save the file as UTF-8"]),
    ],
)  # fmt: skip
def test_no_text(tmp_path: Path, content: bytes, lines: list[str]) -> None:
    (tmp_path / "s.txt").write_bytes(content)
    assert answer(tmp_path / "s.txt") == lines


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable(tmp_path: Path) -> None:
    (tmp_path / "s.txt").write_text(GOOD)
    (tmp_path / "s.txt").chmod(0)
    assert answer(tmp_path / "s.txt") == ["D/s.txt: cannot be read: permission denied"]


def test_the_file_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "s.txt").write_text(GOOD)
    before = (tmp_path / "s.txt").stat()
    load(tmp_path / "s.txt", yolo_pb2.Experiment)
    assert (tmp_path / "s.txt").read_text() == GOOD
    assert (tmp_path / "s.txt").stat().st_mtime_ns == before.st_mtime_ns


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("", "s.txt"),
        ("training_config.num_epochs", "s.txt"),
        ("dataset_config", "s.txt:1:1"),
        ("dataset_config.type", "s.txt:1:1"),
        ("dataset_config.data_sources", "s.txt:2:3"),
        ("dataset_config.data_sources[0].tfrecords_path", "s.txt:2:34"),
        ("dataset_config.data_sources[0].root_path", "s.txt:2:3"),
        ("dataset_config.data_sources[1]", "s.txt:3:18"),
        ("dataset_config.data_sources[2]", "s.txt:4:5"),
        ("dataset_config.data_sources[2].source_weight", "s.txt:4:37"),
        ("dataset_config.data_sources[7].source_weight", "s.txt:2:3"),
        ('dataset_config.target_class_mapping["a"]', "s.txt:5:3"),
        ('dataset_config.target_class_mapping["no.such[key]"]', "s.txt:5:3"),
        ("augmentation_config.output_height", "s.txt:9:18"),
        ("yolo_config.freeze_blocks", "s.txt:11:15"),
        ("yolo_config.freeze_blocks[1]", "s.txt:12:2"),
        ("no such path", "s.txt"),
    ],
)
def test_locate(path: str, place: str) -> None:
    assert parse_text(GOOD, yolo_pb2.Experiment, "s.txt").locate(path) == place


def test_refuse_raises_all_errors_in_the_order_of_the_file() -> None:
    spec = parse_text(GOOD, yolo_pb2.Experiment, "s.txt")
    findings = [
        Finding("augmentation_config.output_width", "too wide", ("make it less",)),
        Finding("dataset_config.data_sources[0].tfrecords_path", "matches no file"),
        Finding("training_config", "is absent"),
        Finding("dataset_config", "only a warning", warning=True),
    ]
    with pytest.raises(SpecError) as caught:
        spec.refuse(findings)
    assert caught.value.lines() == [
        ("error", "s.txt: is absent"),
        ("error", "s.txt:2:34: matches no file"),
        ("error", "s.txt:8:17: too wide"),
        ("hint", "make it less"),
    ]


def test_refuse_returns_warnings() -> None:
    spec = parse_text(GOOD, yolo_pb2.Experiment, "s.txt")
    findings = [Finding("yolo_config", "b", warning=True), Finding("dataset_config", "a", ("h",), warning=True)]
    assert spec.refuse(findings) == ["s.txt:1:1: a; h", "s.txt:11:1: b"]
    assert spec.refuse([]) == []


def test_no_heavy_import() -> None:
    code = "import sys; import tltpy.spec.load, tltpy.spec.fill; print({'torch', 'numpy', 'rich'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"
