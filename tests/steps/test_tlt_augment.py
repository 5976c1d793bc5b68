"""tlt-augment as it is typed: what it writes, what it refuses, what it says of bad data; the same bytes every time."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tltpy.data import images

Cli = Callable[..., Any]
NAME = "tlt-augment"
CAR = "Car 0.00 1 -1.57 10.00 6.00 30.50 20.00 1.50 1.60 3.90 1.00 1.70 20.00 -1.56"
DONT_CARE = "DontCare -1 -1 -10 40.25 4.00 60.00 12.00 -1 -1 -1 -1000 -1000 -1000 -10"
SPEC = """
spatial_config { flip_config { flip_horizontal: true } rotation_config { angle: [-5, 5] } }
color_config { brightness_config { offset: [-20, 20] } }
dataset_config { image_path: "images" label_path: "labels" }
output_image_width: 96 output_image_height: 48
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Six pictures of two sizes, five labels."""
    root = tmp_path / "data"
    for name in ("images", "labels"):
        (root / name).mkdir(parents=True)
    for number in range(6):
        size_hw = (40, 72) if number % 2 else (36, 64)
        pixels = np.random.default_rng(number).integers(0, 256, (*size_hw, 3), np.uint8)
        assert cv2.imwrite(str(root / f"images/{number:06d}.png"), pixels)
        if number != 3:
            (root / f"labels/{number:06d}.txt").write_text(f"{CAR}\n{DONT_CARE}\n")
    return root


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "spec.txt"
    path.write_text(SPEC)
    return path


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_a_copy(here: Cli, data: Path, spec: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = here(NAME, "-a", spec, "-d", data, "-o", out, "-b", 4, "-v", "--json", check=0)
    result = json.loads(done.stdout)
    assert {key: result[key] for key in ("images", "labels", "boxes", "boxes_dropped", "finding_counts")} == {
        "images": 6, "labels": 5, "boxes": 10, "boxes_dropped": 0, "finding_counts": {"missing label": 1},
    }  # fmt: skip
    assert f"{data}/labels/000003.txt: the label file is missing; the picture is copied without one" in done.stderr
    names = [f"{number:06d}" for number in range(6)]
    assert [path.stem for path in sorted((out / "images").iterdir())] == names
    assert [path.stem for path in sorted((out / "labels").iterdir())] == names[:3] + names[4:]
    assert len(list((out / "images_annotated").iterdir())) == 6
    assert {images.read_size(path) for path in (out / "images").iterdir()} == {(48, 96)}
    for line, before in zip((out / "labels/000000.txt").read_text().splitlines(), (CAR, DONT_CARE), strict=True):
        words, old = line.split(), before.split()
        assert len(words) == 15 and words[0] == old[0] and words[2] == old[2]
        assert [float(word) for word in words[1:4] + words[8:]] == [float(word) for word in old[1:4] + old[8:]]
        assert all(len(word.partition(".")[2]) == 2 for word in words[1:2] + words[3:])
        assert words[4:8] != old[4:8]
    drawn = images.read(out / "images_annotated/000000.png")
    assert (drawn != images.read(out / "images/000000.png")).any()


def test_a_spec_that_changes_nothing_copies_pixels_and_boxes(here: Cli, data: Path, spec: Path, tmp_path: Path) -> None:
    spec.write_text('dataset_config { image_path: "images" label_path: "labels" } spatial_config {} color_config {}')
    here(NAME, "-a", spec, "-d", data, "-o", tmp_path / "out", check=0)
    for path in (data / "images").iterdir():
        assert np.array_equal(images.read(tmp_path / "out/images" / path.name), images.read(path))
    assert (tmp_path / "out/labels/000000.txt").read_text().splitlines()[0] == CAR


def test_grey_jpegs_without_labels(here: Cli, data: Path, spec: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(data / "images/a.JPG"), np.zeros((20, 30, 3), np.uint8))
    spec.write_text(
        'dataset_config { image_path: "images" label_path: "" } output_image_channel: 1 image_extension: ".jpg"'
    )
    done = here(NAME, "-a", spec, "-d", data, "-o", tmp_path / "out", "-v", check=0)
    assert [path.name for path in (tmp_path / "out").rglob("*.*")] == ["a.JPG"]
    grey = cv2.imread(str(tmp_path / "out/images/a.JPG"), cv2.IMREAD_UNCHANGED)
    assert grey is not None and grey.shape == (20, 30)
    assert "-v draws no boxes: label_path is empty" in done.stderr


def test_any_number_of_workers_and_any_batch_give_the_same_bytes(
    cli: Cli, here: Cli, data: Path, spec: Path, tmp_path: Path
) -> None:
    here(NAME, "-a", spec, "-d", data, "-o", tmp_path / "one", "-v", check=0)
    cli(NAME, "-a", spec, "-d", data, "-o", tmp_path / "two", "-v", "--workers", 2, "-b", 1, check=0)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert len(contents(tmp_path / "one")) == 6 + 5 + 6
    spec.write_text(SPEC + "random_seed: 43")
    here(NAME, "-a", spec, "-d", data, "-o", tmp_path / "seed", check=0)
    assert contents(tmp_path / "seed")["images/000000.png"] != contents(tmp_path / "one")["images/000000.png"]


def test_bad_data_is_named_and_left_out(here: Cli, data: Path, spec: Path, tmp_path: Path) -> None:
    (data / "images/000001.png").write_bytes(b"no picture")
    bad = "Car 1 2\n\nCar 0 0 0 9 9 5 12 0 0 0 0 0 0 0\nCar 0 0 0 1 x 2 3 0 0\n"
    (data / "labels/000002.txt").write_text(f"{CAR}\n{bad}")
    (data / "labels/lone.txt").write_text("")
    done = here(NAME, "-a", spec, "-d", data, "-o", tmp_path / "out", check=0)
    labels = f"{data}/labels"
    for text in (
        f"{labels}/lone.txt: no image belongs to this label",
        f"{data}/images/000001.png: the file is no picture that can be read; left out",
        f"{labels}/000002.txt:2: 3 columns instead of",
        f"{labels}/000002.txt:4: degenerate box (9, 9, 5, 12)",
        f"{labels}/000002.txt:5: 'x' is not a number",
    ):
        assert text in done.stderr
    assert "5 pictures, 4 with labels" in done.stdout
    assert len((tmp_path / "out/labels/000002.txt").read_text().splitlines()) == 1


def test_no_picture_at_all_leaves_nothing(here: Cli, data: Path, spec: Path, tmp_path: Path) -> None:
    for path in (data / "images").iterdir():
        path.write_bytes(b"no picture")
    done = here(NAME, "-a", spec, "-d", data, "-o", tmp_path / "out", check=4)
    assert "error: no picture of the data set can be read" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "spec.txt"]


def test_overwriting_is_asked_for_and_replaces_all(here: Cli, data: Path, spec: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    here(NAME, "-a", spec, "-d", data, "-o", out, "-v", check=0)
    assert "add --overwrite" in here(NAME, "-a", spec, "-d", data, "-o", out, check=2).stderr
    (out / "mine.txt").write_text("keep")
    (data / "images/000000.png").unlink()
    here(NAME, "-a", spec, "-d", data, "-o", out, "--overwrite", check=0)
    assert (out / "mine.txt").exists()
    assert {path.stem for path in (out / "images").iterdir()} == {f"{number:06d}" for number in range(1, 6)}
    assert not list((out / "images_annotated").iterdir())
    assert len(list((out / "labels").iterdir())) == 4
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_the_data_set_itself_is_no_output(here: Cli, data: Path, spec: Path) -> None:
    before = contents(data)
    for out in (data, data / "x" / "..", data / "images"):
        done = here(NAME, "-a", spec, "-d", data, "-o", out, "--overwrite", check=2)
        assert "this is the data set itself" in done.stderr
    assert contents(data) == before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("output_image_width: 64", "1:21: output_image_width is given alone"),
        ('dataset_config { label_path: "../labels" }', "1:30: label_path must be a folder below"),
        ('image_extension: ".gif"', '1:18: pictures with ".gif" cannot be written'),
        ("spatial_config { rotation_config { angel: 3 } }", 'did you mean "angle"?'),
        ("output_image_channel: 2", '1:23: "output_image_channel" must be'),
    ],
)
def test_bad_specs(here: Cli, data: Path, spec: Path, tmp_path: Path, text: str, said: str) -> None:
    spec.write_text(text)
    assert said in here(NAME, "-a", spec, "-d", data, "-o", tmp_path / "out", check=3).stderr
    assert not (tmp_path / "out").exists()


def test_what_is_missing_is_named(here: Cli, data: Path, spec: Path, tmp_path: Path) -> None:
    (data / "images").rename(data / "pictures")
    done = here(NAME, "-a", spec, "-d", data, "-o", tmp_path / "out", check=4)
    assert f"{data}/images: the folder cannot be read" in done.stderr
    (data / "pictures").rename(data / "images")
    cv2.imwrite(str(data / "images/000000.bmp"), np.zeros((20, 30, 3), np.uint8))
    done = here(NAME, "-a", spec, "-d", data, "-o", tmp_path / "out", check=4)
    assert "000000.png: 000000.bmp has the same label file" in done.stderr
    done = here(NAME, "-a", spec, "-d", data, "-o", tmp_path / "out", "--cluster", "x", "--device", "cuda", check=2)
    assert "exclude each other" in done.stderr


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_leaves_nothing(
    argv: Callable[[str], list[str]], data: Path, spec: Path, tmp_path: Path, number: int, code: int, workers: int
) -> None:
    """The run waits for the text of a label that is a pipe, and so do its workers."""
    pipe = data / "labels/000003.txt"
    os.mkfifo(pipe)
    arguments = ["-a", str(spec), "-d", str(data), "-o", str(tmp_path / "out"), "--workers", str(workers)]

    def heed() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell without job control has its background jobs ignore it

    process = subprocess.Popen([*argv(NAME), *arguments], stderr=subprocess.PIPE, text=True, preexec_fn=heed)
    end = time.monotonic() + 60
    while not list(tmp_path.glob(".out.*.part/images/000003.png")) and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code, said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "spec.txt"]


def test_what_a_killed_run_left_is_removed(here: Cli, data: Path, spec: Path, tmp_path: Path) -> None:
    left, fresh, other = (tmp_path / name for name in (".out.0123abcd.part", ".out.01234567.part", ".x.0123abcd.part"))
    for path in (left, fresh, other):
        path.mkdir()
        if path != fresh:
            os.utime(path, (1, 1))
    here(NAME, "-a", spec, "-d", data, "-o", tmp_path / "out", check=0)
    assert (left.exists(), fresh.exists(), other.exists()) == (False, True, True)
    assert len(list((tmp_path / "out/images").iterdir())) == 6


def test_real_pictures(here: Cli, shared: Path, root: Path, tmp_path: Path) -> None:
    data = shared / "data/kitti_object/training"
    spec = root / "specs/augment/kitti_rotate.txt"
    done = here(NAME, "-a", spec, "-d", data, "-o", tmp_path / "out", "--json", check=0)
    result = json.loads(done.stdout)
    assert (result["images"], result["labels"], result["findings"]) == (13, 13, [])
    assert result["boxes"] + result["boxes_dropped"] == 84
