"""How fast an engine is: latency, frames per second, and where the time goes operator by operator."""

import json
import os
import platform
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tltpy.deploy.runtime import Runtime
from tltpy.deploy.sessions import OperatorTime

SECONDS = 2.0  # measured for each batch size, at least
RUNS = 20  # likewise
ROWS = 12  # operators shown as text; the files hold all
BUSY = 0.5  # of the processors at work for others


@dataclass(frozen=True)
class Latency:
    """Of one run over a batch; milliseconds."""

    batch_size: int
    runs: int
    p50_ms: float
    p95_ms: float
    frames_per_second: float  # at the median


@dataclass(frozen=True)
class Report:
    """What was measured, and on what."""

    engine: str
    backend: str
    processor: str
    instructions: str
    threads: int
    load: float | None  # system_load() before the measurement
    latencies: tuple[Latency, ...]
    operators: tuple[OperatorTime, ...]  # one batch of the first size, the slowest first

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"


def measure(
    runtime: Runtime,
    inputs: dict[str, Tensor],
    *,
    engine: str,
    threads: int,
    batch_sizes: Sequence[int],
    load: float | None,
) -> Report:
    """Measures `runtime` on examples repeated to each batch size; an engine of a fixed size is measured at that one.

    Args:
        engine: its name in the report.
        threads: what `runtime` was opened with.
        load: system_load() before anything of ours ran.
    """
    sizes = [runtime.batch_size] if runtime.batch_size else sorted(set(batch_sizes))
    latencies = tuple(_latency(runtime, _repeat(inputs, size)) for size in sizes)
    operators = tuple(runtime.profile(_repeat(inputs, sizes[0])))
    instructions = torch.backends.cpu.get_cpu_capability()
    return Report(engine, runtime.backend, processor(), instructions, threads, load, latencies, operators)


def system_load() -> float | None:
    """Mean number of running and waiting processes of the last minute; None where the system keeps no count."""
    try:
        return os.getloadavg()[0]
    except OSError:
        return None


def is_busy(report: Report) -> bool:
    """Whether other work may have slowed the measurement down."""
    return report.load is not None and report.load > BUSY * (os.cpu_count() or 1)


def by_kind(report: Report) -> list[tuple[str, int, float, float]]:
    """(operator type, how many, milliseconds, share of the whole), the slowest first."""
    spent: dict[str, list[float]] = defaultdict(list)
    for entry in report.operators:
        spent[entry.kind].append(entry.milliseconds)
    whole = sum(map(sum, spent.values())) or 1.0
    rows = [(kind, len(times), sum(times), sum(times) / whole) for kind, times in spent.items()]
    return sorted(rows, key=lambda row: -row[2])


def text(report: Report) -> str:
    lines = [
        f"engine     {report.engine} ({report.backend})",
        f"processor  {report.processor}, {report.instructions}, {report.threads} threads",
        "",
        f"{'batch':>5} {'p50 ms':>10} {'p95 ms':>10} {'frames/s':>10}",
    ]
    lines += [
        f"{entry.batch_size:>5} {entry.p50_ms:>10.2f} {entry.p95_ms:>10.2f} {entry.frames_per_second:>10.1f}"
        for entry in report.latencies
    ]
    lines += ["", f"{'operator':<28} {'count':>6} {'ms':>10} {'share':>7}"]
    lines += [f"{kind:<28} {count:>6} {ms:>10.3f} {share:>7.1%}" for kind, count, ms, share in by_kind(report)[:ROWS]]
    return "\n".join(lines) + "\n"


def html(report: Report) -> str:
    """One page that needs nothing else."""
    rows = "".join(
        f"<tr><td>{e.batch_size}<td>{e.p50_ms:.2f}<td>{e.p95_ms:.2f}<td>{e.frames_per_second:.1f}<td>{e.runs}"
        for e in report.latencies
    )
    kinds = "".join(
        f"<tr><td>{escape(kind)}<td>{count}<td>{ms:.3f}<td class=b><i style='width:{share * 20:.2f}em'></i>{share:.1%}"
        for kind, count, ms, share in by_kind(report)
    )
    operators = "".join(
        f"<tr><td>{escape(e.name)}<td>{escape(e.kind)}<td>{e.milliseconds:.4f}" for e in report.operators
    )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        f"<title>{escape(report.engine)}</title><style>"
        "body{font:15px system-ui,sans-serif;margin:2em;max-width:60em}table{border-collapse:collapse;margin:1em 0}"
        "td,th{padding:.2em .8em;text-align:right;border-bottom:1px solid #ddd}td:first-child,th:first-child,.b"
        "{text-align:left}i{display:inline-block;height:.8em;background:#4477aa;margin-right:.4em}</style>"
        f"<h1>{escape(Path(report.engine).name)}</h1><p>{escape(report.backend)} on {escape(report.processor)}, "
        f"{escape(report.instructions)}, {report.threads} threads</p>"
        f"<table><tr><th>batch<th>p50 ms<th>p95 ms<th>frames/s<th>runs{rows}</table>"
        f"<h2>Operator types</h2><table><tr><th>type<th>count<th>ms<th class=b>share{kinds}</table>"
        f"<h2>Operators</h2><table><tr><th>name<th>type<th>ms{operators}</table></html>\n"
    )


def _latency(runtime: Runtime, inputs: dict[str, Tensor]) -> Latency:
    for _ in range(3):
        runtime(inputs)
    times: list[float] = []
    begin = time.perf_counter()
    while len(times) < RUNS or time.perf_counter() - begin < SECONDS:
        start = time.perf_counter()
        runtime(inputs)
        times.append((time.perf_counter() - start) * 1000)
    size = len(next(iter(inputs.values())))
    p50, p95 = (float(value) for value in np.percentile(times, [50, 95]))
    return Latency(size, len(times), p50, p95, 1000 * size / p50)


def _repeat(inputs: dict[str, Tensor], size: int) -> dict[str, Tensor]:
    return {name: value[torch.arange(size) % len(value)].contiguous() for name, value in inputs.items()}


def processor() -> str:
    """The processor's name, as Linux tells it, else its family."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
