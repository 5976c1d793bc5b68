"""What there is to see of a detector and of its data; the drawing itself is done by detection.plots and .album."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tltpy.data.images import read_size, to_bgr
from tltpy.detection import album, plots
from tltpy.detection.records import DetectionRecord
from tltpy.metrics.average_precision import AveragePrecision
from tltpy.metrics.confusion import Verdict, confusion, errors, judge
from tltpy.report.picture import Picture
from tltpy.tasks.yolo import SCALES
from tltpy.tasks.yolo.data import base_matrix, crop_region, labelled
from tltpy.tasks.yolo.records import CachedRecords
from tltpy.tasks.yolo.settings import Settings

SURE = 0.3  # the score from which tlt-infer shows a box unless it is told another
WORST = 8
LOOKED_AT = 4000  # records of a split whose labels are looked at; more would keep the training waiting


def of_predictions(
    average: AveragePrecision, indices: Sequence[int], records: Any, names: Sequence[str], *, asked: bool
) -> list[Picture]:
    """Curves, confusion, and the pictures with most errors; `indices` [I]: the record of each picture measured."""
    verdict = judge(*average.gathered(), iou_threshold=average.iou_threshold, score_threshold=SURE)
    count = errors(verdict, len(indices))
    worst = [image for image in np.argsort(-count, kind="stable")[:WORST].tolist() if count[image]]
    title = f"The validation pictures with most errors, at a score of {SURE:g} or more"
    return [
        replace(plots.precision_recall(average.curves(), average.iou_threshold), asked=asked),
        plots.confusion_matrix(confusion(verdict, len(names)), names, average.iou_threshold, SURE),
        *(
            album.mistakes(
                to_bgr(records[indices[image]].image()), _errors(verdict, image), names, rank=rank, title=title
            )
            for rank, image in enumerate(worst, 1)
        ),
    ]


def of_data(splits: dict[str, Any], plan: Settings) -> list[Picture]:
    """How many objects of each class, and how large they are; no picture is opened."""
    counts: dict[str, Counter[str]] = {}
    sizes, labels = [np.zeros((0, 2))], [np.zeros(0, np.int64)]
    note = ""
    for split, records in splits.items():
        found = counts[split] = Counter(dict.fromkeys(plan.classes, 0))
        step = max(1, -(-len(records) // LOOKED_AT))
        if step > 1:
            note += f" Of the {split} data one in {step} of {len(records):,} pictures was counted."
        for record in (_unopened(records, index) for index in range(0, len(records), step)):
            size_wh, kinds = _sizes(record, plan)
            found.update(plan.classes[label] for label in kinds.tolist())
            if split == "training":
                sizes.append(size_wh)
                labels.append(kinds)
    anchors = {
        name: np.array([(w, h) for h, w in scale]) * plan.input_hw[::-1]
        for name, scale in zip(SCALES, plan.anchors.scales, strict=True)
    }
    return [
        plots.label_histogram(counts, note),
        plots.box_sizes(np.concatenate(sizes), np.concatenate(labels), plan.classes, anchors),
    ]


def of_batch(batch: dict[str, Any], plan: Settings) -> Picture:
    """The pictures of a batch with their boxes."""
    images = batch["image"].cpu().numpy().transpose(0, 2, 3, 1)  # [B, H, W, C]
    if images.dtype == np.int32:  # 16 bits
        images = images.astype(np.uint16)
    height, width = images.shape[1:3]  # the spec's size, or one that was drawn
    y, x, h, w = (batch["boxes_yxhw"].cpu().numpy() * np.array([height, width] * 2)).transpose(2, 0, 1)
    boxes = np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], axis=2)  # [B, M, 4]
    labels = batch["labels"].cpu().numpy()
    kept = labels >= 0
    return album.mosaic(
        [to_bgr(image) for image in images], [b[k] for b, k in zip(boxes, kept, strict=True)],
        [label[k] for label, k in zip(labels, kept, strict=True)], plan.classes,
    )  # fmt: skip


def _errors(verdict: Verdict, image: int) -> album.Errors:
    found, truths = verdict.detections, verdict.truths
    missed = verdict.missed & (truths.images == image)
    here = found.images == image
    wrong, right = (verdict.false | verdict.confused) & here, verdict.counted & ~verdict.confused & here
    return album.Errors(
        missed_xyxy=truths.boxes_xyxy[missed],
        missed_labels=truths.labels[missed],
        wrong_xyxy=found.boxes_xyxy[wrong],
        wrong_scores=found.scores[wrong],
        wrong_labels=found.labels[wrong],
        wrong_truths=np.append(truths.labels, -1)[verdict.met[wrong]],
        right_xyxy=found.boxes_xyxy[right],
    )


def _unopened(records: Any, index: int) -> DetectionRecord:
    """A record without its pixels."""
    record: DetectionRecord = (records.records if isinstance(records, CachedRecords) else records)[index]
    return record


def _sizes(record: DetectionRecord, plan: Settings) -> tuple[np.ndarray, np.ndarray]:
    """Width and height [N, 2] in pixels of the network's input, and labels [N]."""
    region = crop_region(record.size_hw or read_size(record.image_path), plan)
    truth = labelled(record, plan, region)
    scale = base_matrix(region, plan)[[0, 1], [0, 1]]
    return (truth.boxes_xyxy[:, 2:] - truth.boxes_xyxy[:, :2]) * scale, truth.labels
