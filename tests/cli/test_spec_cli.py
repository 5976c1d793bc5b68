"""tlt-spec as it is typed: what it prints, where, and how it ends."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from shapes import KEY, WriteSpec

from tltpy import artifact

Cli = Callable[..., Any]
ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests/spec/data"
GOOD = """dataset_config {
  data_sources { tfrecords_path: "ROOT/none*" image_directory_path: "ROOT" }
  target_class_mapping { key: "car" value: "car" }
}
augmentation_config { output_width: 64 output_height: 32 }
"""


def spec(tmp_path: Path, text: str = GOOD, name: str = "s.txt") -> Path:
    path = tmp_path / name
    path.write_text(text.replace("ROOT", str(tmp_path)))
    return path


def lines(text: str, tmp_path: Path) -> list[str]:
    return text.replace(str(tmp_path), "D").splitlines()


def test_check_fine(here: Cli, write_spec: WriteSpec) -> None:
    path = write_spec()
    done = here("tlt-spec", "check", path, check=0)
    assert done.stdout == f"{path}: an experiment of yolo, no problems, no warnings\n"
    assert done.stderr == ""


def test_check_names_all_problems(here: Cli, tmp_path: Path) -> None:
    text = GOOD + "nms_config { top_k: 0 force_on_cpu: true }\nyolo_config { nlayer: 18 }\n"
    done = here("tlt-spec", "check", spec(tmp_path, text), check=3)
    assert lines(done.stderr, tmp_path) == [
        'tlt-spec: error: D/s.txt:6:21: "top_k" must be at least 1, not 0',
        'tlt-spec: error: D/s.txt:7:15: unknown field "nlayer" in YoloConfig',
        'tlt-spec: hint: did you mean "nlayers"?',
    ]
    assert lines(done.stdout, tmp_path) == ["D/s.txt: an experiment of yolo, 2 problems, no warnings"]


def test_check_rules_across_fields(here: Cli, tmp_path: Path) -> None:
    text = GOOD + 'yolo_config { arch: "darknet" nlayers: 18 }\n'
    done = here("tlt-spec", "check", spec(tmp_path, text), "--no-paths", check=3)
    assert lines(done.stderr, tmp_path)[0] == "tlt-spec: error: D/s.txt:6:40: darknet has no 18 layers"


def test_check_looks_at_the_data(here: Cli, tmp_path: Path) -> None:
    path = spec(tmp_path, GOOD + "nms_config { force_on_cpu: true }\n")
    done = here("tlt-spec", "check", path, check=4)
    assert lines(done.stderr, tmp_path) == [
        'tlt-spec: warning: D/s.txt:6:28: "force_on_cpu" has no effect: it changes no result',
        "tlt-spec: error: D/s.txt:2:34: D/none*: matches no file",
        "tlt-spec: hint: tlt-dataset-convert writes <prefix>-fold-...; name <prefix>*",
    ]
    assert lines(done.stdout, tmp_path) == ["D/s.txt: an experiment of yolo, 1 problem, 1 warning"]
    done = here("tlt-spec", "check", path, "--no-paths", check=0)
    assert lines(done.stdout, tmp_path) == ["D/s.txt: an experiment of yolo, no problems, 1 warning"]


def test_check_looks_at_the_model(here: Cli, write_spec: WriteSpec, tmp_path: Path) -> None:
    model = tmp_path / "m.tlt"

    def answer() -> str:
        path = write_spec(training=f'pretrain_model_path: "{model}"')
        done = here("tlt-spec", "check", path, check=4)
        (line,) = [line for line in lines(done.stderr, tmp_path) if ": error: " in line]
        return line.partition("m.tlt: ")[2]

    assert answer() == "no such model file"
    model.write_bytes(b"\x89HDF\r\n\x1a\n" + b"\1" * 100)
    assert answer() == "no model file of tltpy but an HDF5 file, as Keras and TAO 5 write"
    artifact.save_model(model, key=KEY, task="other", tensors={}, metadata={})
    assert answer() == "this is a model of other, not of yolo"
    artifact.save_model(model, key=KEY, task="yolo", tensors={}, metadata={})
    here("tlt-spec", "check", write_spec(training=f'pruned_model_path: "{model}"'), check=0)


def test_check_json(here: Cli, tmp_path: Path) -> None:
    done = here("tlt-spec", "check", spec(tmp_path), "--json", check=4)
    assert json.loads(done.stdout) == {
        "spec": str(tmp_path / "s.txt"),
        "kind": "yolo",
        "problems": [
            {
                "message": f"{tmp_path}/s.txt:2:34: {tmp_path}/none*: matches no file",
                "hints": ["tlt-dataset-convert writes <prefix>-fold-...; name <prefix>*"],
                "data": True,
            }
        ],
        "warnings": [],
        "exit_code": 4,
    }
    assert done.stderr == ""


def test_check_a_conversion(here: Cli, tmp_path: Path, shapes: Path) -> None:
    text = (
        f'kitti_config {{ root_directory_path: "{shapes}" image_dir_name: "images" label_dir_name: "labels" }}\n'
        'target_class_mapping { key: "disc" value: "disc" }\n'
    )
    done = here("tlt-spec", "check", spec(tmp_path, text), check=0)
    assert lines(done.stdout, tmp_path) == ["D/s.txt: a spec of dataset-convert, no problems, 1 warning"]
    assert lines(done.stderr, tmp_path) == ["tlt-spec: warning: D/s.txt:2:1: no key for the labels bar"]
    there = text + f'image_directory_path: "{shapes}"\n'
    assert here("tlt-spec", "check", spec(tmp_path, there), check=0).stdout.endswith("1 warning\n")
    elsewhere = here("tlt-spec", "check", spec(tmp_path, text + f'image_directory_path: "/d{shapes}"\n'), check=0)
    lost = f"a training spec with the image_directory_path /d{shapes} would not find /d{shapes}/images/000.png"
    assert elsewhere.stderr.splitlines()[-1] == f"tlt-spec: warning: {tmp_path}/s.txt:3:23: {lost}"
    done = here("tlt-spec", "check", spec(tmp_path, text.replace('"labels"', '"gone"')), check=4)
    assert "the folder cannot be read" in done.stderr
    wrong = text.replace('"labels"', '"labels" num_partitions: 3')
    done = here("tlt-spec", "check", spec(tmp_path, wrong), "--no-paths", check=3)
    assert "makes 2 partitions, not 3" in done.stderr


def test_check_names_a_sibling(here: Cli) -> None:
    path = DATA / "siblings/detectnet_v2.txt"
    done = here("tlt-spec", "check", path, check=3)
    sign = 'this is a spec of detectnet_v2 ("postprocessing_config"), which tltpy does not train'
    assert done.stderr.splitlines()[0] == f"tlt-spec: error: {path}:9:1: {sign}"
    assert done.stdout == f"{path}: 1 problem, no warnings\n"
    assert json.loads(here("tlt-spec", "check", path, "--json", check=3).stdout)["kind"] is None


@pytest.mark.parametrize("name", ["tlt-train yolo", "tlt-evaluate yolo"])
def test_a_spec_for_another_executable(here: Cli, name: str, tmp_path: Path) -> None:
    done = here(*name.split(), "-e", DATA / "export_coco.txt", "-r", tmp_path / "o", "-m", "x", "-k", "k", check=3)
    assert "this is a dataset export spec, not an experiment spec" in done.stderr
    assert '"coco_config" belongs in the file for -d of tlt-dataset-convert' in done.stderr


def test_the_kind_can_be_said(here: Cli, tmp_path: Path) -> None:
    done = here("tlt-spec", "check", spec(tmp_path), "--task", "dataset-convert", check=3)
    assert "this is an experiment spec, not a dataset export spec" in done.stderr
    done = here("tlt-spec", "check", spec(tmp_path), "--task", "ssd", check=2)
    assert done.stderr.splitlines()[0] == 'tlt-spec: error: no kind of spec "ssd"'


def test_explain_a_field(here: Cli) -> None:
    done = here("tlt-spec", "explain", "max_learning_rate", "--task", "yolo", check=2)
    assert "may be one of 2 fields" in done.stderr
    done = here("tlt-spec", "explain", "yolov3_config.matching_neutral_box_iou", check=0)
    assert done.stdout.splitlines() == [
        "yolov3_config.matching_neutral_box_iou",
        "  number; above 0 and below 1; default 0.5",
        "  A prediction that overlaps an object by this much or more, and is not its own, is not taught to be",
        "  background.",
        "  Also yolo_config.matching_neutral_box_iou",
    ]
    done = here("tlt-spec", "explain", "average_precision_mode", check=0)
    assert "  SAMPLE     Mean of the greatest precision at the 11 recalls" in done.stdout
    done = here("tlt-spec", "explain", "point_clouds_dir", check=0)
    assert "It has no effect: yolo reads no point clouds" in done.stdout


def test_explain_a_section(here: Cli) -> None:
    done = here("tlt-spec", "explain", "training_config.optimizer.sgd", check=0)
    assert done.stdout.splitlines() == [
        "training_config.optimizer.sgd",
        "  section SgdConfig",
        "  Stochastic gradient descent.",
        "  One of the optimizer fields: they exclude each other.",
        "  Also qat_config.optimizer.sgd",
        "",
        "  field     type           default",
        "  momentum  number         0.9      Momentum",
        "  nesterov  true or false  false    Nesterov's form of the momentum; needs momentum above 0",
    ]
    assert "dataset_config" in here("tlt-spec", "explain", check=0).stdout
    assert "kitti_config" in here("tlt-spec", "explain", "--task", "dataset_convert", check=0).stdout


def test_explain_a_typo(here: Cli) -> None:
    done = here("tlt-spec", "explain", "training_config.num_epoch", check=2)
    assert done.stderr.splitlines() == [
        'tlt-spec: error: no spec has a field "training_config.num_epoch"',
        'tlt-spec: hint: did you mean "training_config.num_epochs"?',
    ]


def test_explain_json(here: Cli) -> None:
    found = json.loads(here("tlt-spec", "explain", "top_k", "--json", check=0).stdout)
    assert (found["kind"], found["path"], found["default"]) == ("yolo", "nms_config.top_k", "200")


@pytest.mark.parametrize("kind", ["yolo", "yolo_v3", "dataset_convert", "dataset-convert", "augment"])
def test_init_gives_a_spec_that_passes(here: Cli, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "new.txt"
    assert here("tlt-spec", "init", kind, "-o", path, check=0).stdout == f"{path}\n"
    assert here("tlt-spec", "check", path, "--no-paths", check=0).stdout.endswith("no problems, no warnings\n")
    assert here("tlt-spec", "init", kind, check=0).stdout == path.read_text()
    done = here("tlt-spec", "init", kind, "-o", path, check=2)
    assert "exists" in done.stderr
    here("tlt-spec", "init", kind, "-o", path, "--overwrite", check=0)


def test_migrate(here: Cli, tmp_path: Path) -> None:
    old, new = DATA / "experiment_tao.txt", tmp_path / "new.txt"
    done = here("tlt-spec", "migrate", old, "-o", new, check=0)
    assert done.stdout.splitlines() == [
        f"{old}:2: yolov3_config is yolo_config now",
        f"{old}:52: True is written true",
        f"{old}:57: a blank after the colon of exposure",
        f"{old}:58: a blank after the colon of vertical_flip",
        f"{old}:67: no colon before the section data_sources",
        f"{old}:74: `,` between fields is left out",
        f"{old}:75: no colon before the section validation_data_sources",
        f"{old}:78: the last line ends",
        f"{new}: 8 changes",
    ]
    assert done.stderr == f'tlt-spec: warning: {old}:52:17: "force_on_cpu" has no effect: it changes no result\n'
    assert here("tlt-spec", "diff", old, new, "--exit-code", check=0).stdout == "no difference\n"
    assert "exists" in here("tlt-spec", "migrate", old, "-o", new, check=2).stderr
    again = here("tlt-spec", "migrate", new, "-o", tmp_path / "third.txt", check=0)
    assert again.stdout == f"{tmp_path}/third.txt: the spec was in the current form already\n"
    found = json.loads(here("tlt-spec", "migrate", old, "-o", new, "--overwrite", "--json", check=0).stdout)
    assert found["changes"][0] == {"line": 2, "what": "yolov3_config is yolo_config now"}


def test_migrate_refuses_what_is_wrong(here: Cli, tmp_path: Path) -> None:
    old, new = spec(tmp_path, GOOD + "random_seed: x"), tmp_path / "new.txt"
    here("tlt-spec", "migrate", old, "-o", new, check=3)
    assert not new.exists()
    here("tlt-spec", "migrate", DATA / "siblings/ssd.txt", "-o", new, check=3)
    assert not new.exists()


def test_diff(here: Cli, tmp_path: Path) -> None:
    first = spec(tmp_path, GOOD, "a.txt")
    second = spec(tmp_path, GOOD.replace("64", "96") + "yolov3_config { nlayers: 18 }", "b.txt")
    done = here("tlt-spec", "diff", first, second, check=0)
    assert [line.split() for line in lines(done.stdout, tmp_path)] == [
        ["field", "D/a.txt", "D/b.txt"], ["augmentation_config.output_width", "64", "96"]
    ]  # fmt: skip
    here("tlt-spec", "diff", first, second, "--exit-code", check=7)
    found = json.loads(here("tlt-spec", "diff", first, second, "--json", check=0).stdout)
    difference = {"path": "augmentation_config.output_width", "first": "64", "second": "96"}
    assert found == {"kind": "yolo", "differences": [difference]}
    done = here("tlt-spec", "diff", first, DATA / "export_tlt2.txt", check=2)
    assert "is a spec of dataset-convert" in done.stderr


def test_environment_variables_matter_only_where_they_are_used(here: Cli, tmp_path: Path) -> None:
    path = spec(tmp_path, GOOD.replace("ROOT", "${NO_SUCH_VARIABLE}"))
    assert "NO_SUCH_VARIABLE" in here("tlt-spec", "check", path, check=3).stderr
    here("tlt-spec", "check", path, "--no-paths", check=0)
    here("tlt-spec", "diff", path, path, check=0)
    here("tlt-spec", "migrate", path, "-o", tmp_path / "new.txt", check=0)
    assert "${NO_SUCH_VARIABLE}" in (tmp_path / "new.txt").read_text()


def test_no_file(here: Cli, tmp_path: Path) -> None:
    found = json.loads(here("tlt-spec", "check", tmp_path / "a.txt", "--json", check=3).stdout)
    assert found["problems"][0]["message"] == f"{tmp_path}/a.txt: no such file"
    for words in (["check"], ["migrate", "-o", tmp_path / "x"], ["diff", tmp_path / "b"]):
        verb, *rest = words
        assert "no such file" in here("tlt-spec", verb, tmp_path / "a.txt", *rest, check=3).stderr


@pytest.mark.parametrize("words", [["--no-paths"], []])
def test_it_is_quick(cli: Cli, words: list[str], write_spec: WriteSpec) -> None:
    """The target is 0.5 s on a quiet machine; here only that no heavy library is waited for."""
    path = write_spec()
    started = time.monotonic()
    cli("tlt-spec", "check", path, *words, check=0)
    assert time.monotonic() - started < 3
