"""float -> calibration -> qat -> int_infer: what each starts from, leaves behind and refuses."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from shapes import KEY, Trained

from tltpy import artifact, tasks
from tltpy.errors import DataError, Interrupted, ModelFileError, UsageError
from tltpy.log import Log
from tltpy.spec.load import load, parse_text
from tltpy.steps import models, train

Cli = Callable[..., Any]
SECTIONS = """
calibration_config { steps: 2 batch_size: 4 }
qat_config { num_epochs: 2 learning_rate { soft_start_annealing_schedule {
  min_learning_rate: 1e-6 max_learning_rate: 2e-5 soft_start: 0.1 annealing: 0.6 } } }
"""


def cfg_of(trained: Trained, sections: str = SECTIONS) -> Any:
    text = trained.spec.read_text() + sections
    return tasks.canonical("yolo", parse_text(text, tasks.message("yolo")).message)


def run(trained: Trained, results: Path, stage: str, sections: str = SECTIONS, **more: Any) -> dict[str, Any]:
    torch.set_num_threads(1)
    request = train.TrainRequest(
        task="yolo", cfg=cfg_of(trained, sections), results_dir=results, key=KEY, stage=stage, **more
    )
    return train.run(request, Log("tlt-train", quiet=True))


@pytest.fixture(scope="module")
def life(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder in which all stages ran, one after the other, each from what the one before left."""
    results = tmp_path_factory.mktemp("life")
    (results / "weights").mkdir()
    (results / "weights/yolo_resnet10_best.tlt").write_bytes(trained.model.read_bytes())
    for stage in ("calibration", "qat", "int_infer"):
        run(trained, results, stage)
    return results


def mAP(path: Path) -> float:
    return float(artifact.load_model(path, KEY).metadata["measured"]["mAP"])


def test_every_stage_leaves_its_file(life: Path, trained: Trained) -> None:
    weights = life / "weights"
    names = {path.name.removeprefix("yolo_resnet10_") for path in weights.iterdir()}
    assert names >= {"calibration.tlt", "qat_best.tlt", "qat_last.tlt", "int_infer.tlt"}
    stages = {name: artifact.load_model(weights / f"yolo_resnet10_{name}.tlt", KEY) for name in
              ("calibration", "qat_best", "int_infer")}  # fmt: skip
    assert [file.header.stage for file in stages.values()] == ["calibration", "qat", "int_infer"]
    assert [entry["step"] for entry in stages["int_infer"].metadata["lineage"]] == ["calibration", "qat", "int_infer"]
    kinds = {tensor.dtype for name, tensor in stages["int_infer"].tensors.items() if name.endswith("weight")}
    assert kinds == {torch.int8}
    assert (life / "qat/training_log.csv").exists() and not (life / "training_log.csv").exists()
    for name, file in stages.items():
        assert file.metadata["measured"]["mAP"] > trained.mAP - 0.15, name


def test_a_stage_is_found_again_in_its_file(life: Path, trained: Trained, here: Cli) -> None:
    for name in ("calibration", "qat_best", "int_infer"):
        path = life / f"weights/yolo_resnet10_{name}.tlt"
        done = here("tlt-evaluate", "yolo", "-e", trained.spec, "-m", path, "-k", KEY, "--json", check=0)
        result = json.loads(done.stdout)
        assert result["metric"]["mAP"] == pytest.approx(mAP(path), abs=1e-6)
        assert result["params"] > 1e6  # those of the float network


def test_int_infer_computes_on_the_grid_of_its_scales(life: Path) -> None:
    opened = models.open_network(life / "weights/yolo_resnet10_int_infer.tlt", KEY, "yolo")
    inputs = {"Input": torch.randn(3, 3, 64, 96) * 50}
    with torch.inference_mode():
        for value in opened.network(inputs).values():
            step = value.abs()[value != 0].min()
            codes = value / step
            assert (codes - codes.round()).abs().max() < 1e-3 and codes.abs().max() <= 256


def test_a_resumed_qat_gives_the_same_bits(life: Path, trained: Trained, tmp_path: Path,
                                           monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    calibrated = life / "weights/yolo_resnet10_calibration.tlt"
    run(trained, tmp_path / "whole", "qat", model=calibrated)
    step, done = train.Training._step, 0

    def counted(self: train.Training, *args: Any) -> Any:
        nonlocal done
        done += 1
        if done == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(train.Training, "_step", counted)
        with pytest.raises(Interrupted):
            run(trained, tmp_path / "parts", "qat", model=calibrated)
    run(trained, tmp_path / "parts", "qat", resume=True)
    whole, parts = (
        artifact.load_model(tmp_path / name / "weights/yolo_resnet10_qat_last.tlt", KEY) for name in ("whole", "parts")
    )
    assert whole.tensors.keys() == parts.tensors.keys()
    assert [name for name, value in whole.tensors.items() if not torch.equal(value, parts.tensors[name])] == []


def test_frozen_scales_stay_and_weights_move(life: Path) -> None:
    before, after = (
        artifact.load_model(life / f"weights/yolo_resnet10_{name}.tlt", KEY).tensors for name in
        ("calibration", "qat_best")
    )  # fmt: skip
    scales = [name for name in before if name.endswith("scale") and "quantizers" in name]
    assert len(scales) > 20
    assert all(torch.equal(before[name], after[name]) for name in scales)
    weights = [name for name in before if name.endswith(".weight") and before[name].ndim == 4]
    assert sum(not torch.equal(before[name], after[name]) for name in weights) > len(weights) / 2


@pytest.mark.parametrize(
    ("stage", "model", "says"),
    [
        ("calibration", "calibration", "calibrated already"),
        ("calibration", "int_infer", "it holds integers"),
        ("qat", "best", "run --stage calibration first"),
        ("qat", "int_infer", "cannot be trained"),
        ("int_infer", "best", "run --stage calibration first"),
        ("int_infer", "int_infer", "converted already"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused(
    life: Path, trained: Trained, tmp_path: Path, stage: str, model: str, says: str
) -> None:
    with pytest.raises(UsageError) as caught:
        run(trained, tmp_path / "out", stage, model=life / f"weights/yolo_resnet10_{model}.tlt")
    assert says in " ".join((caught.value.message, *caught.value.hints))
    assert not list(tmp_path.glob("out/weights/*"))


@pytest.mark.parametrize("model", ["calibration", "int_infer"])
def test_the_float_training_starts_from_no_later_stage(
    life: Path, trained: Trained, tmp_path: Path, model: str
) -> None:
    with pytest.raises(UsageError, match="cannot start the float training"):
        run(trained, tmp_path / "out", "float", model=life / f"weights/yolo_resnet10_{model}.tlt")


@pytest.mark.parametrize(("stage", "before"), [("calibration", "best"), ("qat", "calibration"), ("int_infer", "qat")])
def test_a_missing_predecessor_is_named(trained: Trained, tmp_path: Path, stage: str, before: str) -> None:
    with pytest.raises(UsageError, match=f"yolo_resnet10_{before}"):
        run(trained, tmp_path / "out", stage)


def test_results_are_not_replaced_by_accident(life: Path, trained: Trained) -> None:
    for stage in ("calibration", "qat", "int_infer"):
        with pytest.raises(UsageError, match="exists"):
            run(trained, life, stage)


def test_a_pruned_model_goes_through_all_stages(trained: Trained, here: Cli, tmp_path: Path) -> None:
    pruned = tmp_path / "pruned.tlt"
    here("tlt-prune", "-m", trained.model, "-o", pruned, "-k", KEY, "--target-params", "0.5", check=0)
    results = tmp_path / "out"
    run(trained, results, "calibration", model=pruned)
    run(trained, results, "int_infer")
    path = results / "weights/yolo_resnet10_int_infer.tlt"
    opened, whole = (models.open_network(file, KEY, "yolo") for file in (path, trained.model))
    assert opened.params < 0.55 * whole.params
    assert path.stat().st_size < 0.3 * pruned.stat().st_size
    assert "pruning" in opened.file.metadata


def test_learned_scales_and_living_batch_normalization(trained: Trained, tmp_path: Path) -> None:
    sections = SECTIONS.replace("qat_config {", "qat_config { qat_mode: WITH_BN learned_scales: true")
    for stage in ("calibration", "qat", "int_infer"):
        run(trained, tmp_path, stage, sections, model=trained.model if stage == "calibration" else None)
    before, after, last = (
        artifact.load_model(tmp_path / f"weights/yolo_resnet10_{name}.tlt", KEY) for name in
        ("calibration", "qat_best", "int_infer")
    )  # fmt: skip
    moved = [name for name, value in before.tensors.items()
             if "running_mean" in name and not torch.equal(value, after.tensors[name])]  # fmt: skip
    assert moved  # it went on adapting
    scales = [name for name in before.tensors if name.endswith("scale") and "quantizers" in name]
    assert any(not torch.equal(before.tensors[name], after.tensors[name]) for name in scales)
    assert not [name for name in last.tensors if "running_mean" in name]


@pytest.mark.parametrize("text", ["no json", '{"rows": [{"name": 1}]}'])
def test_a_file_that_is_no_sensitivity_table(trained: Trained, tmp_path: Path, text: str) -> None:
    table = tmp_path / "table.json"
    table.write_text(text)
    sections = f'{SECTIONS} quant_config {{ sensitive_ops {{ table: "{table}" topk: 2 }} }}'
    with pytest.raises(DataError, match=r"table\.json: this is no sensitivity table"):
        run(trained, tmp_path / "out", "calibration", sections, model=trained.model)


def test_the_worst_ops_of_a_table_have_16_bits(trained: Trained, life: Path, tmp_path: Path) -> None:
    opened = models.open_network(life / "weights/yolo_resnet10_calibration.tlt", KEY, "yolo")
    names = [op.name for op in opened.network.ops if op.quantizers and op.kind == "conv2d"]  # type: ignore[union-attr]
    table = tmp_path / "table.json"
    table.write_text(json.dumps({"rows": [{"op": name} for name in names]}))
    sections = f'{SECTIONS} quant_config {{ sensitive_ops {{ table: "{table}" topk: 3 }} }}'
    run(trained, tmp_path / "out", "calibration", sections, model=trained.model)
    made = models.open_network(tmp_path / "out/weights/yolo_resnet10_calibration.tlt", KEY, "yolo").network
    wide = {name for name, part in made.activation_quantizers().items() if part.bits == 16}  # type: ignore[operator]
    wanted = {name for op in made.ops if op.name in names[:3] for name in op.quantizers}  # type: ignore[union-attr]
    assert wide and wide <= wanted


def test_a_damaged_description_is_told(life: Path, trained: Trained, tmp_path: Path) -> None:
    file = artifact.load_model(life / "weights/yolo_resnet10_calibration.tlt", KEY)
    for metadata in ({**file.metadata, "quantization": None}, {**file.metadata, "quantization": {
            **file.metadata["quantization"], "shapes": {}}}):  # fmt: skip
        path = tmp_path / "a.tlt"
        artifact.save_model(path, key=KEY, task="yolo", stage="calibration", tensors=file.tensors, metadata=metadata)
        with pytest.raises(ModelFileError, match=r"a\.tlt"):
            models.open_network(path, KEY, "yolo")


def test_the_executable(life: Path, trained: Trained, here: Cli, tmp_path: Path) -> None:
    spec = tmp_path / "spec.txt"
    spec.write_text(trained.spec.read_text() + SECTIONS)
    out = tmp_path / "out"
    done = here("tlt-train", "yolo", "-e", spec, "-r", out, "-k", KEY, "--stage", "calibration", "-m", trained.model,
                "-q", check=0)  # fmt: skip
    assert done.stdout.startswith(f"calibration  {out}/weights/yolo_resnet10_calibration.tlt\n")
    assert "mAP" in done.stdout
    here("tlt-train", "yolo", "-e", spec, "-r", out, "-k", KEY, "--stage", "int_infer", "--resume", check=2)
    here("tlt-train", "yolo", "-e", spec, "-r", out, "-k", KEY, "--stage", "calibration", "--gpus", "2", check=2)
    assert load(spec, tasks.message("yolo")).warnings == ()


def test_the_engine_computes_the_same_integers(life: Path, trained: Trained, here: Cli, tmp_path: Path) -> None:
    model = life / "weights/yolo_resnet10_int_infer.tlt"
    graph, engine, record = tmp_path / "yolo.etlt", tmp_path / "yolo.engine", tmp_path / "results.json"
    here("tlt-export", "yolo", "-m", model, "-k", KEY, "-o", graph, check=2)  # fp32 of integers
    here("tlt-export", "yolo", "-m", model, "-k", KEY, "-o", graph, "--data_type", "int8", check=0)
    refused = here("tlt-convert", "-k", KEY, "-t", "fp16", "-e", engine, graph, check=2)
    assert "-t int8" in refused.stderr and not engine.exists()
    here("tlt-convert", "-k", KEY, "-t", "int8", "-e", engine, graph, check=0)
    assert engine.stat().st_size < 0.3 * trained.model.stat().st_size
    for other in (engine, graph):
        arguments = ["-e", trained.spec, "-m", model, "-k", KEY, "--align", other, "--record", record, "--as", "x"]
        result = json.loads(here("tlt-evaluate", "yolo", *arguments, "--json", check=0).stdout)["align"]
        assert (result["bit_equal"], result["max_steps"]) == (1.0, 0)
        assert result["values"] == 10 * 7 * (6 + 2 * 24 + 96)  # pictures, values of an anchor, anchors of all cells
        assert result["metric_difference"] == 0
    assert json.loads(record.read_text())["align"]["bit_equal"] == 1.0


def test_another_network_is_found_out(life: Path, trained: Trained, here: Cli, tmp_path: Path) -> None:
    """The codes of the model after qat are not those of the calibrated one."""
    graph = tmp_path / "yolo.onnx"
    calibrated = life / "weights/yolo_resnet10_calibration.tlt"
    here("tlt-export", "yolo", "-m", calibrated, "-k", KEY, "-o", graph, "--data_type", "int8", check=0)
    model = life / "weights/yolo_resnet10_int_infer.tlt"
    done = here("tlt-evaluate", "yolo", "-e", trained.spec, "-m", model, "-k", KEY, "--align", graph, "--json",
                "--tolerance", "1", check=0)  # fmt: skip
    result = json.loads(done.stdout)["align"]
    assert result["bit_equal"] < 1.0 and result["max_steps"] >= 1


def test_integers_need_a_quantized_model(trained: Trained, here: Cli, tmp_path: Path) -> None:
    done = here("tlt-export", "yolo", "-m", trained.model, "-k", KEY, "-o", tmp_path / "a.etlt", "--data_type", "int8",
                check=2)  # fmt: skip
    assert "--stage calibration" in done.stderr and not list(tmp_path.iterdir())
