"""perf.html: the speed of an engine as a page, and that of the one it is compared with."""

from pathlib import Path

from tltpy.deploy import perf
from tltpy.deploy.perf import Measured, Report
from tltpy.report import charts, page
from tltpy.report.charts import Series
from tltpy.report.figure import render
from tltpy.report.page import Html
from tltpy.report.picture import Picture
from tltpy.steps.report import warned

MOST_KINDS = 8  # bars of a chart
MOST_OPERATORS = 300  # rows of a table


def render_page(report: Report) -> str:
    """The whole document."""
    first = report.measured[0]
    names = _names(report)
    subtitle = f"{first.backend} {first.precision}, measured by tlt-convert --perf"
    body = [
        page.tiles(_numbers(report)),
        warned([f"the machine was busy: {reason}" for reason in report.warnings]),
        page.section("How fast", _latencies(report, names), _compared(report), page.pictures([_course(report, names)])),
        page.section("Where the time goes", page.pictures(_kinds(report, names)), *_shares(report, names)),
        page.section("Operator by operator", *_operators(report, names)),
        page.section("How it was measured", page.facts(_facts(report))),
    ]
    return page.page(f"Speed of {Path(first.engine).name}", subtitle, body)


def _numbers(report: Report) -> list[tuple[str, str, str]]:
    first = report.measured[0].latencies[0]
    runs = f"of {first.runs} runs"
    found = [
        ("median", f"{first.p50_ms:.2f} ms", f"batch of {first.batch_size}"),
        ("95 of 100 runs within", f"{first.p95_ms:.2f} ms", runs),
        ("frames per second", f"{first.frames_per_second:,.1f}", "at the median"),
        ("threads", str(report.threads), report.instructions[-1]),
    ]
    if report.comparisons:
        one = report.comparisons[0]
        other = Path(report.measured[1].engine).name
        found.insert(0, (f"against {other}", f"{one.ratio:.2f} x", f"as fast, {one.low:.2f} to {one.high:.2f}"))
    return found


def _names(report: Report) -> list[str]:
    """Short names that tell the engines apart."""
    names = [Path(measured.engine).name for measured in report.measured]
    if len(set(names)) == len(names):
        return names
    return [f"{measured.backend} {measured.precision}" if len({(m.backend, m.precision) for m in report.measured}) > 1
            else measured.engine for measured in report.measured]  # fmt: skip


def _latencies(report: Report, names: list[str]) -> Html:
    rows = [
        [name, str(one.batch_size), f"{one.p50_ms:.2f}", f"{one.p95_ms:.2f}", f"{one.frames_per_second:,.1f}",
         str(one.runs)]
        for name, measured in zip(names, report.measured, strict=True) for one in measured.latencies
    ]  # fmt: skip
    head = ["engine", "batch", "p50 ms", "p95 ms", "frames per second", "runs"]
    return page.table(head, rows, "Time of one run over a batch")


def _compared(report: Report) -> Html:
    return page.join(
        page.paragraph(
            f"In batches of {one.batch_size} {Path(report.measured[0].engine).name} is {perf.faster(one)}: the median "
            "over pairs of neighbouring runs, and where it lies with 95 % certainty."
        )
        for one in report.comparisons
    )


def _course(report: Report, names: list[str]) -> Picture:
    series = [
        Series(name, list(range(1, one.runs + 1)), list(one.each_ms))
        for name, measured in zip(names, report.measured, strict=True)
        for one in measured.latencies[:1]
    ]
    top = 1.5 * max(measured.latencies[0].p95_ms for measured in report.measured)
    figure = charts.lines(series, xlabel="run", ylabel="milliseconds", ylim=(0, top))
    said = "A level line is a quiet machine; what sticks out was disturbed. The top is at 1.5 times the p95."
    alt = "; ".join(
        f"{name}: median {measured.latencies[0].p50_ms:.2f} ms"
        for name, measured in zip(names, report.measured, strict=True)
    )
    return render(figure, name="runs", title="Every run", caption=said, alt=alt)


def _kinds(report: Report, names: list[str]) -> list[Picture]:
    """A chart an engine: every library has words of its own for its operators."""
    found = []
    for number, (name, measured) in enumerate(zip(names, report.measured, strict=True), 1):
        kinds = perf.by_kind(measured)
        shown = kinds[:MOST_KINDS]
        figure = charts.bars(
            [kind for kind, *_ in shown], {"time": [1000 * ms for _, _, ms, _ in shown]}, xlabel="microseconds"
        )
        left = f" {len(kinds) - len(shown)} more kinds take less." if len(kinds) > len(shown) else ""
        said = f"The sum over all operators of a kind, in one run over the first batch size.{left}"
        alt = "; ".join(f"{kind}: {share:.0%}" for kind, _, _, share in shown[:3])
        found.append(render(figure, name=f"kinds_{number}", title=f"By kind, {name}", caption=said, alt=alt))
    return found


def _shares(report: Report, names: list[str]) -> list[Html]:
    return [
        page.table(
            ["kind", "count", "ms", "share"],
            [[kind, str(count), f"{ms:.3f}", f"{share:.1%}"] for kind, count, ms, share in perf.by_kind(measured)],
            f"Kinds of operator of {name}",
        )
        for name, measured in zip(names, report.measured, strict=True)
    ]


def _operators(report: Report, names: list[str]) -> list[Html]:
    return [_operator_table(name, measured) for name, measured in zip(names, report.measured, strict=True)]


def _operator_table(name: str, measured: Measured) -> Html:
    whole = sum(one.milliseconds for one in measured.operators) or 1.0
    rows = [
        [one.name, one.kind, f"{one.milliseconds:.4f}", f"{one.milliseconds / whole:.1%}"]
        for one in measured.operators[:MOST_OPERATORS]
    ]
    least = f"The {len(rows)} slowest" if len(measured.operators) > len(rows) else "All"
    return page.table(["operator", "kind", "ms", "share"], rows, f"{least} operators of {name}")


def _facts(report: Report) -> dict[str, str]:
    noise = report.disturbance
    turns = "in turns, run by run; the ratio is the median over neighbouring runs" if len(report.measured) > 1 else ""
    return {
        "processor": report.processor,
        "instructions": " ".join(report.instructions),
        "threads": str(report.threads),
        "warm-up": f"{perf.WARM_UP_RUNS} runs and {perf.WARM_UP_S:g} s at least, which do not count",
        "order": turns,
        "load before": "" if noise.load is None else f"{noise.load:.2f}",
        "taken by others": "" if noise.others is None else f"{noise.others:.1%} of the processors",
        "taken by the host": "" if noise.stolen is None else f"{noise.stolen:.1%} of the processors",
        "had to give way": "" if noise.switches is None else f"{noise.switches} times in {noise.seconds:.1f} s",
    }
