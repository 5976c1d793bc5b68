"""plots/ and report.html: what a run leaves to look at, and that it never stands in the way of the run."""

import json
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pages import read_page
from shapes import KEY, Trained

from tltpy import tasks
from tltpy.log import Log
from tltpy.spec.load import load
from tltpy.steps import album, chronicle, curves, reporting, story, train
from tltpy.tasks.yolo.metric import DetectionMetric

LIMIT = 2_000_000  # bytes of a report
CHARTS = {"loss", "validation", "learning_rate", "precision_recall", "confusion_matrix", "label_histogram", "box_sizes"}


def run(spec: Path, results: Path, log: Log | None = None, **more: Any) -> dict[str, Any]:
    cfg = tasks.canonical("yolo", load(spec, tasks.message("yolo")).message)
    request = train.TrainRequest(task="yolo", cfg=cfg, results_dir=results, key=KEY, **more)
    return train.run(request, log or Log("tlt-train", quiet=True))


def test_a_training_leaves_pictures_and_a_report(trained: Trained) -> None:
    out = trained.model.parent.parent
    names = {path.name for path in (out / "plots").iterdir()}
    assert {f"{name}{suffix}" for name in CHARTS for suffix in (".png", ".svg")} <= names
    assert "training_pictures.jpg" in names and not [name for name in names if name.endswith(".part")]
    html = (out / "report.html").read_text()
    page = read_page(html)
    assert len(html) < LIMIT
    for word in (
        f"{trained.mAP:.4f}",
        "25 of 25",
        "finished",
        "PyTorch",
        "num_epochs: 25",
        "AP_disc",
        "trained from the",
    ):
        assert word in page.text, word
    assert len(page.pictures) >= len(CHARTS) + 1
    svg = (out / "plots/loss.svg").read_text()
    assert "prefers-color-scheme" in svg and svg.startswith("<svg"), "a chart that is looked at by itself"


def test_the_pictures_come_back_as_they_were_written(trained: Trained, tmp_path: Path) -> None:
    shown = album.read(trained.model.parent.parent)
    assert {one.name for one in shown} >= CHARTS
    album.write(tmp_path, shown)
    assert album.read(tmp_path) == shown
    album.write(tmp_path, shown[:1], keep=True)
    assert len(album.read(tmp_path)) == len(shown)
    album.write(tmp_path, shown[:2])
    left = {path.name for path in (tmp_path / "plots").iterdir()}
    assert left == {"pictures.json", *(f"{one.name}{suffix}" for one in shown[:2] for suffix in (".png", ".svg"))}


def test_a_resumed_run_keeps_its_history(write_spec: Callable[..., Path], tmp_path: Path) -> None:
    out, done = tmp_path / "out", 0
    spec = write_spec(epochs=3)
    step = train.Training._step

    def interrupted(self: train.Training, *args: Any) -> Any:
        nonlocal done
        done += 1
        if done == 4:
            signal.raise_signal(signal.SIGINT)
        return step(self, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train.Training, "_step", interrupted)
        with pytest.raises(train.Interrupted):
            run(spec, out)
    run(spec, out, resume=True)
    told = chronicle.read(out)
    assert [epoch.number for epoch in told.epochs] == [1, 2, 3] and told.starts == 2 and told.state == "finished"
    assert all(epoch.measured["mAP"] >= 0 and "loss" in epoch.losses for epoch in told.epochs)
    assert "mAP" not in told.epochs[0].losses and told.best is not None
    page = read_page((out / "report.html").read_text())
    assert "3 of 3" in page.text and "It was resumed once." in page.text
    before = album.read(out)
    run(spec, out, resume=True)  # nothing is left to do
    assert album.read(out) == before and "resumed 2 times" in read_page((out / "report.html").read_text()).text


def test_a_drawing_that_fails_is_a_warning(
    write_spec: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("no ink")

    monkeypatch.setattr(DetectionMetric, "pictures", broken)
    log = Log("tlt-train", quiet=True)
    spec = write_spec(epochs=1)
    result = run(spec, tmp_path / "out", log)
    assert Path(result["best"]).exists() and Path(result["last"]).exists()
    assert "some pictures were not drawn: RuntimeError: no ink" in log.warnings
    assert {"loss", "validation"} <= {one.name for one in album.read(tmp_path / "out")}, "the others are there"
    read_page((tmp_path / "out/report.html").read_text())
    monkeypatch.setattr(curves, "training_curves", broken)
    result = run(spec, tmp_path / "second", log)
    assert Path(result["best"]).exists() and "the report was not written: RuntimeError: no ink" in log.warnings


def test_looking_changes_no_number(
    write_spec: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporting, "_SHARE", 1e9)  # draws after every measurement
    monkeypatch.setattr(reporting.Reporter, "finish", lambda self: None)
    run(write_spec(), tmp_path / "seen")
    monkeypatch.setattr(reporting.Reporter, "refresh", lambda self: None)
    run(write_spec(), tmp_path / "unseen")
    logs = [(tmp_path / name / "training_log.csv").read_text() for name in ("seen", "unseen")]
    assert (
        logs[0] == logs[1] and (tmp_path / "seen/plots/loss.png").exists() and not (tmp_path / "unseen/plots").exists()
    )


def test_refreshing_takes_its_share_of_the_time_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, drawn = 0.0, 0
    monkeypatch.setattr(reporting.time, "monotonic", lambda: now)

    def draws(*_: Any) -> None:
        nonlocal now, drawn
        now, drawn = now + 3.0, drawn + 1

    monkeypatch.setattr(reporting.report, "training", draws)
    reporter = reporting.Reporter(tmp_path, None, None, Log("x", quiet=True))  # type: ignore[arg-type]
    while now < 3000:
        now += 5.0
        reporter.refresh()
    assert 0.8 * 0.02 * 3000 / 3 < drawn <= 0.02 * 3000 / 3


def event(**facts: Any) -> str:
    return json.dumps({"date": "01/02/2030", "time": "03:04:05", **facts}) + "\n"


def test_the_chronicle_of_status_json(tmp_path: Path) -> None:
    measured = {"acc": 0.5, "validation_loss": 2.0}
    lines = [
        event(status="STARTED", headline="acc", higher_is_better=True, warnings=["w"]),
        event(
            status="RUNNING", epoch=1, max_epoch=3, time_per_epoch=2.0, graphical={"loss": 4.0, "learning_rate": 0.1}
        ),
        event(status="RUNNING", epoch=2, max_epoch=3, graphical={"loss": 3.0, **measured}, kpi=measured),
        '{"status": "RUNN\n',
        event(status="STARTED", headline="acc", higher_is_better=True, warnings=["w", "v"]),
        event(status="RUNNING", epoch=2, max_epoch=3, graphical={"loss": 2.5}, kpi={"acc": 0.75}),
    ]
    (tmp_path / "status.json").write_text("".join(lines))
    told = chronicle.read(tmp_path)
    assert [(epoch.number, epoch.losses["loss"]) for epoch in told.epochs] == [(1, 4.0), (2, 2.5)]
    assert told.state == "running" and told.planned == 3 and told.warnings == ("w", "v") and told.starts == 2
    assert told.best == told.epochs[1] and told.epochs[0].rate == 0.1
    failed = event(status="FAILURE", message="the loss is not finite")
    (tmp_path / "status.json").write_text("".join([*lines, failed]))
    assert chronicle.read(tmp_path).state == "the loss is not finite"
    assert chronicle.read(tmp_path / "nowhere") == chronicle.Chronicle()
    assert [one.name for one in curves.training_curves(told)] == ["loss", "validation", "learning_rate"]
    assert curves.training_curves(chronicle.Chronicle()) == []


def results(folder: Path, trained: Trained) -> Path:
    def row(name: str, metric: float, params: int, file: object, digest: str | None, *parents: str) -> dict[str, Any]:
        lineage = [{"digest": parent, "name": "", "step": step} for parent, step in zip(parents, STEPS, strict=False)]
        return {"name": name, "file": str(file), "metric": {"mAP": metric}, "params": params, "flops": 2 * params,
                "bytes": 4 * params, "latency_ms": params / 1e8, "digest": digest, "lineage": lineage}  # fmt: skip

    rows = [
        row("float", 0.8, 900_000_000, trained.model, "aa"),
        row("<pruned> & $cut$", 0.5, 400_000_000, folder / "gone/weights/x.tlt", "bb", "aa"),
        row("engine_fp32", 0.7, 400_000_000, folder / "e.engine", None, "aa", "bb"),
    ]
    path = folder / "results.json"
    path.write_text(json.dumps({"task": "yolo", "baseline": row("baseline", 0.0, 900_000_000, "", None), "rows": rows}))
    return path


STEPS = ("prune", "export")


def test_the_story_of_a_lifecycle(here: Callable[..., Any], trained: Trained, tmp_path: Path) -> None:
    path, page_file = results(tmp_path, trained), tmp_path / "report.html"
    drawings = tmp_path / "drawings & more"
    shutil.copytree(trained.data / "images", drawings)
    arguments = ["tlt-evaluate", "yolo", "--table", path, "--report", page_file, "--drawings", drawings]
    done = here(*arguments, check=0)
    assert len(done.stdout.splitlines()) == 5
    html = page_file.read_text()
    page = read_page(html)
    assert len(html) < LIMIT
    assert "engine_fp32 comes from <pruned> & $cut$ by export" in page.text
    assert "<pruned> & $cut$ comes from float by pruning" in page.text
    assert "How float was trained" in page.text and "How engine_fp32 was trained" not in page.text
    front = [words for words in page.pictures if "Pareto" in words]
    assert len(front) == 3 and all("On the Pareto front: float, engine_fp32." in words for words in front)
    assert sum(words.startswith("Drawings") for words in page.pictures) == 10
    assert html.count('class="best"') == 1 + 4 * 2, "the best metric, and two that share each least cost"
    here(*arguments, check=2)
    here(*arguments, "--overwrite", check=0)


def test_wrong_use(here: Callable[..., Any], trained: Trained, tmp_path: Path) -> None:
    path = results(tmp_path, trained)
    here("tlt-evaluate", "yolo", "--table", path, "--drawings", tmp_path, check=2)
    here("tlt-evaluate", "yolo", "-e", trained.spec, "--report", tmp_path / "x.html", check=2)
    missing = ["--report", tmp_path / "x.html", "--drawings", tmp_path / "nothing"]
    here("tlt-evaluate", "yolo", "--table", path, *missing, check=4)
    path.write_text('{"task": "yolo", "rows": []}')
    here("tlt-evaluate", "yolo", "--table", path, "--report", tmp_path / "x.html", check=4)
    assert not (tmp_path / "x.html").exists()


def test_an_old_results_file_has_a_report_too(trained: Trained, tmp_path: Path) -> None:
    path = results(tmp_path, trained)
    found = json.loads(path.read_text())
    for row in (found["baseline"], *found["rows"]):
        for name in ("digest", "lineage"):
            del row[name]
        row["latency_ms"] = None
    path.write_text(json.dumps(found))
    story.write(path, tmp_path / "page.html")
    assert "latency" not in " ".join(read_page((tmp_path / "page.html").read_text()).pictures)


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs a browser")
@pytest.mark.parametrize(("width", "scheme"), [(1280, 1), (500, 0)])
def test_a_browser_shows_it(trained: Trained, tmp_path: Path, width: int, scheme: int) -> None:
    """In both modes, without a request and without scrolling sideways."""
    import cv2

    page = tmp_path / "report.html"
    probe = "<script>document.title=document.documentElement.scrollWidth+' '+innerWidth+' '+" + (
        "[...document.images].filter(i=>!i.naturalWidth).length</script>"
    )
    page.write_text((trained.model.parent.parent / "report.html").read_text().replace("</body>", f"{probe}</body>"))
    browser = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--window-size={width},900",
               f"--blink-settings=preferredColorScheme={scheme}", f"--user-data-dir={tmp_path}/profile"]  # fmt: skip
    shot = tmp_path / "shot.png"
    subprocess.run([*browser, f"--screenshot={shot}", page.as_uri()], check=True, capture_output=True, timeout=120)
    light = cv2.imread(str(shot)).mean()
    assert light > 200 if scheme else light < 90
    dump = [*browser, "--dump-dom", page.as_uri()]
    dom = subprocess.run(dump, check=True, capture_output=True, text=True, timeout=120).stdout
    scroll, inner, lost = dom.split("<title>")[1].split("</title>")[0].split()
    assert int(scroll) <= int(inner) and lost == "0"
