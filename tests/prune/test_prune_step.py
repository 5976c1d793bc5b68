"""tlt-prune from argv to the file it writes, on a small network of a real task."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from tltpy import artifact, tasks
from tltpy.cli.prune import command
from tltpy.errors import ModelFileError, UsageError, WrongKeyError
from tltpy.spec.load import parse_text
from tltpy.steps import models

SPEC = """
dataset_config { data_sources { label_directory_path: "labels" image_directory_path: "images" }
  target_class_mapping { key: "car" value: "car" } target_class_mapping { key: "van" value: "car" } }
yolo_config { arch: "resnet" nlayers: 10 arch_conv_blocks: 0 small_anchor_shape: "[(8, 10), (12, 9)]"
  mid_anchor_shape: "[(20, 16)]" big_anchor_shape: "[(40, 30), (50, 44)]" }
training_config { batch_size_per_gpu: 2 num_epochs: 1 }
eval_config { batch_size: 2 }
nms_config { confidence_threshold: 0.1 }
augmentation_config { preprocessing { output_image_width: 96 output_image_height: 64 output_image_channel: 3 } }
"""
OUTPUTS = {"conv_big_object", "conv_mid_object", "conv_sm_object"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sealed model whose filters differ in weight."""
    path = tmp_path_factory.mktemp("model") / "full.tlt"
    torch.manual_seed(0)
    cfg = tasks.canonical("yolo", parse_text(SPEC, tasks.message("yolo")).message)
    network = tasks.load("yolo").build(cfg)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() == 4:
                parameter *= torch.rand(len(parameter), 1, 1, 1) + 0.01
    metadata = {"spec": models.spec_text(cfg), "lineage": [{"digest": "00", "name": "older.tlt", "step": "train"}]}
    artifact.save_model(
        path, key="secret", task="yolo", tensors=network.state_dict(),
        metadata={**metadata, "classes": ["car"], "measured": {"mAP": 0.5}, "epoch": 3},
    )
    return path


def run(*args: object) -> dict[str, Any]:
    """The JSON result of tlt-prune; what it raises is raised."""
    done = CliRunner().invoke(command, [*map(str, args), "-k", "secret", "--json", "-q"], standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_pruned_file_opens_like_a_full_one(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "pruned.tlt"
    result = run("-m", model, "-o", out, "-pth", "0.5", "-eq", "intersection", "-nf", "8")
    assert 0.1 < result["parameters"]["ratio"] < 0.7 and 0.1 < result["flops"]["ratio"] < 0.7
    assert result["digest"] == artifact.load_model(out, "secret").digest

    opened = models.open_network(out, "secret", "yolo")
    parameters = sum(parameter.numel() for parameter in opened.network.parameters())
    assert parameters == result["parameters"]["after"]
    maps = opened.network({"Input": torch.rand(2, 3, 64, 96)})
    assert maps["big"].shape == (2, 2 * 6, 2, 3) and maps["small"].shape == (2, 2 * 6, 8, 12)

    metadata = opened.file.metadata
    source = artifact.load_model(model, "secret")
    assert metadata["spec"] == source.metadata["spec"] and metadata["classes"] == ["car"]
    parent = {"digest": source.digest, "name": "full.tlt", "step": "prune"}
    assert metadata["lineage"] == [*source.metadata["lineage"], parent]
    assert metadata["pruning"]["ratio"] == result["parameters"]["ratio"]
    assert "measured" not in metadata and "epoch" not in metadata


def test_a_pruned_file_is_pruned_again(model: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.tlt", tmp_path / "second.tlt"
    once = run("-m", model, "-o", first, "--target-params", "0.6")
    again = run("-m", first, "-o", second, "--target-params", "0.5")
    assert again["parameters"]["before"] == once["parameters"]["after"]
    assert again["parameters"]["after"] <= 0.5 * once["parameters"]["after"]
    assert len(artifact.load_model(second, "secret").metadata["lineage"]) == 3


@pytest.mark.parametrize(("flag", "name"), [("--target-params", "parameters"), ("--target-flops", "flops")])
def test_targets_are_reached_but_not_by_much(model: Path, flag: str, name: str) -> None:
    result = run("-pm", model, "--dry-run", flag, "0.5")
    assert 0.45 < result[name]["ratio"] <= 0.5
    assert result["output"] is None


def test_a_dry_run_writes_nothing(model: Path, tmp_path: Path) -> None:
    run("-m", model, "--dry-run", "-o", tmp_path / "out.tlt", "-pth", "0.5")
    assert not list(tmp_path.iterdir())


def test_output_layers_and_excluded_layers_keep_their_filters(model: Path) -> None:
    common = ("-m", model, "--dry-run", "-pth", "9", "-nf", "8")
    for names in (["-el", "yolo_conv2", "block_2"], ["-el", "yolo_conv2", "-el", "block_2"]):
        rows = {row["layer"]: row for row in run(*common, *names)["layers"]}
        kept = {layer for layer, row in rows.items() if row["before"] == row["after"]}
        assert kept - OUTPUTS == {layer for layer in rows if "block_2" in layer or layer.startswith("yolo_conv2.")}
        assert kept > OUTPUTS and all(rows[layer]["note"].startswith("kept: ") for layer in kept)
        assert all(row["after"] == 8 for layer, row in rows.items() if layer not in kept)


def test_names_behind_el_end_at_the_next_flag(model: Path) -> None:
    rows = run("-el", "conv1", "yolo_conv4", "-pth", "9", "-m", model, "-nf", "8", "--dry-run")["layers"]
    assert {row["layer"] for row in rows if row["after"] > 8} == {
        "conv_big_object", "conv_sm_object", "taps.backbone.conv1.conv", "yolo_conv4.conv"
    }


def test_requests_that_make_no_sense(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.tlt"
    out.write_bytes(b"x")
    with pytest.raises(UsageError, match='no layer "yolo_cnv4" to exclude') as caught:
        run("-m", model, "--dry-run", "-el", "conv1", "yolo_cnv4")
    assert "yolo_conv4" in caught.value.hints[0]
    with pytest.raises(UsageError, match="the file exists"):
        run("-m", model, "-o", out)
    with pytest.raises(UsageError, match="no output"):
        run("-m", model)
    with pytest.raises(UsageError, match="exclude each other"):
        run("-m", model, "-o", out, "--target-params", "0.5", "--target-flops", "0.5")
    with pytest.raises(UsageError, match="exclude each other"):
        run("-m", model, "-o", out, "--target-params", "0.5", "-pth", "0.5")
    with pytest.raises(UsageError, match="no threshold leaves 0.001 or less of the FLOPs"):
        run("-m", model, "-o", out, "--target-flops", "0.001", "--overwrite")
    assert out.read_bytes() == b"x"


def test_other_stages_wait_and_other_files_are_refused(model: Path, tmp_path: Path) -> None:
    source = artifact.load_model(model, "secret")
    path = tmp_path / "other.tlt"
    saved = {"key": "secret", "task": "yolo", "tensors": source.tensors, "metadata": source.metadata}
    artifact.save_model(path, stage="qat", **saved)
    with pytest.raises(UsageError, match="of the stage qat cannot be pruned"):
        run("-m", path, "--dry-run")
    artifact.save_model(path, kind="checkpoint", **saved)
    with pytest.raises(ModelFileError, match="holds a checkpoint, not weights"):
        run("-m", path, "--dry-run")
    artifact.save_model(path, **{**saved, "key": "another"})
    with pytest.raises(WrongKeyError):
        run("-m", path, "--dry-run")


def test_transcript(model: Path, tmp_path: Path, cli: Any) -> None:
    out = tmp_path / "pruned.tlt"
    arguments = ("-m", model, "-o", out, "-k", "secret", "-pth", "0.5", "--gpu_index", "0")
    done = cli("tlt-prune", *arguments, "--results_dir", tmp_path / "results", check=0)
    lines = done.stderr.splitlines()
    assert "no effect" in lines[0]
    assert lines[1:3] == [
        "Exploring graph for retainable indices", "Pruning model and appending pruned nodes to new graph"
    ]
    assert lines[3].startswith("Pruning ratio (pruned model / original model): 0.")
    assert done.stdout.splitlines()[0].split() == ["layer", "before", "after"]
    assert done.stdout.splitlines()[-1].startswith("FLOPs ")
    events = [json.loads(line) for line in (tmp_path / "results/status.json").read_text().splitlines()]
    assert [event["status"] for event in events] == ["STARTED", "SUCCESS"]


def test_nothing_to_prune_is_said(model: Path) -> None:
    arguments = ["-m", str(model), "-k", "secret", "-pth", "0", "-q", "--dry-run"]
    done = CliRunner().invoke(command, arguments, standalone_mode=False, catch_exceptions=False)
    assert "warning: nothing was pruned" in done.stderr and "remaining 1.000" in done.stdout
