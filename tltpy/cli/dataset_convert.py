"""tlt-dataset-convert: a detection data set -> TFRecord shards."""

import json
from pathlib import Path
from typing import Any

import click

from tltpy.cli import boundary
from tltpy.errors import DataError, UsageError

PROGRAM = "tlt-dataset-convert"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-d", "--dataset-export-spec", "--dataset_export_spec", "spec_path", metavar="SPEC", required=True,
    help="What to convert: a DatasetExportConfig with kitti_config, coco_config, voc_config or yolo_txt_config.",
)  # fmt: skip
@click.option(
    "-o", "--output_filename", "--output-filename", "prefix", metavar="PREFIX",
    help="The shards are PREFIX-fold-000-of-002-shard-00000-of-00010 ...; folders are made. Not needed with --check.",
)  # fmt: skip
@click.option(
    "-f", "--validation_fold", "--validation-fold", type=click.IntRange(min=0), default=0, show_default=True,
    help="The fold that sample_modifier_config leaves alone.",
)  # fmt: skip
@click.option("-r", "--results_dir", "--results-dir", metavar="DIR", help="Folder for a status.json.")
@boundary.workers_options
@click.option("--check", is_flag=True, help="Read everything, decode every image, list every finding; write nothing.")
@click.option("--strict", is_flag=True, help="A finding is an error (exit code 4), and nothing is written.")
@click.option("--gpu_index", "--gpu-index", metavar="N", hidden=True, help="Accepted for old scripts; no GPU is used.")
@boundary.overwrite_option
@boundary.log_options
def command(
    spec_path: str,
    prefix: str | None,
    validation_fold: int,
    results_dir: str | None,
    workers: int,
    cluster: str | None,
    check: bool,
    strict: bool,
    gpu_index: str | None,
    overwrite: bool,
    quiet: bool,
    verbose: bool,
    as_json: bool,
) -> None:
    """Convert a KITTI, COCO, Pascal VOC or YOLO-txt data set to TFRecords.

    The records hold paths and labels, not pixels. Prints the object counts per class and partition.
    """
    from tltpy.spec.detection_pb2 import DatasetExportConfig
    from tltpy.spec.load import load

    log = boundary.make_log(PROGRAM, quiet, verbose)
    if gpu_index is not None:
        log.warn("--gpu_index has no effect: the conversion uses no GPU")
    if prefix is None and not check:
        raise UsageError("missing option -o", "name the prefix of the shards, or check only with --check")
    if prefix is not None and (prefix.endswith("/") or Path(prefix).is_dir()):
        raise UsageError(
            f"{prefix}: this is a folder", "-o is the first part of file names, e.g. tfrecords/kitti_trainval"
        )
    spec = load(spec_path, DatasetExportConfig)

    from tltpy.steps import dataset_convert

    request = dataset_convert.Request(
        spec=spec,
        prefix=None if prefix is None else Path(prefix),
        validation_fold=validation_fold,
        results_dir=None if results_dir is None else Path(results_dir),
        workers=workers,
        cluster=cluster,
        check=check,
        strict=strict,
        overwrite=overwrite,
    )
    result = dataset_convert.run(request, log)
    click.echo(json.dumps(result) if as_json else text(result))
    if check and strict and result["findings"]:
        raise DataError(f"{len(result['findings'])} findings")


def text(result: dict[str, Any]) -> str:
    """The findings of a check, the counts of the findings, and the table of classes and partitions."""
    lines = [finding["message"] for finding in result["findings"]] if result["checked"] else []
    lines += [f"{kind}: {count}" for kind, count in result["finding_counts"].items()]
    if result["checked"] and not lines:
        lines.append("no findings")
    return "\n".join([*lines, *([""] if lines else []), *table(result)])


def table(result: dict[str, Any]) -> list[str]:
    """A line for each class, a column for each partition, and the images at the end."""
    partitions = result["partitions"]
    rows = [["class", *(f"partition {each['partition']}" for each in partitions), "all"]]
    for name, total in result["objects"].items():
        rows.append([name, *(str(each["objects"].get(name, 0)) for each in partitions), str(total)])
    rows.append(["images", *(str(each["images"]) for each in partitions), str(result["images"])])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]


def main() -> None:
    boundary.main(command, PROGRAM)
