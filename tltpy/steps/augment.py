"""augment: a KITTI data set -> a copy of it, each picture changed as the spec says, its boxes with it."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from tltpy.detection import copies, offline
from tltpy.detection.copies import Copy, Layout
from tltpy.detection.findings import Finding, count_kinds
from tltpy.detection.frames import Frame
from tltpy.errors import BackendError, DataError, UsageError
from tltpy.files import refuse_existing
from tltpy.log import Log
from tltpy.spec.augment_pb2 import AugmentConfig
from tltpy.spec.load import Spec
from tltpy.steps import contradictions, pool
from tltpy.steps import findings as told

DRIVERS = ("/dev/nvidiactl", "/dev/dxg")


@dataclass(frozen=True)
class Request:
    """`device`: "auto", "cpu" or "cuda". `batch_size`: pictures that a worker takes at once."""

    spec: Spec[AugmentConfig]
    dataset_folder: Path
    output: Path
    batch_size: int = 4
    annotate: bool = False
    workers: int = 1
    cluster: str | None = None  # address of a dask scheduler: its workers do it instead
    device: str = "auto"
    overwrite: bool = False


@dataclass(frozen=True)
class _Job:
    """What every worker needs to know; small, for it travels with every piece."""

    config: bytes  # an AugmentConfig
    target: Layout
    annotate: tuple[str, ...] | None  # names of all classes
    device: str


def run(request: Request, log: Log) -> dict[str, Any]:
    """Pictures, boxes and findings.

    SpecError for parts of the spec that contradict each other; DataError when the data set or every picture of it
    cannot be read; UsageError when the output exists, or is the data set itself.
    """
    config = request.spec.message
    for warning in (*request.spec.warnings, *request.spec.refuse(contradictions.of_augmentation(config))):
        log.warn(warning)
    source = Layout(request.dataset_folder, config.dataset_config.image_path, config.dataset_config.label_path or None)
    target = source.at(request.output)
    _refuse(source, target, request.overwrite)
    device = _device(request)
    frames, findings = copies.list_frames(source, config.image_extension)
    annotate = copies.class_names(frames) if request.annotate and source.labels else None
    if request.annotate and annotate is None:
        log.warn("-v draws no boxes: label_path is empty, there are none")
    log.info(f"{len(frames)} pictures in {source.root / source.images}, on the {'GPU' if device == 'cuda' else 'CPU'}")
    with (
        copies.staged(target) as staging,
        _workers(request, device, log) as mapped,
        log.progress("augmenting", len(frames)) as progress,
    ):
        job = _Job(config.SerializeToString(deterministic=True), staging, annotate, device)
        made: list[Copy] = []
        for batch in mapped(partial(_augment, job), _batches(frames, request.batch_size)):
            made.extend(batch)
            progress.advance(len(batch))
        findings = [*findings, *(finding for copy in made for finding in copy.findings)]
        told.warn(findings, log)
        if not any(copy.made for copy in made):
            raise DataError("no picture of the data set can be read", *map(str, findings[:3]))
    return _result(request, made, findings)


def _refuse(source: Layout, target: Layout, overwrite: bool) -> None:
    """UsageError where the output has files, or would fall on the data set."""
    inputs = {(source.root / name).resolve() for name in (".", source.images, source.labels or source.images)}
    outputs = {target.root, target.root / target.images, target.root / (target.labels or target.images)}
    if inputs & {path.resolve() for path in outputs}:
        raise UsageError(f"{target.root}: this is the data set itself", "name another folder with -o")
    refuse_existing(target.root, overwrite)


def _device(request: Request) -> str:
    """ "cpu" or "cuda". torch is only loaded where there is a driver, or where CUDA is asked for."""
    if request.device == "cuda" and request.cluster is not None:
        raise UsageError("--device cuda and --cluster exclude each other", "the workers of a cluster use their CPUs")
    if request.device == "cpu" or request.cluster is not None:
        return "cpu"
    if request.device == "auto" and not any(os.path.exists(path) for path in DRIVERS):
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if request.device == "cuda":
        raise BackendError("torch finds no CUDA device", "leave --device out to use the CPU")
    return "cpu"


@contextmanager
def _workers(request: Request, device: str, log: Log) -> Iterator[Callable[..., Any]]:
    """map(function, pieces), by whoever does the work."""
    if device == "cuda":  # threads read and write pictures while the device, which they share, changes them
        with pool.threads(max(request.workers, 2)) as threads:
            yield threads.map
    else:
        with pool.workers(request.workers, request.cluster, log.warn) as workers:
            yield map if workers is None else workers.map


def _batches(frames: Sequence[Frame], size: int) -> Iterator[tuple[int, Sequence[Frame]]]:
    return ((start, frames[start : start + size]) for start in range(0, len(frames), size))


def _augment(job: _Job, piece: tuple[int, Sequence[Frame]]) -> list[Copy]:
    """Copies the frames start, start + 1 ... of the data set."""
    start, frames = piece
    config, paint = _config(job.config), _paint(job.device)
    done = []
    for index, frame in enumerate(frames, start):
        if not job.target.root.is_dir():  # the run that wanted it is over
            raise DataError(f"{job.target.root}: no such folder", "the machines of a cluster must see the same folders")
        done.append(copies.make(frame, index, config, job.target, job.annotate, paint))
    return done


@lru_cache(maxsize=4)
def _config(serialized: bytes) -> AugmentConfig:
    return AugmentConfig.FromString(serialized)


def _paint(device: str) -> copies.Paint:
    if device == "cpu":
        return offline.apply
    from tltpy.detection import offline_torch

    return partial(offline_torch.apply, device=device)


def _result(request: Request, made: Sequence[Copy], findings: Sequence[Finding]) -> dict[str, Any]:
    return {
        "output": str(request.output),
        "images": sum(copy.made for copy in made),
        "labels": sum(copy.labelled for copy in made),
        "boxes": sum(copy.boxes - copy.dropped for copy in made),
        "boxes_dropped": sum(copy.dropped for copy in made),
        "finding_counts": count_kinds(findings),
        "findings": [{**asdict(finding), "message": str(finding)} for finding in findings],
    }
