"""dataset_convert: a detection data set in its original layout -> TFRecord shards, or a report of its faults."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tltpy.detection import convert
from tltpy.detection.findings import count_kinds
from tltpy.detection.frames import Source
from tltpy.detection.sources import misplaced, open_source
from tltpy.detection.tally import Tally, object_lines
from tltpy.log import Log
from tltpy.spec.detection_pb2 import DatasetExportConfig
from tltpy.spec.load import Spec
from tltpy.steps import contradictions, findings, pool

CHECK = "--check lists them all"


@dataclass(frozen=True)
class Request:
    """`prefix` is needed unless only checked; `results_dir` gets a status.json."""

    spec: Spec[DatasetExportConfig]
    prefix: Path | None = None
    validation_fold: int = 0
    results_dir: Path | None = None
    workers: int = 1
    cluster: str | None = None  # address of a dask scheduler: its workers read instead
    check: bool = False
    strict: bool = False
    overwrite: bool = False


def run(request: Request, log: Log) -> dict[str, Any]:
    """Images, objects and shards per partition, class map and findings.

    SpecError for parts of the spec that contradict each other; DataError when the data are missing or, with `strict`,
    when anything is found; UsageError when shards exist. `check` with `strict` leaves the refusal to the caller, who
    has the findings to show.
    """
    config = request.spec.message
    for warning in (*request.spec.warnings, *request.spec.refuse(contradictions.of_conversion(config))):
        log.warn(warning)
    if request.prefix is not None and not request.check:
        convert.refuse_existing(request.prefix, request.overwrite)
    if request.results_dir is not None:
        request.results_dir.mkdir(parents=True, exist_ok=True)
        log.open_status(request.results_dir)
    log.status("STARTED", "Starting tfrecords conversion.")
    source = open_source(config)
    _say_images(source, log)
    if lost := misplaced(config, source):
        log.warn(lost, "frame ids such as image_2/000001 are relative to image_directory_path")
    total = sum(map(len, source.partitions))
    with (
        pool.workers(request.workers, request.cluster, log.warn) as workers,
        log.progress("reading", total) as progress,
    ):
        report = convert.Report(progress.advance, log.info, lambda found: findings.warn(found, log, CHECK))
        tally = _tally(request, source, workers, report)
    if not request.check:
        _say_summary(tally, log)
    result = _result(tally, request.check)
    log.status("SUCCESS", "Conversion finished successfully.", kpi={"objects": result["objects"]})
    return result


def _tally(request: Request, source: Source, workers: pool.Pool | None, report: convert.Report) -> Tally:
    config = request.spec.message
    if request.check or request.prefix is None:
        return convert.check(source, config, workers=workers, report=report)
    return convert.convert(
        source,
        config,
        request.prefix,
        validation_fold=request.validation_fold,
        workers=workers,
        strict=request.strict,
        overwrite=request.overwrite,
        report=report,
    )


def _say_images(source: Source, log: Log) -> None:
    counts = [len(frames) for frames in source.partitions]
    if len(counts) == 2:
        log.info(f"Num images in\nTrain: {counts[1]}\tVal: {counts[0]}")
        log.info("Partition 0 is the validation set: use validation_fold: 0 in the training spec.")
    else:
        for number, count in enumerate(counts):
            log.info(f"Num images in partition {number}: {count}")
    for number, count in enumerate(counts):
        if count == 0:
            log.warn(f"partition {number} is empty: no shard is written for it")


def _say_summary(tally: Tally, log: Log) -> None:
    log.info("Cumulative object statistics")
    for line in object_lines(tally.cumulative()):
        log.info(line)
    log.info("Class map.\nLabel in GT: Label in tfrecords file")
    for name, written in sorted(tally.names.items()):
        log.info(f"{name.encode()!r}: {written.encode()!r}")
    log.info("For the dataset_config in the training spec, use the lower-case names of the tfrecords file as keys.")
    log.info("Tfrecords generation complete.")


def _result(tally: Tally, checked: bool) -> dict[str, Any]:
    return {
        "checked": checked,
        "partitions": [
            {"partition": number, "images": images, "objects": dict(sorted(objects.items()))}
            for number, (images, objects) in enumerate(zip(tally.images, tally.objects, strict=True))
        ],
        "images": sum(tally.images),
        "objects": dict(sorted(tally.cumulative().items())),
        "class_map": dict(sorted(tally.names.items())),
        "shards": tally.shards,
        "finding_counts": count_kinds(tally.findings),
        "findings": [{**asdict(finding), "message": str(finding)} for finding in tally.findings],
    }
