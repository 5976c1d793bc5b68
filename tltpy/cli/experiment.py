"""What the executables that take a task and a spec share: reading and judging the spec before torch is imported."""

from pathlib import Path
from typing import Any

import click

from tltpy import tasks
from tltpy.errors import ModelFileError
from tltpy.log import Log
from tltpy.spec.load import load

task_argument = click.argument("task", type=click.Choice(tasks.names()), metavar="TASK")
spec_option = click.option(
    "-e",
    "--experiment_spec_file",
    "--experiment_spec",
    "spec",
    type=click.Path(path_type=Path),
    required=True,
    metavar="SPEC",
    help="The experiment spec.",
)


def read_spec(task: str, path: Path, log: Log) -> Any:
    """The canonical message of a spec file; warnings go to the log, problems end the command."""
    spec = load(path, tasks.message(task))
    warnings = [*spec.warnings, *spec.refuse(tasks.check(task, spec.message))]
    for warning in dict.fromkeys(warnings):
        log.warn(warning)
    return tasks.canonical(task, spec.message)


def need_key(key: str | None) -> str:
    """ModelFileError where no key was given."""
    if not key:
        raise ModelFileError(
            "a key is needed for model files", "give -k KEY, -k @FILE or the environment variable TLT_KEY"
        )
    return key
