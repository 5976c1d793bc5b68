"""infer: pictures in, drawings and label files out, whatever the pictures and the form of the flags."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from shapes import KEY, Trained

from tltpy.geometry.boxes import iou_matrix

Cli = Callable[..., Any]


@pytest.fixture
def infer(here: Cli, trained: Trained) -> Cli:
    def run(*arguments: object, check: int = 0) -> Any:
        return here("tlt-infer", "yolo", "-e", trained.spec, "-m", trained.model, "-k", KEY, *arguments, check=check)

    return run


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def rows(path: Path) -> list[list[str]]:
    return [line.split() for line in path.read_text().splitlines()]


def test_a_folder_gives_drawings_and_labels(infer: Cli, trained: Trained, tmp_path: Path) -> None:
    import torch

    done = infer("-i", trained.data / "images", "-o", tmp_path / "drawn", "-l", tmp_path / "labels", "-t", 0.5)
    stems = [f"{number:03d}" for number in range(10)]
    assert names(tmp_path / "drawn") == [*(f"{stem}.png" for stem in stems), "predictions.json"]
    assert names(tmp_path / "labels") == [f"{stem}.txt" for stem in stems]
    found = 0
    for stem in stems:
        picture, drawing = (cv2.imread(str(at / f"{stem}.png")) for at in (trained.data / "images", tmp_path / "drawn"))
        assert picture is not None and drawing is not None and drawing.shape == picture.shape == (72, 120, 3)
        truth, written = rows(trained.data / f"labels/{stem}.txt"), rows(tmp_path / f"labels/{stem}.txt")
        assert not written or (drawing != picture).any()
        for row in written:
            assert len(row) == 16 and row[0] in ("disc", "bar") and 0.5 < float(row[15]) <= 1
            x1, y1, x2, y2 = map(float, row[4:8])
            assert 0 <= x1 < x2 <= 120 and 0 <= y1 < y2 <= 72 and set(row[1:4] + row[8:15]) == {"0"}
            same = [list(map(float, other[4:8])) for other in truth if other[0] == row[0]]
            found += bool(iou_matrix(torch.tensor([[x1, y1, x2, y2]]), torch.tensor(same)).max() > 0.5)
    assert found >= 14  # of 20 objects
    assert done.stdout.splitlines()[0] == "10 pictures"
    assert f"drawings  {tmp_path / 'drawn'}" in done.stdout and f"labels    {tmp_path / 'labels'}" in done.stdout


def test_a_single_picture_and_json(infer: Cli, trained: Trained, tmp_path: Path) -> None:
    picture = trained.data / "images/003.png"
    result = json.loads(infer("-i", picture, "-l", tmp_path / "labels", "--json", "-q", "-t", 0.4).stdout)
    assert result["pictures"] == 1 and result["images_dir"] is None and names(tmp_path / "labels") == ["003.txt"]
    (prediction,) = result["predictions"]
    assert prediction["id"] == "003" and prediction["image"] == str(picture)
    assert len(prediction["objects"]) == len(rows(tmp_path / "labels/003.txt"))
    assert all(set(found) == {"class", "box_xyxy", "score"} for found in prediction["objects"])


@pytest.mark.parametrize("form", ["tao", "hat"])
def test_the_other_published_forms(infer: Cli, trained: Trained, tmp_path: Path, form: str) -> None:
    picture, out = trained.data / "images/001.png", tmp_path / "out"
    flags = {"tao": ["-i", picture, "-r", out], "hat": ["--model-inputs", f"img:{picture}", "--save-path", out]}
    infer(*flags[form])
    assert names(out / "images_annotated") == ["001.png", "predictions.json"] and names(out / "labels") == ["001.txt"]
    infer(*flags[form], check=2)
    infer(*flags[form], "--overwrite")


def test_nothing_is_surer_than_sure(infer: Cli, trained: Trained, tmp_path: Path) -> None:
    infer("-i", trained.data / "images", "-r", tmp_path, "-t", "1.0", "-q")
    written = sorted((tmp_path / "labels").iterdir())
    assert len(written) == 10 and all(path.read_text() == "" for path in written)


def test_pictures_of_all_sizes_and_colours(infer: Cli, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    rng = np.random.default_rng(1)
    sizes = {"grey.png": (50, 90), "tiny.png": (1, 2, 3), "alpha.png": (30, 41, 4), "long.jpg": (9, 300, 3)}
    for name, size in sizes.items():
        cv2.imwrite(str(pictures / name), rng.integers(0, 255, size, np.uint8))
    infer("-i", pictures, "-r", tmp_path / "out", "-t", 0, "-b", 3)
    for name, size in sizes.items():
        drawing = cv2.imread(str(tmp_path / "out/images_annotated" / name))
        assert drawing is not None and drawing.shape == (*size[:2], 3)
        for row in rows(tmp_path / f"out/labels/{name[:-4]}.txt"):
            x1, y1, x2, y2 = map(float, row[4:8])
            assert 0 <= x1 <= x2 <= size[1] and 0 <= y1 <= y2 <= size[0]


def test_pictures_of_one_name_do_not_overwrite_each_other(infer: Cli, trained: Trained, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    image = cv2.imread(str(trained.data / "images/000.png"))
    assert image is not None
    for name in ("a.png", "a.jpg", "b.jpg", "a.jpg.png"):
        cv2.imwrite(str(pictures / name), image)
    result = json.loads(infer("-i", pictures, "-r", tmp_path / "out", "--json", "-q").stdout)
    assert result["pictures"] == 4
    assert names(tmp_path / "out/labels") == ["a.jpg.png.txt", "a.jpg.txt", "a.png.txt", "b.txt"]
    assert len(names(tmp_path / "out/images_annotated")) == 5


def test_engines_and_the_old_flag(here: Cli, trained: Trained, forms: Path, tmp_path: Path) -> None:
    """--trt is TLT 2.0's word for an engine; -p names one."""
    flags = ["tlt-infer", "yolo", "-e", trained.spec, "-i", trained.data / "images", "-q", "--json"]
    results = [
        json.loads(here(*flags, *model, "-l", tmp_path / f"labels{number}", check=0).stdout)["predictions"]
        for number, model in enumerate((["-m", trained.model, "-k", KEY], ["-p", forms / "yolo.engine", "--trt"]))
    ]
    for first, second in zip(*results, strict=True):
        assert [found["class"] for found in first["objects"]] == [found["class"] for found in second["objects"]]
        for one, other in zip(first["objects"], second["objects"], strict=True):
            assert one["score"] == pytest.approx(other["score"], abs=1e-3)
            assert one["box_xyxy"] == pytest.approx(other["box_xyxy"], abs=0.1)
    here(*flags, "-m", trained.model, "-k", KEY, "--trt", "-l", tmp_path / "more", check=2)
