"""Where errors become text and exit codes, and the options that several executables share.

The only place that prints errors: `program: error: ...` then `program: hint: ...`, lower case, to stderr.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from tltpy.errors import Interrupted, TltError, UsageError
from tltpy.log import Log

F = TypeVar("F", bound=Callable[..., Any])
GRACE_S = 4.0


def main(command: click.Command, program: str) -> NoReturn:
    """Runs a command as an executable; ends the process with the exit code of errors.py."""
    signal.signal(signal.SIGTERM, _terminate)
    stdout = sys.stdout
    try:
        code = command.main(prog_name=program, standalone_mode=False) or 0
        sys.stdout.flush()
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.Abort:
        fail(program, Interrupted("interrupted"))
    except click.ClickException as error:
        text = " ".join(error.format_message().split()).rstrip(".")
        fail(program, UsageError(text[:1].lower() + text[1:], f"`{program} --help` lists the flags"))
    except KeyboardInterrupt:
        fail(program, Interrupted("interrupted"))
    except TltError as error:
        fail(program, error)
    except (BrokenPipeError, SystemExit):
        # the reader of the pipe (head, less) went away, nobody is left to tell; click wraps stdout then, and exits 1
        if sys.stdout is stdout and sys.exc_info()[0] is SystemExit:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())
        sys.exit(0)
    except Exception as error:
        from tltpy.steps import memory

        said = memory.full(error)
        if said is None:
            raise
        fail(program, said)


def fail(program: str, error: TltError) -> NoReturn:
    if os.environ.get("RANK", "0") != "0":
        time.sleep(GRACE_S)  # the first of several processes speaks for all; most likely it fails, too
    tell(program, error.lines())
    sys.exit(error.exit_code)


def tell(program: str, lines: Iterable[tuple[str, str]]) -> None:
    """The lines of an error: ("error" | "hint", text)."""
    for kind, text in lines:
        print(f"{program}: {kind}: {text}", file=sys.stderr)


def _terminate(signum: int, frame: object) -> None:
    raise Interrupted("terminated", exit_code=143)


def key_option(command: F) -> F:
    return click.option(
        "-k",
        "--key",
        "key",
        metavar="KEY",
        envvar="TLT_KEY",
        callback=_read_key,
        help="Key of the model files; @FILE reads it from a file. [env: TLT_KEY]",
    )(command)


def _read_key(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is None or not value.startswith("@"):
        return value
    path = Path(value[1:])
    try:
        key = path.read_text().strip()
    except OSError as error:
        raise UsageError(f"{path}: the key file cannot be read: {(error.strerror or '').lower()}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: the key file is not text") from error
    if not key:
        raise UsageError(f"{path}: the key file is empty")
    return key


def log_options(command: F) -> F:
    """-q, -v and --json."""
    command = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")(command)
    command = click.option("-v", "--verbose", is_flag=True, help="Say more.")(command)
    return click.option("-q", "--quiet", is_flag=True, help="Only warnings, errors and the result.")(command)


def workers_options(command: F) -> F:
    """--workers and --cluster."""
    command = click.option(
        "--cluster",
        metavar="ADDRESS",
        help="Let the workers of a dask cluster do it, e.g. tcp://10.0.0.5:8786; they must see the same folders.",
    )(command)
    return click.option(
        "--workers",
        type=click.IntRange(min=0),
        default=1,
        show_default=True,
        help="Processes that do the work. The result is the same, byte for byte.",
    )(command)


def overwrite_option(command: F) -> F:
    return click.option("--overwrite", is_flag=True, help="Replace results that exist.")(command)


def make_log(program: str, quiet: bool, verbose: bool) -> Log:
    return Log(program, quiet=quiet, verbose=verbose, rank=int(os.environ.get("RANK", "0")))
