"""Measuring: in turns, on the clock, with what else went on; what is told of it as text, JSON and a page."""

import importlib.util
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pages import read_page
from small_detector import pictures

from tltpy.deploy import engine, onnx, perf, processor
from tltpy.deploy.perf import Engine
from tltpy.deploy.processor import Disturbance
from tltpy.deploy.runtime import open_runtime
from tltpy.deploy.sessions import OperatorTime
from tltpy.errors import UsageError
from tltpy.steps import perf_page

WITHOUT_OPENVINO = pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="openvino is not installed")
BACKENDS = ["onnxruntime", pytest.param("openvino", marks=WITHOUT_OPENVINO)]
QUIET = Disturbance(seconds=2.0, load=0.1, others=0.01, stolen=0.0, switches=20)


class Sleeper:
    """A runtime that takes some milliseconds, and notes that it was called."""

    backend = "sleep"
    batch_size: int | None = None

    def __init__(self, name: str, milliseconds: float, calls: list[str]) -> None:
        self.name, self.milliseconds, self.calls = name, milliseconds, calls
        self.metadata: dict[str, Any] = {}

    def __call__(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        self.calls.append(self.name)
        time.sleep(self.milliseconds / 1000)
        return inputs

    def profile(self, inputs: dict[str, torch.Tensor], runs: int = 10) -> list[OperatorTime]:
        return [OperatorTime("one", "Sleep", self.milliseconds)]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perf, "SECONDS", 0.01)


def measured(detector_onnx: bytes, folder: Path, backend: str) -> tuple[Engine, perf.Report]:
    for suffix, part in engine.build(detector_onnx, backend=backend, precision="fp32").items():
        (folder / f"a<b{suffix}").write_bytes(part)
    path = folder / f"a<b{engine.SUFFIXES[backend][0]}"
    runtime = open_runtime(path, threads=1)
    one = Engine(str(path), runtime, engine.made_up(runtime.inputs, runtime.metadata, 1))
    return one, perf.measure([one], threads=1, batch_sizes=[4, 1], load=0.0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_measures_an_engine(detector_onnx: bytes, tmp_path: Path, backend: str) -> None:
    one, report = measured(detector_onnx, tmp_path, backend)
    assert one.inputs["Input"].shape == (1, 3, 48, 80)
    assert -100 <= float(one.inputs["Input"].min()) < float(one.inputs["Input"].max()) <= 150
    (found,) = report.measured
    assert (found.backend, found.precision, report.threads, report.comparisons) == (backend, "fp32", 1, ())
    assert [entry.batch_size for entry in found.latencies] == [1, 4]
    for entry in found.latencies:
        assert 0 < entry.p50_ms <= entry.p95_ms and entry.runs == len(entry.each_ms) >= perf.RUNS
        assert entry.frames_per_second == pytest.approx(1000 * entry.batch_size / entry.p50_ms)
    kinds = perf.by_kind(found)
    assert any("conv" in kind.lower() for kind, *_ in kinds)
    assert sum(share for *_, share in kinds) == pytest.approx(1)
    assert json.loads(report.to_json())["threads"] == 1
    assert "frames/s" in perf.text(report) and "conv" in perf.text(report).lower()
    page = read_page(perf_page.render_page(report))
    assert "a<b" in page.text and len(page.pictures) == 2 and "b" not in page.tags


def test_two_engines_take_turns_and_are_compared_run_by_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perf, "PAUSE_S", 0.0)
    calls: list[str] = []
    inputs = {"x": torch.zeros(1, 2)}
    pair = [Engine(name, Sleeper(name, ms, calls), inputs) for name, ms in (("a", 2.0), ("b", 5.0))]
    report = perf.measure(pair, threads=1, batch_sizes=[1], load=0.0)
    turns = "".join(calls).lstrip("a").lstrip("b")
    assert len(turns) >= 2 * perf.RUNS - 4 and "aaa" not in turns and "bbb" not in turns
    assert turns.count("aa") > 5 and turns.count("bb") > 5  # either of them comes first as often
    (one,) = report.comparisons
    assert 1.5 < one.low <= one.ratio <= one.high < 2.6
    assert "a against b, run by run" in perf.text(report) and "times as fast" in perf.text(report)
    assert "against b" in read_page(perf_page.render_page(report)).text


def test_the_ratio_of_neighbouring_runs_does_not_see_what_slows_both() -> None:
    """A machine that becomes ten times slower half way: the medians jump, the ratio stays."""
    rng = np.random.default_rng(0)
    slow = np.where(np.arange(100) < 50, 1.0, 10.0)
    times = np.stack([slow, 3.0 * slow], axis=1) * rng.uniform(0.98, 1.02, (100, 2))
    one = perf._compare(1, times)
    assert one.low < one.ratio < one.high and one.ratio == pytest.approx(3.0, rel=0.01)
    assert one.high - one.low < 0.05


def test_the_interval_of_the_ratio_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(400):
        times = np.stack([np.ones(41), rng.lognormal(0.0, 0.3, 41)], axis=1)  # the median of the ratio is 1
        one = perf._compare(1, times)
        inside += one.low <= 1.0 <= one.high
    assert 0.93 <= inside / 400 <= 0.99


def test_an_engine_of_a_fixed_batch_is_measured_at_it(detector_onnx: bytes) -> None:
    two, three = (
        Engine("e", open_runtime(onnx.fix_batch(detector_onnx, size)), {"Input": pictures(1, 0)}) for size in (2, 3)
    )
    report = perf.measure([two], threads=1, batch_sizes=[1, 16], load=1000.0)
    assert [entry.batch_size for entry in report.measured[0].latencies] == [2]
    assert any("the load was 1000.0" in reason for reason in report.warnings)
    with pytest.raises(UsageError, match="made for batches of 2 and 3"):
        perf.measure([two, three], threads=1, batch_sizes=[1], load=0.0)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"load": 500.0}, "the load was 500.0"),
        ({"others": 0.4}, "other processes took 40% of the processors"),
        ({"stolen": 0.03}, "the host of this virtual machine took 3%"),
        ({"switches": 900}, "give way 450 times a second"),
    ],
)
def test_a_busy_machine_is_told_with_the_reason(change: dict[str, Any], says: str) -> None:
    nothing = dict.fromkeys(("load", "others", "stolen", "switches"))
    assert QUIET.reasons() == () and Disturbance(**{"seconds": 1.0, **nothing}).reasons() == ()
    (reason,) = Disturbance(**{**vars(QUIET), **change}).reasons()
    assert says in reason


def test_what_others_take_is_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stat = tmp_path / "stat"
    monkeypatch.setattr(processor, "STAT", stat)
    stat.write_text("cpu  1000 0 100 5000 50 0 10 20 0 0\ncpu0 1 2 3\n")
    watch = processor.Watch(None)
    stat.write_text("cpu  1150 0 100 5040 50 0 10 30 0 0\ncpu0 1 2 3\n")
    found = watch.stop()
    assert found.stolen == pytest.approx(0.05) and found.others == pytest.approx(0.75, abs=0.1)
    stat.unlink()
    assert processor.Watch(0.5).stop().others is None


@pytest.mark.parametrize(
    ("text", "name", "flags"),
    [
        ("processor\t: 0\nmodel name\t: Fast 9000\nflags\t\t: fpu sse4_2 avx2 avx512_vnni amx_int8 avx512f\n",
         "Fast 9000", ("sse4_2", "avx2", "avx512f", "avx512_vnni", "amx_int8")),
        ("processor : 0\nFeatures : fp asimd asimddp i8mm\n", None, ("asimd", "asimddp", "i8mm")),
        ("", None, ()),
    ],
)  # fmt: skip
def test_processors(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, name: str | None, flags: tuple[str, ...]
) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(processor, "CPU_INFO", tmp_path / "cpuinfo")
    assert processor.instructions() == flags
    assert processor.name() == name if name else processor.name()
