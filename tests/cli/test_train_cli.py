"""tlt-train as it is typed, and the published flags of all executables."""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from shapes import KEY, WriteSpec

from tltpy import artifact

Cli = Callable[..., Any]

# TLT 2.0, TLT 3 and TAO; HAT's --model-inputs and --save-path
PUBLISHED = {
    "tlt-dataset-convert": "-d --dataset-export-spec --dataset_export_spec -o --output_filename -f --validation_fold "
    "-r --results_dir --workers --check --strict --overwrite",
    "tlt-train": "-e --experiment_spec_file -r --results_dir -k --key -m --model --gpus --gpu_index --num_nodes "
    "--rdzv_endpoint --use_amp --resume --initial_epoch --log_file --dry-run --overwrite --pretrained-torchvision",
    "tlt-evaluate": "-e --experiment_spec_file -m --model -k --key -b --batch_size -r --results_dir --coco --align "
    "--tolerance --record --as --table --gpu_index --overwrite",
    "tlt-prune": "-m --model -pm --pretrained_model -o --output_file --output -k --key -n --normalizer -eq "
    "--equalization_criterion -pg --pruning_granularity -pth --pruning_threshold -nf --min_num_filters -el "
    "--excluded_layers --target-params --target-flops --dry-run -r --results_dir --overwrite",
    "tlt-infer": "-e --experiment_spec_file -m --model -k --key -i --image_input -o --output_images -l "
    "--output_labels -r --results_dir --model-inputs --save-path -t --threshold -b --batch_size --trt -p --engine",
    "tlt-export": "-m --model -k --key -o --output_file -e --experiment_spec --format --batch_size --data_type "
    "--cal_image_dir --cal_data_file --cal_cache_file --cal_json_file --batches --max_batch_size --min_batch_size "
    "--opt_batch_size --max_workspace_size -s --strict_type_constraints --engine_file --static_batch_size "
    "--force_ptq --target_opset --gpu_index -r --results_dir --onnx_route",
    "tlt-convert": "-k --key -d -o -e -b -m -t -c -w -i -p -s -u --backend --perf --against --threads --out-dir "
    "--overwrite",
    "tlt-calops": "-e --experiment_spec_file -m --model -k --key --input-shape --method --depth --csv",
    "tlt-model-check": "-e --experiment_spec_file -m --model -k --key --backend --data_type",
}


@pytest.mark.parametrize("executable", PUBLISHED)
def test_the_help_names_every_published_flag(here: Cli, executable: str) -> None:
    done = here(executable, "--help", check=0)
    named = set(re.findall(r"(?<![\w-])--?[A-Za-z][\w-]*", done.stdout))
    common = "-q --quiet -v --verbose --json --help"
    assert {*PUBLISHED[executable].split(), *common.split()} - named == set()
    assert f"Usage: {executable}" in done.stdout and done.stderr == ""


def test_aliases_of_a_task(here: Cli, write_spec: WriteSpec, tmp_path: Path) -> None:
    flags = ["-e", write_spec(), "-r", tmp_path / "out", "--dry-run", "--json", "-q"]
    first, second = (json.loads(here("tlt-train", name, *flags, check=0).stdout) for name in ("yolo", "yolo_v3"))
    assert first["loss"] == second["loss"] > 0


def test_a_dry_run_needs_no_key_and_writes_nothing(here: Cli, write_spec: WriteSpec, tmp_path: Path) -> None:
    done = here("tlt-train", "yolo", "-e", write_spec(), "-r", tmp_path / "out", "--dry-run", check=0)
    assert re.fullmatch(r"dry run: loss \d+\.\d{4}, \d+\.\d\d s a step, 3 steps an epoch\n", done.stdout)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_two_processes_write_one_set_of_files(cli: Cli, write_spec: WriteSpec, tmp_path: Path) -> None:
    """torchrun with gloo, on the CPU; the log is told once, to stderr and to the file."""
    spec, out, log = write_spec(epochs=1), tmp_path / "out", tmp_path / "log/train.txt"
    arguments = ["yolo", "-e", spec, "-r", out, "-k", KEY, "--gpus", 2, "--log_file", log, "--json"]
    done = cli("tlt-train", *arguments, env={"CUDA_VISIBLE_DEVICES": ""}, check=0)
    result = json.loads(done.stdout)
    names = sorted(path.name for path in (out / "weights").iterdir())
    assert names == [f"yolo_resnet10_{name}.tlt" for name in ("best", "epoch_001", "last")]
    assert result["best"] == str(out / "weights/yolo_resnet10_best.tlt")
    assert artifact.load_model(out / "weights/yolo_resnet10_last.tlt", KEY).metadata["run"]["batch"] == 8
    events = [json.loads(line)["status"] for line in (out / "status.json").read_text().splitlines()]
    assert events == ["STARTED", "RUNNING", "SUCCESS"]
    assert len((out / "training_log.csv").read_text().splitlines()) == 2
    for text in (done.stderr, log.read_text()):
        assert text.count("10 training and 10 validation examples") == 1 and text.count("epoch 1/1: loss") == 1
    assert not list(tmp_path.rglob("*.part"))


def test_a_failure_in_all_processes_is_told_once(cli: Cli, write_spec: WriteSpec, tmp_path: Path) -> None:
    spec = write_spec()
    spec.write_text(spec.read_text().replace('key: "disc"', 'key: "dog"').replace('key: "bar"', 'key: "cat"'))
    done = cli("tlt-train", "yolo", "-e", spec, "-r", tmp_path / "out", "-k", KEY, "--gpus", 2, check=4)
    assert done.stderr.count("tlt-train: error: target_class_mapping matches no box") == 1
    assert "Traceback" not in done.stderr and not (tmp_path / "out").exists()


@pytest.mark.slow
def test_two_processes_stop_together(write_spec: WriteSpec, tmp_path: Path) -> None:
    spec, out = write_spec(epochs=300, period=300), tmp_path / "out"
    arguments = ["yolo", "-e", str(spec), "-r", str(out), "-k", KEY, "--gpus", "2", "-q"]
    process = subprocess.Popen([sys.executable, "-m", "tltpy.cli.train", *arguments], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not list(out.glob("weights/*_epoch_001.tlt")):
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143, errors
    error, hint = errors.splitlines()
    assert error.startswith("tlt-train: error: terminated after epoch") and hint.endswith("--resume")


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--num_nodes", "2"], "--num_nodes needs --rdzv_endpoint HOST:PORT"),
        (["--resume", "--overwrite"], "--resume goes on with the run as it is"),
        (["--resume"], "nothing to resume"),
        (["--gpus", "0"], "'--gpus'"),
        (["--result_dir", "x"], "--result_dir"),
    ],
)
def test_flags_that_do_not_go_together(
    here: Cli, write_spec: WriteSpec, tmp_path: Path, flags: list[str], says: str
) -> None:
    done = here("tlt-train", "yolo", "-e", write_spec(), "-r", tmp_path / "out", "-k", KEY, "-q", *flags, check=2)
    assert says in done.stderr.splitlines()[0] and done.stdout == "" and not (tmp_path / "out").exists()
