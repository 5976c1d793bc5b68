"""tlt-evaluate: the metric of a model or an engine; the rows of results.json."""

import json
from pathlib import Path
from typing import Any

import click

from tltpy import files, tasks
from tltpy.cli import boundary
from tltpy.cli.experiment import read_spec, task_argument
from tltpy.errors import UsageError


@click.command()
@task_argument
@click.option(
    "-e",
    "--experiment_spec_file",
    "--experiment_spec",
    "spec",
    type=click.Path(path_type=Path),
    metavar="SPEC",
    help="The experiment spec.",
)
@click.option(
    "-m",
    "--model",
    type=click.Path(path_type=Path),
    metavar="MODEL",
    help="A .tlt, .etlt, .onnx or engine; none: the untrained network.",
)
@boundary.key_option
@click.option(
    "-b",
    "--batch_size",
    type=click.IntRange(1),
    metavar="N",
    help="Examples in a batch [default: eval_config.batch_size].",
)
@click.option(
    "-r",
    "--results_dir",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder for evaluation.json, plots/ and report.html.",
)
@click.option("--coco", is_flag=True, help="COCO's average precision, too.")
@click.option(
    "--align", type=click.Path(path_type=Path), metavar="OTHER", help="A second file: compare both on the same data."
)
@click.option(
    "--tolerance",
    type=click.FloatRange(0),
    default=0.002,
    show_default=True,
    help="Greatest difference of the metric with --align.",
)
@click.option("--record", type=click.Path(path_type=Path), metavar="FILE", help="Put a row into this results.json.")
@click.option(
    "--as", "record_as", metavar="NAME", help="Name of the row; baseline: what the others are measured against."
)
@click.option(
    "--table",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Print the table of a results.json, evaluate nothing.",
)
@click.option(
    "--report", type=click.Path(path_type=Path), metavar="FILE", help="With --table: write it as a page with pictures."
)
@click.option(
    "--drawings",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="With --report: show these drawings of tlt-infer, too.",
)
@click.option("--gpu_index", type=click.IntRange(0), default=0, show_default=True, help="The GPU to use.")
@boundary.overwrite_option
@boundary.log_options
def command(task: str, spec: Path | None, as_json: bool, quiet: bool, verbose: bool, **options: Any) -> None:
    """Measure a model on the validation data of a spec.

    A .tlt of any stage, an exported graph and an engine go through the same code.
    """
    if options["table"]:
        _show(options["table"], options["report"], options["drawings"], as_json=as_json, overwrite=options["overwrite"])
        return
    if options["report"] or options["drawings"]:
        raise UsageError("--report and --drawings go with --table FILE", "a single evaluation has its report in -r DIR")
    if spec is None:
        raise UsageError("the spec is missing", "-e SPEC")
    if (options["record"] is None) != (options["record_as"] is None):
        raise UsageError("--record FILE and --as NAME go together")
    log = boundary.make_log("tlt-evaluate", quiet, verbose)
    cfg = read_spec(task, spec, log)
    if options["model"]:
        from tltpy.steps import models

        models.check_key(options["model"], options["key"])

    from tltpy.steps import evaluate

    result = evaluate.run(
        evaluate.EvaluateRequest(
            task=tasks.entry(task).name,
            cfg=cfg,
            model=options["model"],
            key=options["key"],
            batch_size=options["batch_size"],
            results_dir=options["results_dir"],
            detail=options["coco"],
            align=options["align"],
            tolerance=options["tolerance"],
            record=options["record"],
            record_as=options["record_as"],
            gpu_index=options["gpu_index"],
            overwrite=options["overwrite"],
        ),
        log,
    )
    if as_json:
        click.echo(json.dumps(result))
        return
    click.echo(result["table"])
    if "align" in result:
        click.echo(evaluate.align_text(result["align"]))


def _show(table: Path, page: Path | None, drawings: Path | None, *, as_json: bool, overwrite: bool) -> None:
    """Prints the rows of a results.json, and writes them as a page where one is wanted."""
    from tltpy.steps import results

    if drawings and not page:
        raise UsageError("--drawings goes with --report FILE")
    if page:
        files.refuse_existing(page, overwrite)
        from tltpy.steps import story

        story.write(table, page, drawings)
    found = results.read(table)
    click.echo(json.dumps(found) if as_json else results.table(found))


def main() -> None:
    boundary.main(command, "tlt-evaluate")
