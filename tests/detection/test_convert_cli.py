"""tlt-dataset-convert as it is typed: what goes to stdout and stderr, the exit codes, what is on disk afterwards."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tltpy.errors import SpecError
from tltpy.log import Log
from tltpy.spec.detection_pb2 import DatasetExportConfig
from tltpy.spec.load import parse_text
from tltpy.steps import dataset_convert

Layouts = Any
Cli = Callable[..., Any]
NAME = "tlt-dataset-convert"


@pytest.fixture
def spec(layouts: Layouts, tmp_path: Path) -> Path:
    path = tmp_path / "spec.txt"
    path.write_text(str(layouts.config("kitti")))
    return path


def test_a_conversion(cli: Cli, spec: Path, tmp_path: Path) -> None:
    done = cli(NAME, "-d", spec, "-o", tmp_path / "out/a", "-r", tmp_path / "results", "--workers", 2, check=0)
    assert done.stdout.splitlines() == [
        "class   partition 0  partition 1  all",
        "car               1            3    4",
        "person            1            1    2",
        "images            1            2    3",
    ]
    lines = done.stderr.splitlines()
    assert lines[:2] == ["Num images in", "Train: 2\tVal: 1"]
    assert "Writing partition 1, shard 1" in lines
    assert lines.index("Wrote the following numbers of objects:") < lines.index("b'car': 1")
    assert lines[lines.index("Label in GT: Label in tfrecords file") + 1] == "b'car': b'car'"
    assert lines[-1] == "Tfrecords generation complete."
    assert len(list((tmp_path / "out").iterdir())) == 4
    events = [json.loads(line) for line in (tmp_path / "results/status.json").read_text().splitlines()]
    assert [event["status"] for event in events] == ["STARTED", "SUCCESS"]
    assert events[-1]["kpi"] == {"objects": {"car": 4, "person": 2}}


@pytest.mark.parametrize(("folder", "found"), [("", True), ("/images", False)])
def test_image_directory_path(
    here: Cli, spec: Path, layouts: Layouts, tmp_path: Path, folder: str, found: bool
) -> None:
    spec.write_text(spec.read_text() + f'image_directory_path: "{layouts.root}/kitti{folder}"')
    done = here(NAME, "-d", spec, "-o", tmp_path / "out/a", "-q", check=0)
    lost = f"would not find {layouts.root}/kitti/images/images/000000.png"
    assert done.stderr.count(lost) == (not found)


def test_published_spellings_and_json(cli: Cli, spec: Path, tmp_path: Path) -> None:
    done = cli(
        NAME, "--dataset_export_spec", spec, "--output_filename", tmp_path / "a", "--validation_fold", 0,
        "--gpu_index", 0, "-q", "--json", check=0,
    )  # fmt: skip
    result = json.loads(done.stdout)
    assert result["objects"] == {"car": 4, "person": 2}
    assert [each["images"] for each in result["partitions"]] == [1, 2]
    assert sorted(result["shards"]) == sorted(map(str, tmp_path.glob("a-fold*")))
    assert done.stderr == f"{NAME}: warning: --gpu_index has no effect: the conversion uses no GPU\n"


def test_a_check_lists_findings_and_writes_nothing(cli: Cli, spec: Path, layouts: Layouts, tmp_path: Path) -> None:
    label = layouts.root / "kitti/labels/000001.txt"
    label.write_text("car 0 0 0 1 2 9 8 0 0 0 0 0 0\ncar 0 0 0 1 2 9 8 0 0 0 0 0 0 0 0.9\n")
    picture = layouts.root / "kitti/images/000002.png"
    picture.write_bytes(picture.read_bytes()[:-50])
    before = sorted(tmp_path.rglob("*"))
    done = cli(NAME, "-d", spec, "--check", check=0)
    lines = done.stdout.splitlines()
    assert f"{label}:1: 14 columns instead of 15; the row is skipped" in lines
    assert f"{label}:2: 16 columns instead of 15; the row is skipped" in lines
    assert f"{picture}: the picture is truncated: its end is missing; left out" in lines
    assert "wrong number of columns: 2" in lines
    assert sorted(tmp_path.rglob("*")) == before
    done = cli(NAME, "-d", spec, "--check", "--strict", check=4)
    assert done.stderr.splitlines()[-1] == f"{NAME}: error: 3 findings"
    done = cli(NAME, "-d", spec, "-o", tmp_path / "a", "--strict", check=4)
    assert "Traceback" not in done.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_many_findings_are_summed_up(cli: Cli, spec: Path, layouts: Layouts, tmp_path: Path) -> None:
    (layouts.root / "kitti/labels/000001.txt").write_text("car\n" * 25)
    done = cli(NAME, "-d", spec, "-o", tmp_path / "a", "-q", check=0)
    assert done.stderr.count("1 columns instead of 15") == 10
    assert f"{NAME}: warning: wrong number of columns: 15 more\n" in done.stderr
    assert done.stdout.startswith("wrong number of columns: 25\n\nclass ")
    assert cli(NAME, "-d", spec, "-o", tmp_path / "b", "-v", check=0).stderr.count("1 columns instead of 15") == 25


@pytest.mark.parametrize(
    ("old", "new", "flags", "code", "message"),
    [
        ("", "", ["-o", "{tmp}/taken"], 2, "the shard exists"),
        ("", "", ["-o", "{tmp}"], 2, "this is a folder"),
        (
            "num_shards: 2",
            "num_partitions: 3",
            ["-o", "{tmp}/a"],
            3,
            'partition_mode "random" makes 2 partitions, not 3',
        ),
        ("layouts", "none", ["-o", "{tmp}/a"], 4, "no such folder"),
    ],
)
def test_mistakes(
    cli: Cli, spec: Path, tmp_path: Path, old: str, new: str, flags: list[str], code: int, message: str
) -> None:
    (tmp_path / "taken-fold-000-of-002-shard-00000-of-00010").touch()
    spec.write_text(spec.read_text().replace(old, new) if old else spec.read_text())
    before = sorted(tmp_path.rglob("*"))
    done = cli(NAME, "-d", spec, *(flag.format(tmp=tmp_path) for flag in flags), "-q", check=code)
    errors = [line for line in done.stderr.splitlines() if line.startswith(f"{NAME}: error: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert done.stdout == ""
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ('image_directory_path: "x"', ["the spec names no data set"]),
        (
            'kitti_config { root_directory_path: "x" partition_mode: "sequence" num_partitions: 3 }',
            ['partition_mode "sequence" needs kitti_sequence_to_frames_file'],
        ),
        (
            'coco_config { root_directory_path: "x" img_dir_names: ["a", "b"] annotation_files: "a.json"\n'
            "num_shards: [1, 2, 3] num_partitions: 3 }",
            [
                "num_shards makes 3 partitions, but img_dir_names 2",
                "num_partitions makes 3 partitions, but img_dir_names 2",
                "annotation_files makes 1 partitions, but img_dir_names 2",
            ],
        ),
    ],
)
def test_contradictions(text: str, messages: list[str]) -> None:
    spec = parse_text(text, DatasetExportConfig, "spec.txt")
    with pytest.raises(SpecError) as caught:
        dataset_convert.run(dataset_convert.Request(spec=spec, check=True), Log("t", quiet=True))
    assert sorted(message.split(": ", 1)[1] for message, _ in caught.value.problems) == sorted(messages)
    assert all(message.startswith("spec.txt") for message, _ in caught.value.problems)


def test_the_spec_in_the_package(cli: Cli, shared: Path, root: Path, tmp_path: Path) -> None:
    done = cli(
        NAME, "-d", root / "specs/kitti_tfrecords.txt", "-o", tmp_path / "kitti", "-q",
        env={"TLT_DATA": f"{shared}/data/kitti_object"}, check=0,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1].split() == ["images", "1", "12", "13"]
    assert len(list(tmp_path.glob("kitti-fold-00?-of-002-shard-0000?-of-00010"))) == 20
