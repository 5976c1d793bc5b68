"""tlt-bundle-check: whether a folder for DeepStream or Triton finds what the model finds."""

import json
from pathlib import Path

import click

from tltpy import tasks
from tltpy.cli import boundary
from tltpy.cli.experiment import need_key, read_spec, task_argument

PROGRAM = "tlt-bundle-check"
FILE = click.Path(path_type=Path)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@task_argument
@click.argument("folder", type=FILE, metavar="FOLDER")
@click.option("-m", "--model", type=FILE, required=True, metavar="MODEL", help="The .tlt that the folder was made of.")
@boundary.key_option
@click.option("-e", "--experiment_spec", "--experiment_spec_file", "spec", type=FILE, metavar="SPEC",
              help="The spec that the folder was made with. [default: the spec in the model file]")
@click.option("-i", "--images", "pictures", type=FILE, metavar="IMAGES",
              help="A picture or a folder. [default: validation pictures, else made-up ones]")
@boundary.log_options
def command(
    task: str, folder: Path, model: Path, key: str | None, spec: Path | None, pictures: Path | None, quiet: bool,
    verbose: bool, as_json: bool,
) -> None:
    """Play FOLDER, written by tlt-export --gen_ds_config or --triton, and compare its boxes with those of tlt-infer.

    What DeepStream and Triton would do is computed from the files in it; neither is needed. Exit code 7 where it
    differs.
    """
    log = boundary.make_log(PROGRAM, quiet, verbose)
    cfg = read_spec(task, spec, log) if spec else None

    from tltpy import artifact

    artifact.check_key(model, need_key(key))

    from tltpy.steps import bundle_check

    request = bundle_check.BundleCheckRequest(
        task=tasks.entry(task).name, cfg=cfg, model=model, key=key, folder=folder, pictures=pictures
    )
    result = bundle_check.run(request, log)
    click.echo(json.dumps(result) if as_json else bundle_check.text(result))


def main() -> None:
    boundary.main(command, PROGRAM)
