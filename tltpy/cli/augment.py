"""tlt-augment: a KITTI data set -> an augmented copy of it."""

import json
from pathlib import Path
from typing import Any

import click

from tltpy.cli import boundary

PROGRAM = "tlt-augment"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-a", "--augmentation-proto", "--augmentation_proto", "spec_path", metavar="SPEC", required=True,
    help="What is changed: an AugmentConfig with spatial_config, color_config, blur_config, dataset_config.",
)  # fmt: skip
@click.option(
    "-d", "--dataset-folder", "--dataset_folder", metavar="ROOT", required=True, type=click.Path(path_type=Path),
    help="The data set: the spec's image_path and label_path are below it.",
)  # fmt: skip
@click.option(
    "-o", "--output-dataset", "--output_dataset", "output", metavar="OUT", required=True,
    type=click.Path(path_type=Path), help="The copy: the same folders and file names below this one.",
)  # fmt: skip
@click.option(
    "-b", "--batch_size", "--batch-size", type=click.IntRange(min=1), default=4, show_default=True,
    help="Pictures that a worker takes at once.",
)  # fmt: skip
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True,
    help="Where pixels are changed; auto: on the GPU where there is one. The two may differ by a grey level or two.",
)  # fmt: skip
@click.option("--gpu_index", "--gpu-index", metavar="N", hidden=True, help="Accepted for old scripts.")
@boundary.workers_options
@boundary.overwrite_option
@click.option("-q", "--quiet", is_flag=True, help="Only warnings, errors and the result.")
@click.option("-v", "--verbose", is_flag=True, help="Draw the boxes, too: OUT/images_annotated. Say more.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def command(
    spec_path: str,
    dataset_folder: Path,
    output: Path,
    batch_size: int,
    device: str,
    gpu_index: str | None,
    workers: int,
    cluster: str | None,
    overwrite: bool,
    quiet: bool,
    verbose: bool,
    as_json: bool,
) -> None:
    """Make an augmented copy of a KITTI data set, or a resized one.

    Each picture is resized, flipped, rotated, translated, sheared, recoloured and blurred as the spec says, and its
    boxes with it. One copy a picture; what is random follows from the spec's random_seed.
    """
    from tltpy.spec.augment_pb2 import AugmentConfig
    from tltpy.spec.load import load

    log = boundary.make_log(PROGRAM, quiet, verbose)
    if gpu_index is not None:
        log.warn("--gpu_index has no effect: CUDA_VISIBLE_DEVICES chooses the GPU")
    spec = load(spec_path, AugmentConfig)

    from tltpy.steps import augment

    request = augment.Request(
        spec=spec,
        dataset_folder=dataset_folder,
        output=output,
        batch_size=batch_size,
        annotate=verbose,
        workers=workers,
        cluster=cluster,
        device=device,
        overwrite=overwrite,
    )
    result = augment.run(request, log)
    click.echo(json.dumps(result) if as_json else text(result))


def text(result: dict[str, Any]) -> str:
    """What was made, and the counts of the findings."""
    lines = [f"{kind}: {count}" for kind, count in result["finding_counts"].items()]
    lines.append(f"{result['output']}: {result['images']} pictures, {result['labels']} with labels")
    lines.append(f"boxes: {result['boxes']}, {result['boxes_dropped']} dropped because nothing of them is left")
    return "\n".join(lines)


def main() -> None:
    boundary.main(command, PROGRAM)
