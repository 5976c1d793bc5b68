"""tlt-calops: parameters and multiply-accumulates, module by module and in all."""

import json
from pathlib import Path
from typing import Any

import click

from tltpy import tasks
from tltpy.cli import boundary
from tltpy.cli.experiment import read_spec, spec_option, task_argument
from tltpy.errors import UsageError

PROGRAM = "tlt-calops"


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@task_argument
@spec_option
@click.option("-m", "--model", type=click.Path(path_type=Path), metavar="MODEL",
              help="A .tlt, pruned or not, .etlt or .onnx; none: the untrained network of the spec.")
@boundary.key_option
@click.option("--input-shape", "--input_shape", "shapes", multiple=True, metavar="[NAME:]B,C,H,W",
              help="Shape of an input, batch first [default: one example of the size in the spec].")
@click.option("--method", type=click.Choice(["fx", "hook"]), default="fx", show_default=True,
              help="fx counts everything that is computed, hook what modules without children compute.")
@click.option("--depth", type=click.IntRange(0), metavar="N", help="Show modules down to this level of the tree.")
@click.option("--csv", "as_csv", is_flag=True, help="Print the modules as CSV.")
@boundary.log_options
def command(
    task: str, spec: Path, shapes: tuple[str, ...], quiet: bool, verbose: bool, as_json: bool, as_csv: bool,
    **options: Any,
) -> None:
    """Count the parameters and multiply-accumulates of every graph of a task, for one example.

    Convolutions, matrix products and attention count; FLOPs are two for each multiply-accumulate.
    """
    if as_csv and as_json:
        raise UsageError("--csv and --json exclude each other")
    log = boundary.make_log(PROGRAM, quiet, verbose)
    sizes = dict(_shape(text) for text in shapes)
    cfg = read_spec(task, spec, log)
    if options["model"]:
        from tltpy.steps import models

        models.check_key(options["model"], options["key"])

    from tltpy.steps import calops

    result = calops.run(calops.CalopsRequest(task=tasks.entry(task).name, cfg=cfg, shapes=sizes, **options), log)
    click.echo(json.dumps(result) if as_json else calops.table(result) if as_csv else calops.text(result))


def _shape(text: str) -> tuple[str, tuple[int, ...]]:
    """Input:1,3,384,1248 or 1,3,384,1248."""
    name, _, sizes = text.rpartition(":")
    try:
        shape = tuple(int(part) for part in sizes.split(","))
    except ValueError:
        example = "--input-shape 1,3,384,1248"
        raise UsageError(f'--input-shape: "{sizes}" is no list of whole numbers', example) from None
    if min(shape) < 1:
        raise UsageError(f'--input-shape: "{sizes}" has a size below 1')
    return name, shape


def main() -> None:
    boundary.main(command, PROGRAM)
