"""The average precision of the COCO challenge, equal to that of its own evaluation code.

Ten overlaps from 0.5 to 0.95, 101 recall points, the 100 best detections of an image and class, three sizes of objects.
The area of an object is that of its box. Difficult objects, and objects of another size, are ignored: a detection that
finds one counts neither way, and so does one of another size that finds nothing. -1 stands for "no such objects".
"""

import numpy as np

from tltpy.metrics.matching import FOUND, MISSED, Detections, Truths, match

_DETECTIONS = 100
_IOU = np.linspace(0.5, 0.95, 10)
_RECALL = np.linspace(0, 1, 101)
_AREA = np.array([[0, 1e10], [0, 32**2], [32**2, 96**2], [96**2, 1e10]])  # in square pixels: all, small, medium, large


def coco_average_precision(detections: Detections, truths: Truths, classes: int) -> dict[str, float]:
    """AP, AP50, AP75, APs, APm, APl and AR over all classes that have objects."""
    detections = _best(detections)
    ignored = _outside(truths.boxes_xyxy) | truths.difficult
    outcome = match(detections, truths, ignored, _IOU, counted_first=True)  # [A, T, N]
    found, wrong = outcome == FOUND, (outcome == MISSED) & ~_outside(detections.boxes_xyxy)[:, None]
    order = np.argsort(-detections.scores, kind="stable")
    precision = np.full((classes, len(_AREA), len(_IOU), len(_RECALL)), np.nan)
    recall = np.full((classes, len(_AREA), len(_IOU)), np.nan)
    for label in range(classes):
        chosen = order[detections.labels[order] == label]
        counts = (~ignored & (truths.labels == label)).sum(axis=1)  # [A]
        for area in np.flatnonzero(counts):
            precision[label, area], recall[label, area] = _curve(
                found[area][:, chosen], wrong[area][:, chosen], counts[area]
            )
    return {
        "AP": _mean(precision[:, 0]),
        "AP50": _mean(precision[:, 0, 0]),
        "AP75": _mean(precision[:, 0, 5]),
        "APs": _mean(precision[:, 1]),
        "APm": _mean(precision[:, 2]),
        "APl": _mean(precision[:, 3]),
        "AR": _mean(recall[:, 0]),
    }


def _best(detections: Detections) -> Detections:
    """The highest scores of each image and class, in the given order."""
    order = np.lexsort((-detections.scores, detections.labels, detections.images))
    images, labels = detections.images[order], detections.labels[order]
    fresh = np.ones(len(order), bool)
    fresh[1:] = (images[1:] != images[:-1]) | (labels[1:] != labels[:-1])
    position = np.arange(len(order))
    rank = position - np.maximum.accumulate(np.where(fresh, position, 0))
    kept = np.sort(order[rank < _DETECTIONS])
    return Detections(
        detections.boxes_xyxy[kept], detections.scores[kept], detections.labels[kept], detections.images[kept]
    )


def _outside(boxes_xyxy: np.ndarray) -> np.ndarray:
    """Whether a box [N, 4] is smaller or larger than each range of areas: [A, N]."""
    size = (boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]).prod(axis=1)
    return (size < _AREA[:, :1]) | (size > _AREA[:, 1:])


def _curve(found: np.ndarray, wrong: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """[T, N] by falling score -> precision at the recall points [T, R], recall reached [T]."""
    hits, misses = found.cumsum(axis=1), wrong.cumsum(axis=1)
    recall = hits / count
    precision = hits / np.maximum(hits + misses, 1)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    padded = np.column_stack([envelope, np.zeros(len(envelope))])  # no precision beyond the recall that is reached
    at = np.stack([np.searchsorted(reached, _RECALL) for reached in recall])  # [T, R]
    return np.take_along_axis(padded, at, 1), recall.max(axis=1, initial=0)


def _mean(values: np.ndarray) -> float:
    """Over everything that has objects; -1 where nothing has."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else -1.0
