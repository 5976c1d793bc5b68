"""tlt-kmeans as it is typed: the snippet, where boxes come from, what is refused; it agrees with what training sees."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from google.protobuf import text_format

from tltpy import tasks
from tltpy.cli.kmeans import spread
from tltpy.detection import dataset
from tltpy.spec.yolo_pb2 import Experiment
from tltpy.tasks.yolo import parse_anchors

Cli = Callable[..., Any]
NAME = "tlt-kmeans"
REST = "0 0 0 0 0 0 0"
SIZES = [(10, 12), (22, 60), (60, 20), (90, 50), (40, 80)]
SPEC = """
yolo_config { big_anchor_shape: "[(1, 1)]" mid_anchor_shape: "[(1, 1)]" small_anchor_shape: "[(1, 1)]" }
training_config { num_epochs: 1 batch_size_per_gpu: 1
  learning_rate { soft_start_annealing_schedule { min_learning_rate: 1e-5 max_learning_rate: 1e-3 soft_start: 0.1 annealing: 0.5 } } }
AUGMENTATION
dataset_config {
  data_sources { label_directory_path: "DATA/label_2" image_directory_path: "DATA/image_2" }
  validation_data_sources { label_directory_path: "DATA/label_2" image_directory_path: "DATA/image_2" }
  target_class_mapping { key: "car" value: "car" }
}
"""  # noqa: E501


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two pictures of 240 by 120 and of 200 by 130; a van, a region and a row that is no box among the cars."""
    root = tmp_path / "data"
    for name in ("image_2", "label_2"):
        (root / name).mkdir(parents=True)
    for number, (height, width) in enumerate(((120, 240), (130, 200))):
        assert cv2.imwrite(str(root / f"image_2/{number}.png"), np.zeros((height, width, 3), np.uint8))
        rows = [f"Car 0 0 0 5 7 {5 + w + number} {7 + h} {REST}" for w, h in SIZES]
        rows += [f"DontCare 0 0 0 0 0 111 99 {REST}", f"Van 0 0 0 10 10 210 113 {REST}", f"Car 0 0 0 9 9 9 12 {REST}"]
        (root / f"label_2/{number}.txt").write_text("\n".join(rows))
    return root


def sizes_of(text: str) -> np.ndarray:
    """[N, 2] of the anchors in a snippet, in its order."""
    lines = [line.split(": ", 1) for line in text.splitlines() if not line.startswith("#")]
    assert [name for name, _ in lines] == ["small_anchor_shape", "mid_anchor_shape", "big_anchor_shape"]
    return np.array([pair for _, value in lines for pair in parse_anchors(json.loads(value))])


def test_folders(here: Cli, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["-l", data / "label_2", "-i", data / "image_2", "-x", 120, "-y", 60, "-n", 12]
    done = here(NAME, *arguments, "-o", out, "--plot", tmp_path / "a.png", check=0)
    assert done.stdout.startswith("# k-means of 12 boxes at 120x60 (letterbox): mean IoU 1.0000\n")
    # the second van leaves its picture, which is 200 wide
    cars = [(0.5 * w, 0.5 * h) for w, h in SIZES] + [(6 / 13 * (w + 1), 6 / 13 * h) for w, h in SIZES]
    wanted = sorted([*cars, (100, 51.5), (190 * 6 / 13, 103 * 6 / 13)], key=lambda size: size[0] * size[1])
    assert np.allclose(sizes_of(done.stdout), wanted, atol=0.006)
    assert (out / "anchors.txt").read_text() == done.stdout
    assert (out / "anchors.png").read_bytes() == (tmp_path / "a.png").read_bytes()
    assert "2 DontCare regions are no objects" in done.stderr
    assert f"{data}/label_2/0.txt:8: degenerate box (9, 9, 9, 12); skipped" in done.stderr
    assert "the file exists" in here(NAME, *arguments, "-o", out, check=2).stderr
    here(NAME, *arguments, "-o", out, "--overwrite", check=0)


def test_stretched_ratios_and_small_boxes(here: Cli, data: Path) -> None:
    folder = [data / "label_2"]
    stretched = here(
        NAME, "-l", *folder, "-i", data / "image_2", "-x", 120, "-y", 60, "-n", 12, "--resize", "stretch", "--json"
    )
    result = json.loads(stretched.stdout)
    assert result["resize"] == "stretch"
    found = np.array(sum(result["anchors"].values(), []))
    assert np.abs(found - [190 * 120 / 200, 103 * 60 / 130]).sum(axis=1).min() < 0.02
    ratios = json.loads(here(NAME, "-l", *folder, *folder, "--ratio_x", 0.5, "--ratio_y", 2, "-n", 3, "--json").stdout)
    assert ratios["boxes"] == 24 and ratios["width"] is None
    few = json.loads(here(NAME, "-l", *folder, "--ratio_x", 1, "--ratio_y", 1, "-n", 3, "--min_x", 22, "--json").stdout)
    assert few["boxes"] == 9  # the 10 and 11 wide are too small, and the one that is just 22


@pytest.mark.parametrize(
    "augmentation",
    [
        "augmentation_config { output_width: 160 output_height: 96 output_channel: 3 }",
        "augmentation_config { preprocessing { output_image_width: 160 output_image_height: 96 crop_right: 100 "
        "crop_bottom: 110 crop_top: 9 scale_width: 1.5 scale_height: 1.0 } }",
    ],
)
def test_an_experiment_spec_gives_the_sizes_that_training_sees(
    here: Cli, data: Path, tmp_path: Path, augmentation: str
) -> None:
    text = SPEC.replace("DATA", str(data)).replace("AUGMENTATION", augmentation)
    path = tmp_path / "spec.txt"
    path.write_text(text)
    cfg = tasks.canonical("yolo", text_format.Parse(text, Experiment()))
    task = tasks.load("yolo")
    records = dataset.read(cfg.dataset_config, "training")
    targets = [task.sample(record, cfg, None)["boxes_yxhw"].numpy() for record in records]
    seen = np.concatenate(targets)[:, [3, 2]] * (160, 96)
    done = here(NAME, "yolov3", "-e", path, "-n", 10, "--json", check=0)
    result = json.loads(done.stdout)
    found = np.array(sum(result["anchors"].values(), []))
    assert (result["boxes"], result["width"], result["height"], len(seen)) == (10, 160, 96, 10)  # cars alone
    assert np.allclose(found, seen[np.argsort(seen.prod(axis=1))], atol=0.01)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "name the data with -e SPEC, or with -l"),
        (["-l", "DATA/label_2"], 2, "missing option -x or -y"),
        (["-l", "DATA/label_2", "-x", 64, "-y", 32], 2, "1 label folders, but 0 folders of pictures"),
        (["-l", "DATA/label_2", "--ratio_x", 1], 2, "--ratio_x and --ratio_y go together"),
        (["-l", "DATA/label_2", "--ratio_x", 1, "--ratio_y", 1, "-x", 8], 2, "stand in place of"),
        (["-l", "DATA/label_2", "--ratio_x", 1, "--ratio_y", 1, "-n", 13], 4, "11 different boxes, too few for 13"),
        (["-l", "DATA/image_2", "--ratio_x", 1, "--ratio_y", 1], 4, "image_2: no label file in the folder"),
        (["-l", "DATA/nowhere", "--ratio_x", 1, "--ratio_y", 1], 4, "nowhere: the folder cannot be read"),
        (["-e", "DATA/nowhere.txt"], 3, "nowhere.txt: no such file"),
        (["-e", "DATA/x.txt", "-x", 5], 2, "do not go with it"),
    ],
)
def test_what_is_refused(here: Cli, data: Path, arguments: list[object], code: int, said: str) -> None:
    words = [str(word).replace("DATA", str(data)) for word in arguments]
    assert said in here(NAME, *words, check=code).stderr


def test_pictures_that_are_missing_are_named(here: Cli, data: Path) -> None:
    (data / "image_2/1.png").unlink()
    done = here(NAME, "-l", data / "label_2", "-i", data / "image_2", "-x", 120, "-y", 60, "-n", 3, check=0)
    assert f"{data}/label_2/1.txt: no picture belongs to this label" in done.stderr
    assert "# k-means of 6 boxes" in done.stdout


def test_several_folders_as_the_original_takes_them() -> None:
    words = spread(["-l", "a", "b", "-i", "c", "d", "-x", "3"])
    assert words == ["-l", "a", "-l", "b", "-i", "c", "-i", "d", "-x", "3"]
    assert spread(["yolo", "-n", "9", "-l", "a"]) == ["yolo", "-n", "9", "-l", "a"]
    assert spread(["--labels", "a", "b", "--json"]) == ["--labels", "a", "--labels", "b", "--json"]
