"""kill -9 at any moment: what is on disk is the old state or the new one, and the work can be finished."""

import csv
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from killing import Ended, Zygote
from shapes import Trained

from tltpy import artifact

KEY = "key"
KILLS = int(os.environ.get("KILLS", "12"))  # KILLS=20 pytest tests/robustness/test_kill.py
FEW = max(KILLS // 4, 1)  # of a step that takes seconds each time
WriteSpec = Callable[..., Path]


def moments(whole: Ended, count: int, seed: int) -> Iterator[float]:
    """Moments of a run as long as `whole`, one at random in each of `count` equal parts, in random order."""
    rng = random.Random(seed)
    parts = list(range(count))
    rng.shuffle(parts)
    return (whole.seconds * (part + rng.random()) / count for part in parts)


def same_tensors(a: Path, b: Path) -> None:
    first, second = (artifact.load_model(path, KEY).tensors for path in (a, b))
    assert first.keys() == second.keys() and len(first) > 60
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


def sound(folder: Path) -> None:
    """Every file that has its final name is whole."""
    for path in folder.glob("weights/*.tlt"):
        artifact.load_model(path, KEY)  # raises for a damaged or truncated one
    log = folder / "training_log.csv"
    if log.exists():
        text = log.read_text()
        assert text.endswith("\n") and all(None not in row.values() for row in csv.DictReader(text.splitlines()))


@pytest.fixture(scope="module")
def narrow(trained: Trained, zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pruned model: what is saved often is small."""
    path = tmp_path_factory.mktemp("narrow") / "narrow.tlt"
    ended = zygote.run("tlt-prune", "-m", trained.model, "-o", path, "-pth", "2", "-nf", "8")
    assert ended.code == 0 and path.stat().st_size < 2e6, ended.output
    return path


@pytest.mark.slow
def test_training_killed_again_and_again_ends_with_the_same_bits(
    zygote: Zygote, narrow: Path, write_spec: WriteSpec, tmp_path: Path
) -> None:
    spec, whole, parts = write_spec(epochs=8, period=3), tmp_path / "whole", tmp_path / "parts"
    arguments, start = ("yolo", "-e", spec, "-q", "-r"), ("-m", narrow)
    reference = zygote.run("tlt-train", *arguments, whole, *start)
    assert reference.code == 0, reference.output
    last = parts / "weights/yolo_resnet10_last.tlt"
    rng = random.Random(1)
    for _ in range(KILLS):
        # long enough that the run gets on by an epoch now and then
        resume = ("--resume",) if last.exists() else start
        ended = zygote.run(
            "tlt-train", *arguments, parts, *resume, kill_after_s=rng.uniform(0.05, 0.4) * reference.seconds
        )
        assert ended.code in (-9, 0), ended.output
        sound(parts)
    ended = zygote.run("tlt-train", *arguments, parts, *(("--resume",) if last.exists() else start))
    assert ended.code == 0, ended.output
    for name in ("best", "last", "epoch_004", "epoch_008"):
        same_tensors(whole / f"weights/yolo_resnet10_{name}.tlt", parts / f"weights/yolo_resnet10_{name}.tlt")
    assert (whole / "training_log.csv").read_text() == (parts / "training_log.csv").read_text()


@pytest.mark.slow
def test_an_export_that_is_killed_leaves_the_old_graph_or_the_new_one(
    zygote: Zygote, narrow: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    target, arguments = out / "yolo.onnx", ("yolo", "-m", narrow, "-q", "-o")
    whole = zygote.run("tlt-export", *arguments, target)
    assert whole.code == 0, whole.output
    new = target.read_bytes()
    for number, moment in enumerate(moments(whole, FEW, 2)):
        old = b"" if number % 2 else b"an old graph"
        target.write_bytes(old) if old else target.unlink(missing_ok=True)
        ended = zygote.run("tlt-export", *arguments, target, "--overwrite", kill_after_s=moment)
        assert ended.code in (-9, 0), ended.output
        found = target.read_bytes() if target.exists() else b""
        assert found == (new if ended.code == 0 else old) or found == new
        visible = [path.name for path in out.iterdir() if not path.name.startswith(".")]
        assert set(visible) <= {target.name, "status.json"}
    ended = zygote.run("tlt-export", *arguments, target, "--overwrite")
    assert ended.code == 0 and target.read_bytes() == new
    onnx.checker.check_model(onnx.load(target))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_conversion_that_is_killed_leaves_all_shards_or_none(zygote: Zygote, tmp_path: Path, workers: int) -> None:
    root, out = tmp_path / "data", tmp_path / "out"
    make_kitti(root, 400)
    spec = tmp_path / "convert.txt"
    spec.write_text(
        f'kitti_config {{ root_directory_path: "{root}" image_dir_name: "images" label_dir_name: "labels"\n'
        'partition_mode: "random" num_partitions: 2 val_split: 30 num_shards: 5 }\n'
    )
    arguments = ("-d", spec, "-q", "--workers", workers, "-o")
    whole = zygote.run("tlt-dataset-convert", *arguments, tmp_path / "whole/kitti")
    assert whole.code == 0, whole.output
    expected = {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}
    assert len(expected) == 10
    finished = 0
    for moment in moments(whole, KILLS if workers == 1 else FEW, 3):
        ended = zygote.run("tlt-dataset-convert", *arguments, out / "kitti", kill_after_s=moment)
        assert ended.code in (-9, 0), ended.output
        found = {path.name: path.read_bytes() for path in out.glob("kitti*")}
        cut = (out / ".kitti.unfinished").exists()
        assert cut or found in ({}, expected)
        if found == expected and not cut:
            finished += 1
            for path in out.glob("kitti*"):
                path.unlink()
    ended = zygote.run("tlt-dataset-convert", *arguments, out / "kitti")
    assert ended.code == 0, ended.output
    assert {path.name: path.read_bytes() for path in out.glob("kitti*")} == expected
    assert finished < KILLS


def make_kitti(root: Path, count: int) -> None:
    """Labels of as many small pictures, three boxes each."""
    rng = random.Random(5)
    for name in ("images", "labels"):
        (root / name).mkdir(parents=True)
    ok, png = cv2.imencode(".png", np.full((24, 40, 3), 90, np.uint8))
    assert ok
    for number in range(count):
        (root / f"images/{number:05d}.png").write_bytes(png.tobytes())
        boxes = [(rng.randrange(0, 10), rng.randrange(0, 9), rng.randrange(20, 40), rng.randrange(12, 24))] * 3
        text = "".join(f"car 0 0 0 {a} {b} {c} {d} 0 0 0 0 0 0 0\n" for a, b, c, d in boxes)
        (root / f"labels/{number:05d}.txt").write_text(text)
