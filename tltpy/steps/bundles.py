"""Folders for DeepStream and Triton: written, read back, played, and compared with what infer finds.

infer's own path (the task's samples, the network in PyTorch) is the reference; the folder's path takes nothing but the
pictures and what stands in the folder's files.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tltpy import files
from tltpy.deploy import deepstream, nvinfer, triton
from tltpy.deploy.compare import compare
from tltpy.detection.warp import warp
from tltpy.errors import DataError, QualityError, SpecError, UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from tltpy.tasks.contract import Graph, Record, Task

PICTURES = 4
MEAN_LIMIT, LARGEST_LIMIT = 0.02, 2.0  # grey levels; a warp may round a pixel the other way
SCORE_LIMIT, BOX_LIMIT = 5e-3, 2e-3  # one pixel rounded the other way is worth 1e-3; a box: of the frame's longer side
SHARE = 0.05  # of the boxes may lack a partner: suppression turns on the last bit
PAIRED = 0.5  # overlap by which a box that DeepStream finds is one of ours


@dataclass(frozen=True)
class Reference:
    """What infer makes of some pictures. `objects` are of any score, the best first."""

    frames: list[np.ndarray]
    inputs: "dict[str, Tensor]"
    outputs: "dict[str, Tensor]"
    objects: list[list[dict[str, Any]]]
    metadata: dict[str, Any]
    origin: str

    @property
    def best(self) -> float:
        return max((found["score"] for objects in self.objects for found in objects), default=0.0)


@dataclass(frozen=True)
class Played:
    """`boxes` of the reference were looked for, and found. With DeepStream's own scaling and margins: how many have a
    partner, how well the two overlap, how far their scores are apart."""

    kind: str
    pictures: int
    boxes: int
    threshold: float
    paired: float = 1.0
    overlap: float = 1.0
    score_change: float = 0.0

    def describe(self) -> str:
        text = f"{self.kind}: the boxes of tlt-infer, {self.boxes} on {self.pictures} pictures"
        if self.kind != "deepstream":
            return text
        return (
            f"{text}; as nvinfer scales them {self.paired:.1%} of these, overlap "
            f"{self.overlap:.3f}, scores {self.score_change:.3f} apart"
        )

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "text": self.describe()}


def pictures(task: "Task", cfg: Any, source: Path | None) -> "tuple[list[Record], str]":
    """Records to compare on, and in words what they are: those of `source`, else a few of the validation data, else
    made-up ones."""
    if source is not None:
        records = task.read(cfg, source)
        return [records[index] for index in range(len(records))], f"{len(records)} pictures of {source}"
    try:
        stored = task.read(cfg, "validation")
        count = min(PICTURES, len(stored))
        found = [stored[index * len(stored) // count] for index in range(count)]
        if found:
            return found, f"{count} validation pictures"
    except (DataError, SpecError):  # a model file is exported on another machine, too
        pass
    rng = np.random.default_rng(0)
    made = [task.example(cfg, rng) for _ in range(PICTURES)]
    return made, f"{PICTURES} made-up pictures, since the validation data is not there"


@torch.inference_mode()
def reference(
    task: "Task", cfg: Any, graph: "Graph", records: "Sequence[Record]", origin: str
) -> Reference:
    """infer's way through the network of a graph that gives boxes."""
    batch = task.collate([task.sample(record, cfg, None) for record in records])
    inputs = task.inputs(batch, None, cfg)
    outputs = graph.module.eval()(inputs)
    found, _ = task.decode(outputs, batch, None, cfg)
    objects = [
        task.present(record, each, cfg, 0.0).data["objects"] for record, each in zip(records, found, strict=True)
    ]
    frames = [np.asarray(record.image()) for record in records]
    return Reference(frames, inputs, outputs, objects, graph.metadata, origin)


def stage(folder: Path, parts: dict[str, bytes], wanted: Reference, stack: ExitStack) -> list[dict[str, Any]]:
    """Writes and checks a folder elsewhere; it takes its place when the stack closes well."""
    place = stack.enter_context(files.staged(folder))
    for name, content in parts.items():
        with files.atomic(place / name) as file:
            file.write(content)
    return [{"folder": str(folder), **played.to_dict()} for played in check(place, wanted)]


def stage_triton(
    folder: Path, name: str, graph: bytes, metadata: dict[str, Any], batch_size: int, wanted: Reference,
    stack: ExitStack,
) -> list[dict[str, Any]]:
    """The same for the models of a repository, which may hold others."""
    openvino = find_spec("openvino") is not None
    parts = triton.repository(name, graph, metadata, batch_size=batch_size, openvino=openvino)
    found = []
    for model in dict.fromkeys(path.partition("/")[0] for path in parts):
        own = {path.partition("/")[2]: content for path, content in parts.items() if path.startswith(f"{model}/")}
        found += stage(folder / model, own, wanted, stack)
    return found


def check(folder: Path, wanted: Reference) -> list[Played]:
    """Plays a DeepStream folder, a Triton repository or a model of one. QualityError where it gives other boxes."""
    if (folder / deepstream.CONFIG).is_file():
        return [check_deepstream(folder, wanted)]
    models = triton.models(folder)
    if not models:
        raise UsageError(
            f"{folder}: no folder for DeepStream or Triton",
            f"it would hold {deepstream.CONFIG} or {triton.CONFIG}; tlt-export writes them",
        )
    return [check_triton(model, wanted) for model in models]


def check_deepstream(folder: Path, wanted: Reference) -> Played:
    """Twice: as infer scales pictures and fills margins, where all must be equal, and as nvinfer does, to tell how far
    off it is."""
    config = nvinfer.read(folder)
    runtime = nvinfer.open_graph(config)
    facts = runtime.metadata
    fill = tuple(facts["input"]["mean"])
    ours = [nvinfer.picture_of_ours(config, frame, warp, fill) for frame in wanted.frames]
    tensors = [nvinfer.normalised(config, image) for image, _ in ours]
    _check_inputs(config.path, tensors, wanted)
    least = config.thresholds if wanted.best > max(config.thresholds) else tuple(0.0 for _ in config.thresholds)
    boxes = _parsed(config, nvinfer.play(config, runtime, tensors), ours, facts, wanted, least)
    _check_boxes(config, boxes, wanted, least)
    theirs = [nvinfer.picture(config, frame) for frame in wanted.frames]
    layers = nvinfer.play(config, runtime, [nvinfer.normalised(config, image) for image, _ in theirs])
    found = _parsed(config, layers, theirs, facts, wanted, least)
    return _measured(config, found, wanted, least)


def check_triton(folder: Path, wanted: Reference) -> Played:
    """Requests of one picture, and batches as large as the configuration allows, give the outputs of the model."""
    model = triton.read(folder)
    runtime = triton.open_graph(model)
    if set(model.inputs) != set(wanted.inputs):
        raise QualityError(f"{model.path}: the inputs {', '.join(model.inputs)} are not the model's")
    count = len(next(iter(wanted.inputs.values())))
    for size in sorted({1, model.max_batch_size or 1, min(count, model.max_batch_size or 1)}):
        parts = [
            runtime({name: value[start : start + size] for name, value in wanted.inputs.items()})
            for start in range(0, count, size)
        ]
        found = {name: torch.cat([part[name] for part in parts]) for name in model.outputs}
        answer = compare(found, wanted.outputs)
        if not answer.equal:
            raise QualityError(f"{model.path}: another answer than the model's: {answer.describe()}")
    return Played(f"triton {model.backend}", count, sum(map(len, wanted.objects)), 0.0)


def _check_inputs(path: Path, tensors: list[np.ndarray], wanted: Reference) -> None:
    (expected,) = wanted.inputs.values()
    scale = wanted.metadata["input"]["scale"]
    for index, (tensor, own) in enumerate(zip(tensors, expected.numpy(), strict=True)):
        if tensor.shape != own.shape:
            raise QualityError(f"{path}: pictures of {tensor.shape}, and the model takes {own.shape}")
        gap = np.abs(tensor - own) / scale
        if gap.mean() > MEAN_LIMIT or gap.max() > LARGEST_LIMIT:
            raise QualityError(
                f"{path}: picture {index} reaches the network otherwise than in tlt-infer: "
                f"{gap.mean():.3g} grey levels apart in the mean",
                "the keys from net-scale-factor to symmetric-padding decide it; a crop in the spec has no key there",
            )


def _parsed(
    config: nvinfer.Config, layers: list[dict[str, np.ndarray]], places: list[tuple[np.ndarray, nvinfer.Fit]],
    facts: dict[str, Any], wanted: Reference, least: tuple[float, ...],
) -> list[nvinfer.Boxes]:
    return [
        nvinfer.parse(config, each, facts["boxes"], place, (frame.shape[0], frame.shape[1]), least=least)
        for each, (_, place), frame in zip(layers, places, wanted.frames, strict=True)
    ]


def _check_boxes(
    config: nvinfer.Config, found: list[nvinfer.Boxes], wanted: Reference, least: tuple[float, ...]
) -> None:
    """Every box above the threshold has its like on the other side."""
    lost, total = 0, 0
    for boxes, objects, frame in zip(found, wanted.objects, wanted.frames, strict=True):
        own = _table(objects, config.labels)
        near = _alike(boxes, own, max(frame.shape[:2]))  # [N found, M own]
        sure = own.scores > np.array(least)[own.class_ids] + SCORE_LIMIT
        clear = boxes.scores > np.array(least)[boxes.class_ids] + SCORE_LIMIT
        lost += int((sure & ~near.any(axis=0)).sum() + (clear & ~near.any(axis=1)).sum())
        total += int(sure.sum())
    if lost > max(1, int(SHARE * total)) or (lost and total <= 1):
        raise QualityError(
            f"{config.path}: {lost} boxes differ from those of tlt-infer, which finds {total}",
            f"compared on {wanted.origin}",
        )


def _measured(
    config: nvinfer.Config, found: list[nvinfer.Boxes], wanted: Reference, least: tuple[float, ...]
) -> Played:
    overlaps, changes, total = [], [], 0
    for boxes, objects in zip(found, wanted.objects, strict=True):
        own = _table(objects, config.labels)
        own = _chosen(own, own.scores > np.array(least)[own.class_ids] + SCORE_LIMIT)
        total += len(own.scores)
        if not len(own.scores) or not len(boxes.scores):
            continue
        overlap = _overlap(boxes.boxes_xyxy, own.boxes_xyxy) * (boxes.class_ids[:, None] == own.class_ids)
        best = overlap.argmax(axis=0)  # [M]
        value = overlap[best, np.arange(len(best))]
        overlaps += value[value > PAIRED].tolist()
        changes += np.abs(boxes.scores[best] - own.scores)[value > PAIRED].tolist()
    share = len(overlaps) / total if total else 1.0
    means = [float(np.mean(values)) if values else other for values, other in ((overlaps, 1.0), (changes, 0.0))]
    return Played("deepstream", len(found), total, max(least), share, *means)


def _table(objects: list[dict[str, Any]], labels: tuple[str, ...]) -> nvinfer.Boxes:
    """The objects as arrays; a class that the folder does not know has the id of the last label and matches nothing."""
    known = {label: place for place, label in enumerate(labels)}
    ids = np.array([known.get(found["class"], len(labels) - 1) for found in objects], np.int64)
    boxes = np.array([found["box_xyxy"] for found in objects], np.float32).reshape(-1, 4)
    boxes[[found["class"] not in known for found in objects]] = np.nan
    return nvinfer.Boxes(boxes, np.array([found["score"] for found in objects], np.float32), ids)


def _chosen(boxes: nvinfer.Boxes, mask: np.ndarray) -> nvinfer.Boxes:
    return nvinfer.Boxes(boxes.boxes_xyxy[mask], boxes.scores[mask], boxes.class_ids[mask])


def _alike(found: nvinfer.Boxes, own: nvinfer.Boxes, side: int) -> np.ndarray:
    """bool [N, M]: the same class, score and box."""
    boxes = np.abs(found.boxes_xyxy[:, None] - own.boxes_xyxy[None]).max(axis=2, initial=0.0) <= BOX_LIMIT * side
    scores = np.abs(found.scores[:, None] - own.scores[None]) <= SCORE_LIMIT
    near: np.ndarray = boxes & scores & (found.class_ids[:, None] == own.class_ids[None])
    return near


def _overlap(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union [N, M]."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    both = np.clip(high - low, 0, None).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (first, second)]
    shares: np.ndarray = both / np.maximum(areas[0][:, None] + areas[1][None] - both, 1e-9)
    return shares
