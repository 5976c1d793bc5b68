"""tlt-sample-data: a small made data set in an official layout."""

import json
import os
import signal
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from functools import partial
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import click

from tltpy import files
from tltpy.cli import boundary
from tltpy.errors import UsageError

KINDS = {"kitti": "tltpy.synth.kitti"}  # the layout -> the module whose `write` makes it


@click.command()
@click.argument("kind", type=click.Choice(sorted(KINDS)), metavar="KIND")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--count", type=click.IntRange(1), default=320, show_default=True, help="Pictures to make.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Another seed makes other pictures.")
@click.option("--size", default="480x160", show_default=True, metavar="WxH", help="Size of the pictures.")
@click.option("--workers", type=click.IntRange(0), default=0, help="Processes [default: the processor's cores].")
@boundary.overwrite_option
@boundary.log_options
def command(kind: str, folder: Path, as_json: bool, quiet: bool, verbose: bool, **options: Any) -> None:
    """Make a small data set, so that everything runs with nothing downloaded.

    KIND kitti: road scenes with cars, vans, pedestrians and cyclists, DIR/training/{image_2, label_2, calib}. The same
    seed makes the same pictures, whatever the count and the number of workers.
    """
    log = boundary.make_log("tlt-sample-data", quiet, verbose)
    size_wh = _size(options["size"])
    files.refuse_existing(folder, options["overwrite"])
    workers = min(options["workers"] or os.cpu_count() or 1, options["count"])
    # Ctrl-C is answered by this process alone
    quiet_worker = partial(signal.signal, signal.SIGINT, signal.SIG_IGN)
    pool: Any = ProcessPoolExecutor(workers, get_context("spawn"), quiet_worker) if workers > 1 else nullcontext()
    total: Counter[str] = Counter()
    made = import_module(KINDS[kind])
    with pool as executor, log.progress(f"making {kind}", options["count"]) as progress:
        for counted in made.write(
            folder, count=options["count"], seed=options["seed"], size_wh=size_wh, executor=executor
        ):
            total += counted
            progress.advance()
    objects = {name: total[name] for name in made.CLASSES}
    result = {"kind": kind, "folder": str(folder), "pictures": options["count"], "objects": objects}
    lines = [f"pictures      {options['count']}", *(f"{name:<14}{count}" for name, count in objects.items())]
    click.echo(json.dumps(result) if as_json else "\n".join(lines))


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and 64 <= int(width) <= 4096 and 32 <= int(height) <= 4096):
        raise UsageError(f"--size {text}: WIDTHxHEIGHT is needed, 64x32 to 4096x4096", "for instance --size 480x160")
    if int(width) > 5 * int(height):
        raise UsageError(f"--size {text}: more than 5 times as wide as high", "for instance --size 480x160")
    return int(width), int(height)


def main() -> None:
    boundary.main(command, "tlt-sample-data")
