"""evaluate: one number for a model in all its forms, and what is said of it."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pages import read_page
from shapes import FORMS, KEY, Trained

Cli = Callable[..., Any]


def measured(here: Cli, trained: Trained, *arguments: object, check: int = 0) -> dict[str, Any]:
    done = here("tlt-evaluate", "yolo", "-e", trained.spec, "-k", KEY, "-q", "--json", *arguments, check=check)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_all_forms_give_the_same_numbers(here: Cli, trained: Trained, forms: Path) -> None:
    assert trained.mAP > 0.5
    results = [measured(here, trained, "-m", forms / name) for name in FORMS]
    assert [result["kind"] for result in results] == ["float model", *["onnxruntime engine"] * 3]
    for result in results:
        assert result["examples"] == 10 and result["metric"]["truths"] == {"bar": 10, "disc": 10}
        assert result["metric"]["mAP"] == pytest.approx(trained.mAP, abs=0.002)
        assert (result["params"], result["flops"]) == (results[0]["params"], results[0]["flops"])
    assert results[0]["params"] > 1e6 and results[0]["bytes"] == (forms / "yolo.tlt").stat().st_size


@pytest.mark.parametrize("name", ["yolo.tlt", "yolo.engine"])
def test_the_batch_size_does_not_change_the_metric(here: Cli, trained: Trained, forms: Path, name: str) -> None:
    values = [measured(here, trained, "-m", forms / name, "-b", size)["metric"]["mAP"] for size in (3, 10)]
    assert values == pytest.approx([trained.mAP] * 2, abs=0.002)


def test_coco_adds_numbers(here: Cli, trained: Trained) -> None:
    plain, coco = (measured(here, trained, "-m", trained.model, *flags) for flags in ([], ["--coco"]))
    assert coco["metric"].pop("coco")["AP50"] > 0.4 and "coco" in coco["table"] and "coco" not in plain["table"]
    assert coco["metric"] == plain["metric"]


def test_without_a_model_the_untrained_network_is_measured(here: Cli, trained: Trained) -> None:
    first, second = (measured(here, trained) for _ in range(2))
    assert first == second and first["kind"] == "untrained" and first["model"] is None
    assert first["metric"]["mAP"] < 0.1 and first["params"] > 1e6


def test_the_table_and_the_curves(here: Cli, trained: Trained, tmp_path: Path) -> None:
    spec = tmp_path / "spec.txt"
    spec.write_text(trained.spec.read_text().replace("eval_config {", "eval_config { visualize_pr_curve: true"))
    out = tmp_path / "out"
    done = here("tlt-evaluate", "yolo", "-e", spec, "-m", trained.model, "-k", KEY, "-r", out, check=0)
    rule, bar, disc, _, total = done.stdout.splitlines()
    assert rule == 31 * "*" and bar.split()[:2] == ["bar", "AP"] and disc.split()[:2] == ["disc", "AP"]
    assert float(total.split()[1]) == pytest.approx(trained.mAP, abs=1e-4)
    assert (out / "precision_recall.png").read_bytes() == (out / "plots/precision_recall.png").read_bytes()
    page = read_page((out / "report.html").read_text())
    assert page.outside == [] and "Confusion matrix" in page.text and f"{trained.mAP:.4f}" in page.text
    assert json.loads((out / "evaluation.json").read_text())["metric"]["mAP"] == pytest.approx(trained.mAP, abs=1e-6)
    here("tlt-evaluate", "yolo", "-e", spec, "-m", trained.model, "-k", KEY, "-r", out, check=2)


def test_align_reports_how_near_two_files_are(here: Cli, trained: Trained, forms: Path) -> None:
    align = measured(here, trained, "-m", trained.model, "--align", forms / "yolo.engine")["align"]
    assert align["metric_difference"] <= 0.002 and set(align["outputs"]) == {
        "BatchedNMS", "BatchedNMS_1", "BatchedNMS_2", "BatchedNMS_3"
    }
    assert align["outputs"]["BatchedNMS"]["bit_equal"] > 0.5 and 0 < align["bit_equal"] <= 1


def test_align_beyond_the_tolerance_is_exit_7(here: Cli, trained: Trained, forms: Path, tmp_path: Path) -> None:
    pruned = tmp_path / "pruned.tlt"
    here("tlt-prune", "-m", trained.model, "-k", KEY, "-o", pruned, "--target-params", 0.3, "-q", check=0)
    flags = ["-e", trained.spec, "-m", forms / "yolo.engine", "-k", KEY, "--align", pruned, "-q"]
    record = tmp_path / "results.json"
    done = here("tlt-evaluate", "yolo", *flags, "--record", record, "--as", "engine_fp32", check=7)
    assert done.stderr.splitlines()[-2].startswith(f"tlt-evaluate: error: {pruned}: mAP differs by 0.")
    # what was measured is on record all the same
    assert json.loads(record.read_text())["align"]["metric_difference"] > 0.002
    assert here("tlt-evaluate", "yolo", *flags, "--tolerance", 1, check=0).stdout.splitlines()[-1].startswith("metric")


def test_rows_and_table(here: Cli, trained: Trained, tmp_path: Path) -> None:
    record = tmp_path / "results.json"
    for name in ("baseline", "float", "float"):
        model = [] if name == "baseline" else ["-m", trained.model]
        measured(here, trained, *model, "--record", record, "--as", name)
    written = json.loads(record.read_text())
    assert written["task"] == "yolo" and [row["name"] for row in written["rows"]] == ["float"]
    row = written["rows"][0]
    known = {"name", "file", "metric", "params", "flops", "bytes", "latency_ms"}
    assert set(row) == known | {"higher_is_better", "digest", "lineage"}
    assert row["metric"]["mAP"] > written["baseline"]["metric"]["mAP"] and 0 < row["latency_ms"] < math.inf
    lines = here("tlt-evaluate", "yolo", "--table", record, check=0).stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["model", "baseline", "float"]
    assert len({len(line) for line in lines}) == 1
