"""tlt-model-check: whether a backend runs a network, operator by operator."""

import json
from pathlib import Path
from typing import Any

import click

from tltpy import tasks
from tltpy.cli import boundary
from tltpy.cli.experiment import read_spec, spec_option, task_argument
from tltpy.errors import QualityError

PROGRAM = "tlt-model-check"


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@task_argument
@spec_option
@click.option("-m", "--model", type=click.Path(path_type=Path), metavar="MODEL",
              help="A .tlt of any stage, .etlt or .onnx; none: the untrained network of the spec.")
@boundary.key_option
@click.option("--backend", type=click.Choice(["onnxruntime", "openvino", "tensorrt"]), default="onnxruntime",
              show_default=True, help="The library that shall run it.")
@click.option("--data_type", "precision", type=click.Choice(["fp32", "fp16", "int8"]),
              help="Precision of the layers [default: int8 where the model is quantized, else fp32].")
@boundary.log_options
def command(task: str, spec: Path, quiet: bool, verbose: bool, as_json: bool, **options: Any) -> None:
    """Check whether every operator of a network runs on a backend, in int8 where it is quantized.

    Also told are modules that are never used or used more than once, and batch normalisations that cannot become part
    of a convolution. Exit code 7 where an operator does not run as it should.
    """
    log = boundary.make_log(PROGRAM, quiet, verbose)
    cfg = read_spec(task, spec, log)
    if options["model"]:
        from tltpy.steps import models

        models.check_key(options["model"], options["key"])

    from tltpy.steps import model_check

    request = model_check.ModelCheckRequest(task=tasks.entry(task).name, cfg=cfg, **options)
    result = model_check.run(request, log)
    click.echo(json.dumps(result) if as_json else model_check.text(result))
    if result["offenders"]:
        where = f"{result['backend']} in {result['precision']}"
        what = f"{result['offenders']} operators of {result['model'] or 'the network'}"
        hint = "another --backend or --data_type may take them"
        raise QualityError(f"{what} do not run as they should on {where}", hint)


def main() -> None:
    boundary.main(command, PROGRAM)
