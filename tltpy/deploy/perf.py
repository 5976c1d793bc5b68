"""How fast an engine is: latency, frames per second, and where the time goes operator by operator.

Two engines are measured in turns, run by run, the first one first and last alternately, so that whatever slows the
machine down slows both down; what is told of them is the ratio of neighbouring runs.
"""

import json
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import ceil, floor, sqrt

import numpy as np
import torch
from torch import Tensor

from tltpy.deploy import processor
from tltpy.deploy.processor import Disturbance
from tltpy.deploy.runtime import Runtime
from tltpy.deploy.sessions import OperatorTime
from tltpy.errors import UsageError

SECONDS = 2.0  # measured for each engine and batch size, at least
RUNS = 20  # likewise
WARM_UP_RUNS, WARM_UP_S = 3, 0.5  # both, before anything counts
PAUSE_S = 0.003  # between the runs of two engines: the threads of one still spin for a moment, in the other's way
ROWS = 12  # operators shown as text; the files hold all


@dataclass(frozen=True)
class Engine:
    """One to be measured, ready to run, and one example of its inputs, or more."""

    name: str
    runtime: Runtime
    inputs: dict[str, Tensor]


@dataclass(frozen=True)
class Latency:
    """Of one run over a batch; milliseconds."""

    batch_size: int
    runs: int
    p50_ms: float
    p95_ms: float
    frames_per_second: float  # at the median
    each_ms: tuple[float, ...]  # every run, in order


@dataclass(frozen=True)
class Comparison:
    """How many times as fast the engine is as the other: the median over neighbouring runs, and between which values it
    lies with 95 % certainty (order statistics)."""

    batch_size: int
    ratio: float
    low: float
    high: float


@dataclass(frozen=True)
class Measured:
    """One engine. `operators` of one batch of the first size, the slowest first."""

    engine: str
    backend: str
    precision: str  # of the engine, as its metadata have it
    latencies: tuple[Latency, ...]
    operators: tuple[OperatorTime, ...]


@dataclass(frozen=True)
class Report:
    """What was measured, and on what. The ratios are those of `measured[0]` to `measured[1]`."""

    measured: tuple[Measured, ...]
    comparisons: tuple[Comparison, ...]
    processor: str
    instructions: tuple[str, ...]
    threads: int
    disturbance: Disturbance
    warnings: tuple[str, ...]  # why these numbers are worse than they need be

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1) + "\n"


def measure(engines: Sequence[Engine], *, threads: int, batch_sizes: Sequence[int], load: float | None) -> Report:
    """Measures engines in turns on their examples, repeated to each batch size.

    An engine of a fixed size is measured at that one alone; UsageError where the other one has another.

    Args:
        threads: what the engines were opened with.
        load: processor.load() before anything of ours ran.
    """
    fixed = {engine.runtime.batch_size for engine in engines} - {None}
    if len(fixed) > 1:
        sizes = " and ".join(map(str, sorted(size for size in fixed if size)))
        raise UsageError(f"the engines are made for batches of {sizes}: they cannot be compared")
    chosen = [size for size in fixed if size] or sorted(set(batch_sizes))
    watch = processor.Watch(load)
    times = [_turns([(e.runtime, _repeat(e.inputs, size)) for e in engines], size) for size in chosen]
    disturbance = watch.stop()
    measured = tuple(
        Measured(
            engine.name,
            engine.runtime.backend,
            str(engine.runtime.metadata.get("engine", {}).get("precision", "fp32")),
            tuple(_latency(size, each[:, place]) for size, each in zip(chosen, times, strict=True)),
            tuple(engine.runtime.profile(_repeat(engine.inputs, chosen[0]))),
        )
        for place, engine in enumerate(engines)
    )
    compared = tuple(_compare(size, each) for size, each in zip(chosen, times, strict=True) if len(engines) > 1)
    found = processor.instructions() or (torch.backends.cpu.get_cpu_capability(),)
    where = sorted({_device(engine.runtime) for engine in engines})
    return Report(measured, compared, ", ".join(where), found, threads, disturbance, disturbance.reasons())


def by_kind(measured: Measured) -> list[tuple[str, int, float, float]]:
    """(operator type, how many, milliseconds, share of the whole), the slowest first."""
    spent: dict[str, list[float]] = defaultdict(list)
    for entry in measured.operators:
        spent[entry.kind].append(entry.milliseconds)
    whole = sum(map(sum, spent.values())) or 1.0
    rows = [(kind, len(times), sum(times), sum(times) / whole) for kind, times in spent.items()]
    return sorted(rows, key=lambda row: -row[2])


def text(report: Report) -> str:
    lines = [
        f"processor  {report.processor}, {report.threads} {'thread' if report.threads == 1 else 'threads'}",
        f"           {' '.join(report.instructions)}",
    ]
    for measured in report.measured:
        lines += ["", f"{measured.engine} ({measured.backend} {measured.precision})", ""]
        lines.append(f"{'batch':>5} {'runs':>6} {'p50 ms':>10} {'p95 ms':>10} {'frames/s':>10}")
        lines += [
            f"{e.batch_size:>5} {e.runs:>6} {e.p50_ms:>10.2f} {e.p95_ms:>10.2f} {e.frames_per_second:>10.1f}"
            for e in measured.latencies
        ]
        kinds = by_kind(measured)[:ROWS]
        lines += ["", f"{'operator':<28} {'count':>6} {'ms':>10} {'share':>7}"]
        lines += [f"{kind:<28} {count:>6} {ms:>10.3f} {share:>7.1%}" for kind, count, ms, share in kinds]
    if report.comparisons:
        lines += ["", f"{report.measured[0].engine} against {report.measured[1].engine}, run by run:"]
        lines += [f"  batch {one.batch_size}: {faster(one)}" for one in report.comparisons]
    return "\n".join(lines) + "\n"


def faster(one: Comparison) -> str:
    """2.71 times as fast (2.66 to 2.74)."""
    return f"{one.ratio:.2f} times as fast ({one.low:.2f} to {one.high:.2f})"


def _turns(engines: list[tuple[Runtime, dict[str, Tensor]]], size: int) -> np.ndarray:
    """Milliseconds [rounds, engines]."""
    for runtime, inputs in engines:
        begin, runs = time.perf_counter(), 0
        while runs < WARM_UP_RUNS or time.perf_counter() - begin < min(WARM_UP_S, SECONDS):
            runtime(inputs)
            runs += 1
    rows: list[list[float]] = []
    begin = time.perf_counter()
    while len(rows) < RUNS or time.perf_counter() - begin < SECONDS * len(engines):
        row = [0.0] * len(engines)
        order = range(len(engines))
        for place in order if len(rows) % 2 == 0 else reversed(order):
            if len(engines) > 1:
                time.sleep(PAUSE_S)
            runtime, inputs = engines[place]
            start = time.perf_counter()
            runtime(inputs)
            row[place] = (time.perf_counter() - start) * 1000
        rows.append(row)
    return np.array(rows)


def _latency(size: int, times: np.ndarray) -> Latency:
    p50, p95 = (float(value) for value in np.percentile(times, [50, 95]))
    return Latency(size, len(times), p50, p95, 1000 * size / p50, tuple(np.round(times, 4).tolist()))


def _compare(size: int, times: np.ndarray) -> Comparison:
    """The ratios [rounds] of neighbouring runs; the interval of their median by the binomial distribution."""
    ratios = np.sort(times[:, 1] / times[:, 0])
    count = len(ratios)
    reach = 1.96 * sqrt(count) / 2
    low, high = max(floor(count / 2 - reach), 0), min(ceil(count / 2 + reach), count - 1)
    return Comparison(size, float(np.median(ratios)), float(ratios[low]), float(ratios[high]))


def _device(runtime: Runtime) -> str:
    return torch.cuda.get_device_name() if runtime.backend == "tensorrt" else processor.name()


def _repeat(inputs: dict[str, Tensor], size: int) -> dict[str, Tensor]:
    return {name: value[torch.arange(size) % len(value)].contiguous() for name, value in inputs.items()}
