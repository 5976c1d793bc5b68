"""infer: pictures in, drawings and label files out."""

import json
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import torch

from tltpy import files, tasks
from tltpy.data.images import EXTENSIONS
from tltpy.log import Log
from tltpy.steps import evaluation, processes
from tltpy.steps.subject import open_subject
from tltpy.tasks.contract import Presentation


@dataclass(frozen=True, kw_only=True)
class InferRequest:
    """Drawings go to `images_dir`, label files to `labels_dir`; either may be None. `threshold`: least score shown."""

    task: str
    cfg: Any
    model: Path
    key: str | None
    source: Path
    images_dir: Path | None
    labels_dir: Path | None
    threshold: float = 0.3
    batch_size: int | None = None
    gpu_index: int = 0
    overwrite: bool = False


@torch.inference_mode()
def run(request: InferRequest, log: Log) -> dict[str, Any]:
    """The result counts what was written."""
    folders = [folder for folder in (request.images_dir, request.labels_dir) if folder is not None]
    for folder in dict.fromkeys(folders):
        files.refuse_existing(folder, request.overwrite)
    group = processes.join(request.gpu_index)
    task = tasks.load(request.task)
    records = task.read(request.cfg, request.source)
    subject = open_subject(request.model, request.key, request.task, request.cfg, group.device)
    size = request.batch_size or request.cfg.eval_config.batch_size
    batches = evaluation.loader(task, request.cfg, records, batch_size=size, training=False, group=group)
    state: Any = None
    shown: list[dict[str, Any]] = []
    written: list[Path] = []
    made = [path for folder in folders for path in (folder, *folder.parents) if not path.exists()]
    alike = _alike(request.source)
    log.info(f"{len(records)} pictures through {request.model} ({subject.kind})")
    try:
        with log.progress("inferring", len(records)) as progress:
            for batch in batches.epoch(0):
                outputs = subject.runner(task.inputs(processes.to_device(batch, group.device), state, request.cfg))
                found, state = task.decode(
                    {name: value.cpu() for name, value in outputs.items()}, batch, state, request.cfg
                )
                for index, prediction in zip(batch["index"], found, strict=True):
                    presented = task.present(records[index], prediction, request.cfg, request.threshold)
                    written += _write(request, presented, alike)
                    shown.append(presented.data)
                progress.advance(len(found))
        if request.images_dir is not None:
            files.write_text(request.images_dir / "predictions.json", json.dumps(shown, indent=1) + "\n")
    except BaseException:  # half of the pictures would pass for all of them
        _remove(written, made)
        raise
    finally:
        batches.close()
    return {
        "pictures": len(shown),
        "images_dir": str(request.images_dir) if request.images_dir else None,
        "labels_dir": str(request.labels_dir) if request.labels_dir else None,
        "predictions": shown,
    }


def _write(request: InferRequest, presented: Presentation, alike: frozenset[str]) -> list[Path]:
    """Writes the drawing and the label file, and tells where."""
    source = Path(presented.data["image"])
    name = source.name if source.name in alike else source.stem
    written = []
    if request.images_dir is not None:
        suffix = source.suffix.lower() if source.suffix.lower() in (".jpg", ".jpeg", ".png") else ".png"
        encoded = cv2.imencode(suffix, presented.image)[1]
        written.append(request.images_dir / f"{name}{suffix}")
        with files.atomic(written[-1]) as file:
            file.write(encoded.tobytes())
    if request.labels_dir is not None:
        written.append(request.labels_dir / f"{name}{presented.labels_suffix}")
        files.write_text(written[-1], presented.labels)
    return written


def _alike(source: Path) -> frozenset[str]:
    """Pictures of a folder that keep their extension in the names of what is written, lest two share a name."""
    if not source.is_dir():
        return frozenset()
    names = {path.name for path in source.iterdir() if path.suffix.lower() in EXTENSIONS}
    stems = Counter(Path(name).stem for name in names)
    return frozenset(name for name in names if stems[Path(name).stem] > 1 or Path(name).stem in names)


def _remove(written: list[Path], made: list[Path]) -> None:
    """Takes files, and folders that were not there before, away again."""
    for path in written:
        with suppress(OSError):
            path.unlink()
    for folder in sorted(set(made), key=lambda folder: -len(folder.parts)):
        with suppress(OSError):  # not empty
            folder.rmdir()
