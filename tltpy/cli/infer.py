"""tlt-infer: pictures through a model or an engine; drawings and label files."""

import json
from pathlib import Path
from typing import Any

import click

from tltpy import tasks
from tltpy.cli import boundary
from tltpy.cli.experiment import read_spec, spec_option, task_argument
from tltpy.errors import UsageError

PATH = click.Path(path_type=Path)


@click.command()
@task_argument
@spec_option
@click.option(
    "-m",
    "--model",
    "-p",
    "--engine",
    "model",
    type=PATH,
    required=True,
    metavar="MODEL",
    help="A .tlt, .etlt, .onnx or engine.",
)
@boundary.key_option
@click.option(
    "-i",
    "--image_input",
    "--inference_input",
    "source",
    type=PATH,
    metavar="IMAGE|DIR",
    help="A picture or a folder of pictures.",
)
@click.option("-o", "--output_images", "images_dir", type=PATH, metavar="DIR", help="Folder for the drawings.")
@click.option("-l", "--output_labels", "labels_dir", type=PATH, metavar="DIR", help="Folder for the label files.")
@click.option("-r", "--results_dir", type=PATH, metavar="DIR", help="TAO's form: DIR/images_annotated and DIR/labels.")
@click.option("--model-inputs", metavar="NAME:PATH", help="HAT's form of -i.")
@click.option("--save-path", type=PATH, metavar="DIR", help="HAT's form of -r.")
@click.option(
    "-t", "--threshold", type=click.FloatRange(0, 1), default=0.3, show_default=True, help="Least score that is shown."
)
@click.option(
    "-b",
    "--batch_size",
    type=click.IntRange(1),
    metavar="N",
    help="Pictures in a batch [default: eval_config.batch_size].",
)
@click.option("--trt", is_flag=True, help="TLT 2.0's word for an engine; any kind of file is recognised without it.")
@click.option("--gpu_index", type=click.IntRange(0), default=0, show_default=True, help="The GPU to use.")
@boundary.overwrite_option
@boundary.log_options
def command(task: str, spec: Path, as_json: bool, quiet: bool, verbose: bool, **options: Any) -> None:
    """Draw what a model finds on pictures, and write it as label files.

    Label files have the 15 columns of KITTI and the score, in pixels of the stored picture.
    """
    source, images_dir, labels_dir = _places(options)
    log = boundary.make_log("tlt-infer", quiet, verbose)
    cfg = read_spec(task, spec, log)
    from tltpy.steps import models

    found = models.check_key(options["model"], options["key"])
    if options["trt"] and found == "model":
        raise UsageError(f"{options['model']}: --trt is given, but this is a .tlt model, no engine", "leave out --trt")

    from tltpy.steps import infer

    result = infer.run(
        infer.InferRequest(
            task=tasks.entry(task).name,
            cfg=cfg,
            model=options["model"],
            key=options["key"],
            source=source,
            images_dir=images_dir,
            labels_dir=labels_dir,
            threshold=options["threshold"],
            batch_size=options["batch_size"],
            gpu_index=options["gpu_index"],
            overwrite=options["overwrite"],
        ),
        log,
    )
    click.echo(json.dumps(result) if as_json else _text(result))


def _places(options: dict[str, Any]) -> tuple[Path, Path | None, Path | None]:
    """Source, drawings, labels out of the three published forms of the flags."""
    source = options["source"]
    if options["model_inputs"]:
        if source:
            raise UsageError("-i and --model-inputs mean the same: give one of them")
        pairs = [pair.partition(":") for pair in options["model_inputs"].split(",")]
        if len(pairs) != 1 or not pairs[0][2]:
            raise UsageError(
                f"--model-inputs {options['model_inputs']}: one NAME:PATH is needed", "for instance image:picture.png"
            )
        source = Path(pairs[0][2])
    if source is None:
        raise UsageError("the pictures are missing", "-i IMAGE or -i DIR")
    root = options["results_dir"] or options["save_path"]
    images = options["images_dir"] or (root / "images_annotated" if root else None)
    labels = options["labels_dir"] or (root / "labels" if root else None)
    if images is None and labels is None:
        raise UsageError("nowhere to write to", "-o DIR for drawings, -l DIR for label files, -r DIR for both")
    return source, images, labels


def _text(result: dict[str, Any]) -> str:
    counts: dict[str, int] = {}
    for picture in result["predictions"]:
        for found in picture.get("objects", []):
            counts[found["class"]] = counts.get(found["class"], 0) + 1
    lines = [f"{result['pictures']} pictures", *(f"{name:<14}{count}" for name, count in sorted(counts.items()))]
    lines += [f"drawings  {result['images_dir']}"] * (result["images_dir"] is not None)
    lines += [f"labels    {result['labels_dir']}"] * (result["labels_dir"] is not None)
    return "\n".join(lines)


def main() -> None:
    boundary.main(command, "tlt-infer")
