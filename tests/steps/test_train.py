"""The training loop: files, exact resume, signals, several processes, wrong runs."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tltpy import artifact, tasks
from tltpy.errors import DataError, Interrupted, UsageError
from tltpy.log import Log
from tltpy.spec.load import load
from tltpy.steps import models, train

KEY = "key"


def request_of(spec: Path, results: Path, **more: Any) -> train.TrainRequest:
    cfg = tasks.canonical("yolo", load(spec, tasks.message("yolo")).message)
    return train.TrainRequest(**{"task": "yolo", "cfg": cfg, "results_dir": results, "key": KEY, **more})


def run(spec: Path, results: Path, **more: Any) -> dict[str, Any]:
    torch.set_num_threads(1)
    return train.run(request_of(spec, results, **more), Log("tlt-train", quiet=True))


def tensors(results: Path, name: str = "last") -> dict[str, torch.Tensor]:
    return artifact.load_model(results / f"weights/yolo_resnet10_{name}.tlt", KEY).tensors


def rows_of(results: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((results / "training_log.csv").read_text().splitlines()))


def assert_same_bits(a: Path, b: Path, name: str = "last") -> None:
    first, second = tensors(a, name), tensors(b, name)
    assert list(first) == list(second) and len(first) > 60
    different = [key for key, value in first.items() if not torch.equal(value, second[key])]
    assert different == []


def test_a_run_leaves_the_published_files(write_spec: Callable[..., Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run(write_spec(epochs=3, period=2), out)
    names = sorted(path.name for path in (out / "weights").iterdir())
    assert names == [f"yolo_resnet10_{name}.tlt" for name in ("best", "epoch_001", "epoch_002", "epoch_003", "last")]
    assert (out / "model_output_labels.txt").read_text() == "bar\ndisc\n"
    rows = rows_of(out)
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    assert {"AP_bar", "AP_disc", "loss", "lr", "mAP", "validation_loss"} <= set(rows[0])
    assert rows[0]["mAP"] == "nan" and rows[1]["mAP"] != "nan" and rows[2]["mAP"] != "nan"
    events = [json.loads(line) for line in (out / "status.json").read_text().splitlines()]
    assert [event["status"] for event in events] == ["STARTED", "RUNNING", "RUNNING", "RUNNING", "SUCCESS"]
    assert events[1]["graphical"]["loss"] == pytest.approx(float(rows[0]["loss"]))
    assert result["best_epoch"] in (2, 3) and Path(result["best"]).exists()
    stored = artifact.load_model(out / "weights/yolo_resnet10_best.tlt", KEY).metadata["spec"]
    assert stored == (out / "spec.txt").read_text() and "max_queue_size: 0" in stored


def test_the_same_seed_gives_the_same_bits_with_any_workers(write_spec: Callable[..., Path], tmp_path: Path) -> None:
    run(write_spec(), tmp_path / "one")
    for name, workers in (
        ("threads", "n_workers: 3 max_queue_size: 5"),
        ("processes", "n_workers: 2 use_multiprocessing: true"),
    ):
        spec = write_spec(f"{name}.txt")
        spec.write_text(spec.read_text().replace("n_workers: 1", workers))
        run(spec, tmp_path / name)
        assert_same_bits(tmp_path / "one", tmp_path / name, "epoch_002")


@pytest.mark.parametrize("training", ["", "model_ema: true optimizer { sgd { momentum: 0.9 } }", "varied size"])
@pytest.mark.parametrize("stop_after", [1, 3, 5])
def test_resume_is_exact_also_in_the_middle_of_an_epoch(
    write_spec: Callable[..., Path], tmp_path: Path, stop_after: int, training: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = write_spec(epochs=2, training="" if training == "varied size" else training)
    if training == "varied size":
        text = spec.read_text()
        spec.write_text(text.replace("preprocessing", "randomize_input_shape_period: 2 preprocessing", 1))
    run(spec, tmp_path / "whole")
    done = 0
    step = train.Training._step

    def counted(self: train.Training, *args: Any) -> Any:
        nonlocal done
        done += 1
        if done == stop_after:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(train.Training, "_step", counted)
        with pytest.raises(Interrupted) as caught:
            run(spec, tmp_path / "parts")
    assert caught.value.exit_code == 130 and done == stop_after
    run(spec, tmp_path / "parts", resume=True)
    assert_same_bits(tmp_path / "whole", tmp_path / "parts")
    assert (tmp_path / "whole/training_log.csv").read_text() == (tmp_path / "parts/training_log.csv").read_text()


def test_resume_model_path_goes_on_after_its_epoch(
    write_spec: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(write_spec(epochs=2), tmp_path / "whole")
    weights = tmp_path / "whole/weights"
    (weights / "yolo_resnet10_epoch_001.tlt").rename(weights / "renamed.tlt")  # TLT took the epoch from the name
    spec = write_spec("numbered.txt", epochs=2, training=f'resume_model_path: "{weights}/renamed.tlt"')
    run(spec, tmp_path / "numbered")
    assert [row["epoch"] for row in rows_of(tmp_path / "numbered")] == ["1"]
    assert rows_of(tmp_path / "numbered")[0]["lr"] == rows_of(tmp_path / "whole")[1]["lr"]
    assert sorted(path.name for path in (tmp_path / "numbered/weights").iterdir())[1] == "yolo_resnet10_epoch_002.tlt"
    # the state of a whole run: bit for bit
    epoch = train.Training._epoch
    monkeypatch.setattr(train.Training, "_epoch", lambda self: _raise() if self.trainee.position.epoch else epoch(self))
    with pytest.raises(KeyboardInterrupt):
        run(write_spec("half.txt", epochs=2), tmp_path / "half")
    monkeypatch.undo()
    last = tmp_path / "half/weights/yolo_resnet10_last.tlt"
    run(write_spec("last.txt", epochs=2, training=f'resume_model_path: "{last}"'), tmp_path / "last")
    assert_same_bits(tmp_path / "whole", tmp_path / "last")


def _raise() -> Any:
    raise KeyboardInterrupt


def test_sigterm_leaves_a_checkpoint_and_exits_143(write_spec: Callable[..., Path], tmp_path: Path) -> None:
    spec, out = write_spec(epochs=200, period=200), tmp_path / "out"
    command = [sys.executable, "-m", "tltpy.cli.train", "yolo", "-e", str(spec), "-r", str(out), "-k", KEY]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not list(out.glob("weights/*_epoch_001.tlt")):
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143, errors
    assert "tlt-train: error: terminated after epoch" in errors and "--resume" in errors
    assert artifact.load_model(out / "weights/yolo_resnet10_last.tlt", KEY).metadata["training"]
    assert not list(out.glob("**/*.part"))


def test_two_processes_are_one_with_the_whole_batch(write_spec: Callable[..., Path], tmp_path: Path) -> None:
    """Batch normalization frozen everywhere; the learning rate is scaled with the processes, hence halved for two.

    The optimizer is plain SGD: Adam's first steps divide by gradients that are nearly nothing.
    """
    # frozen statistics must be those of the activations, after a few steps
    run(write_spec("first.txt", epochs=4, period=4, network="batch_norm_momentum: 0.5"), tmp_path / "first")
    start = tmp_path / "first/weights/yolo_resnet10_last.tlt"
    training = "optimizer { sgd { momentum: 0 } }"
    one = write_spec("one.txt", epochs=2, training=training)
    two = write_spec("two.txt", epochs=2, training=training)
    text = two.read_text().replace("batch_size_per_gpu: 4", "batch_size_per_gpu: 2")
    two.write_text(text.replace("1e-4 max", "1e-5 max").replace("max_learning_rate: 2e-3", "max_learning_rate: 1e-4"))
    one.write_text(
        one.read_text().replace("1e-4 max", "2e-5 max").replace("max_learning_rate: 2e-3", "max_learning_rate: 2e-4")
    )
    results = []
    for spec, gpus in ((one, 1), (two, 2)):
        out = tmp_path / spec.stem
        script = (
            "import sys, torch\nfrom tltpy.nn import layers\nfrom tltpy.tasks.yolo import model\n"
            "torch.set_num_threads(1)\n"
            "train = model.YoloV3.train\n"
            "def frozen(self, mode=True):\n    train(self, mode)\n    layers.freeze_normalization(self)\n"
            "    return self\n"
            "model.YoloV3.train = frozen\n"
            "start = model.YoloV3._start\n"
            "def started(self, *args):\n    start(self, *args)\n    layers.freeze_normalization(self)\n"
            "model.YoloV3._start = started\n"
            "from tltpy.cli.train import main\nmain()\n"
        )
        (tmp_path / "frozen.py").write_text(script)
        launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"] if gpus == 2 else []
        arguments = ["yolo", "-e", str(spec), "-r", str(out), "-k", KEY, "-q", "-m", str(start)]
        done = subprocess.run(
            [sys.executable, *launch, str(tmp_path / "frozen.py"), *arguments], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        results.append(tensors(out, "epoch_002"))
    before = models.network_tensors(tensors(tmp_path / "first"))
    moved = max(float((value - before[name]).abs().max()) for name, value in results[0].items() if value.ndim == 4)
    assert moved > 1e-4
    for name, value in results[0].items():
        torch.testing.assert_close(results[1][name], value, rtol=1e-5, atol=1e-5, msg=name)


def test_a_not_finite_loss_names_the_batch_and_stops(
    write_spec: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = train.Training._step

    def poisoned(self: train.Training, *args: Any) -> Any:
        if self.trainee.position.step == 1:
            with torch.no_grad():
                next(iter(self.network.parameters())).fill_(float("nan"))
        return step(self, *args)

    monkeypatch.setattr(train.Training, "_step", poisoned)
    with pytest.raises(DataError, match="not finite in epoch 1, step 2") as caught:
        run(write_spec(), tmp_path / "out")
    assert "images/" in " ".join(caught.value.hints)


def test_a_folder_with_results_is_refused(write_spec: Callable[..., Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        run(write_spec(), out)
    assert [path.name for path in out.iterdir()] == ["notes.txt"]


def test_resume_wants_the_same_run(write_spec: Callable[..., Path], tmp_path: Path) -> None:
    spec, out = write_spec(epochs=1), tmp_path / "out"
    with pytest.raises(UsageError, match="nothing to resume"):
        run(spec, out, resume=True)
    run(spec, out)
    other = tmp_path / "other.txt"
    other.write_text(spec.read_text().replace("random_seed: 5", "random_seed: 6"))
    with pytest.raises(UsageError, match="seed 5 then, 6 now"):
        run(other, out, resume=True)


def test_weights_start_from_a_model(write_spec: Callable[..., Path], tmp_path: Path) -> None:
    run(write_spec(epochs=1), tmp_path / "first")
    model = tmp_path / "first/weights/yolo_resnet10_best.tlt"
    request = request_of(write_spec("next.txt"), tmp_path / "second", model=model)
    training = train.Training(request, train.processes.join(), Log("tlt-train", quiet=True))
    own, given = training.network.state_dict(), artifact.load_model(model, KEY)
    assert all(torch.equal(own[name], value) for name, value in given.tensors.items())
    assert training.metadata["lineage"][-1]["digest"] == given.digest


def test_a_pruned_model_starts_with_all_its_weights(write_spec: Callable[..., Path], tmp_path: Path) -> None:
    from tltpy.steps import prune

    run(write_spec(epochs=1), tmp_path / "first")
    model, pruned = tmp_path / "first/weights/yolo_resnet10_best.tlt", tmp_path / "pruned.tlt"
    asked = prune.PruneRequest(model=model, output=pruned, key=KEY, target_params=0.5, min_num_filters=32)
    prune.run(asked, Log("tlt-prune", quiet=True))
    request = request_of(write_spec("next.txt"), tmp_path / "second", model=pruned)
    training = train.Training(request, train.processes.join(), Log("tlt-train", quiet=True))
    own, given = training.network.state_dict(), artifact.load_model(pruned, KEY)
    assert list(own) == list(given.tensors)
    assert all(torch.equal(own[name], value) for name, value in given.tensors.items())


def test_mixed_precision_trains(write_spec: Callable[..., Path], tmp_path: Path) -> None:
    result = run(write_spec(epochs=1), tmp_path / "out", use_amp=True)
    assert (
        result["last_epoch"]["loss"] == pytest.approx(result["last_epoch"]["loss"])
        and (tmp_path / "out/weights").exists()
    )


def test_a_dry_run_writes_nothing(write_spec: Callable[..., Path], tmp_path: Path) -> None:
    result = run(write_spec(), tmp_path / "out", dry_run=True, key=None)
    assert result["steps_per_epoch"] == 3 and result["loss"] > 0 and not (tmp_path / "out").exists()


def test_training_learns(write_spec: Callable[..., Path], tmp_path: Path) -> None:
    result = run(write_spec(epochs=12, period=12), tmp_path / "out")
    rows = rows_of(tmp_path / "out")
    assert float(rows[-1]["loss"]) < 0.5 * float(rows[0]["loss"]) and result["best_value"] is not None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("amp", [False, True])
def test_training_on_a_gpu(write_spec: Callable[..., Path], tmp_path: Path, amp: bool) -> None:
    result = run(write_spec(epochs=12, period=12), tmp_path / "out", use_amp=amp)
    rows = rows_of(tmp_path / "out")
    assert float(rows[-1]["loss"]) < 0.5 * float(rows[0]["loss"]) and result["best_value"] is not None
