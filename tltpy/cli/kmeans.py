"""tlt-kmeans: the boxes of a data set -> anchor shapes to paste into a spec."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from tltpy import tasks
from tltpy.cli import boundary
from tltpy.cli.experiment import read_spec
from tltpy.errors import UsageError
from tltpy.log import Log

PROGRAM = "tlt-kmeans"
MANY = {"-l", "--label_folders", "--labels", "-i", "--image_folders", "--images"}
DEFAULT_TASK = tasks.TASKS[0].name


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("task", type=click.Choice(tasks.names()), metavar="[TASK]", default=DEFAULT_TASK)
@click.option("-l", "--label_folders", "--labels", "labels", metavar="DIR...", multiple=True,
              type=click.Path(path_type=Path), help="Folders of KITTI label files.")
@click.option("-i", "--image_folders", "--images", "pictures", metavar="DIR...", multiple=True,
              type=click.Path(path_type=Path), help="For each label folder the folder of its pictures.")
@click.option("-x", "--size_x", "width", type=click.IntRange(min=1), help="Width of the network's input.")
@click.option("-y", "--size_y", "height", type=click.IntRange(min=1), help="Height of the network's input.")
@click.option("-e", "--experiment_spec_file", "spec", metavar="SPEC", type=click.Path(path_type=Path),
              help="In place of the four: the training data and the size of an experiment spec.")
@click.option("--ratio_x", type=click.FloatRange(min=0, min_open=True),
              help="In place of -i, -x and -y (TLT 2.0): width of the input over that of all pictures.")
@click.option("--ratio_y", type=click.FloatRange(min=0, min_open=True), help="The same for the height.")
@click.option("-n", "--num_clusters", "count", type=click.IntRange(min=3), default=9, show_default=True,
              help="Anchors, a third of them for each of three scales.")
@click.option("--max_steps", type=click.IntRange(min=1), default=10000, show_default=True, help="Steps at most.")
@click.option("--min_x", type=click.FloatRange(min=0), default=0.0, show_default=True,
              help="Boxes that are not wider in the network's input are left out.")
@click.option("--min_y", type=click.FloatRange(min=0), default=0.0, show_default=True, help="The same for the height.")
@click.option("--resize", type=click.Choice(["letterbox", "stretch"]), default="letterbox", show_default=True,
              help="How pictures get the input's size: their shape kept, as in tlt-train, or not, as in the original.")
@click.option("--seed", type=click.IntRange(min=0), default=42, show_default=True, help="Of the first anchors.")
@click.option("-o", "--output", "output", metavar="DIR", type=click.Path(path_type=Path),
              help="Folder for anchors.txt, which is what is printed, and anchors.png.")
@click.option("--plot", metavar="FILE", type=click.Path(path_type=Path), help="A PNG of the boxes and the anchors.")
@boundary.overwrite_option
@boundary.log_options
def command(task: str, quiet: bool, verbose: bool, as_json: bool, **options: Any) -> None:
    """Find the anchor shapes that fit the boxes of a data set best.

    Prints small_anchor_shape, mid_anchor_shape and big_anchor_shape as they stand in a spec. Data are named by an
    experiment spec, or as `-l LABELS... -i IMAGES... -x WIDTH -y HEIGHT`.
    """
    log = boundary.make_log(PROGRAM, quiet, verbose)
    _refuse_contradictions(options)
    cfg = read_spec(task, options["spec"], log) if options["spec"] else None

    from tltpy.steps import kmeans

    result = kmeans.run(_request(task, cfg, options, log), log)
    click.echo(json.dumps(result) if as_json else kmeans.snippet(result))


def spread(words: list[str]) -> list[str]:
    """`-l A B` -> `-l A -l B`, as the original takes it: a word that is no flag belongs to the last of these two."""
    done: list[str] = []
    flag = None
    for position, word in enumerate(words):
        if word.startswith("-"):
            flag = word if word in MANY else None
        elif flag is not None and words[position - 1] != flag:
            done.append(flag)
        done.append(word)
    return done


def _refuse_contradictions(options: dict[str, Any]) -> None:
    ratios = [options["ratio_x"], options["ratio_y"]]
    size = [options["width"], options["height"]]
    if bool(options["spec"]) == bool(options["labels"]):
        raise UsageError("name the data with -e SPEC, or with -l LABELS...", f"`{PROGRAM} --help` lists the flags")
    if options["spec"] and (any(ratios) or any(size) or options["pictures"]):
        raise UsageError("-e names the pictures and the size: -i, -x, -y, --ratio_x and --ratio_y do not go with it")
    if options["spec"]:
        return
    if any(ratios):
        if None in ratios:
            raise UsageError("--ratio_x and --ratio_y go together")
        if any(size) or options["pictures"]:
            raise UsageError("--ratio_x and --ratio_y stand in place of -i, -x and -y")
    elif None in size:
        raise UsageError("missing option -x or -y", "the size of the network's input, e.g. -x 1248 -y 384")
    elif len(options["pictures"]) != len(options["labels"]):
        text = f"{len(options['labels'])} label folders, but {len(options['pictures'])} folders of pictures"
        raise UsageError(text, "-i names one for each of -l, in the same order")


def _request(task: str, cfg: Any, options: dict[str, Any], log: Log) -> Any:
    from tltpy.steps import kmeans

    stretch = options["resize"] == "stretch"
    if stretch and options["ratio_x"]:
        log.warn("--resize has no effect: --ratio_x and --ratio_y say how the pictures are resized")
    folders = kmeans.Folders(
        labels=options["labels"],
        images=options["pictures"],
        input_hw=(options["height"], options["width"]) if options["width"] else None,
        ratio_xy=(options["ratio_x"], options["ratio_y"]) if options["ratio_x"] else None,
    )
    folder = options["output"]
    return kmeans.Request(
        source=cfg.dataset_config if cfg else folders,
        view=tasks.view(task, cfg) if cfg else None,
        stretch=stretch,
        count=options["count"],
        max_steps=options["max_steps"],
        min_wh=(options["min_x"], options["min_y"]),
        seed=options["seed"],
        text=folder / "anchors.txt" if folder else None,
        plots=tuple(path for path in (folder / "anchors.png" if folder else None, options["plot"]) if path),
        overwrite=options["overwrite"],
    )


def main() -> None:
    sys.argv[1:] = spread(sys.argv[1:])
    boundary.main(command, PROGRAM)
