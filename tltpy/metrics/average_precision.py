"""Average precision of boxes as TLT publishes it, on request also as COCO does.

Detections of a class choose objects of that class by falling score (matching.py): the free one of most overlap, also
where a taken one overlaps more. A found difficult object counts neither way. `sample`: the mean over the recalls
0, 0.1, ... 1 of the best precision at that recall or beyond (VOC 2007). `integrate`: the area under that envelope
(VOC 2010). The mean is over all classes; a class without objects contributes 0. Equal scores stay in the order in which
they came, as in the published evaluations.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from tltpy.metrics.coco import coco_average_precision
from tltpy.metrics.matching import FOUND, IGNORED, Detections, Truths, match

Mode = Literal["sample", "integrate"]
_RECALL = np.arange(11) / 10  # the same doubles as the recalls 1/10, 2/10, ...
_RULE = "*" * 31


@dataclass(frozen=True)
class Curve:
    """Precision and recall [P] when the detections down to `score` [P] are taken; the scores fall."""

    precision: np.ndarray
    recall: np.ndarray
    score: np.ndarray
    average_precision: float


class AveragePrecision:
    """Gathers detections image by image; every number is computed when it is asked for.

    An object of class i of `class_names` has the label i.
    """

    headline = "mAP"

    def __init__(
        self, *, class_names: Sequence[str], iou_threshold: float = 0.5, mode: Mode = "sample", coco: bool = False
    ) -> None:
        assert mode in ("sample", "integrate"), mode
        self.class_names = list(class_names)
        self.iou_threshold = iou_threshold
        self.mode = mode
        self.coco = coco
        self._images: list[tuple[np.ndarray, ...]] = []

    def update(
        self,
        boxes_xyxy: Any,
        scores: Any,
        labels: Any,
        truth_boxes_xyxy: Any,
        truth_labels: Any,
        truth_difficult: Any,
    ) -> None:
        """One image: N detections (boxes [N, 4], scores [N], labels [N]) and M objects ([M, 4], [M], bool [M]).

        Arrays or tensors, on any device; boxes of both in one frame of pixels.
        """
        image = (
            _array(boxes_xyxy, torch.float64).reshape(-1, 4),
            _array(scores, torch.float64),
            _array(labels, torch.int64),
            _array(truth_boxes_xyxy, torch.float64).reshape(-1, 4),
            _array(truth_labels, torch.int64),
            _array(truth_difficult, torch.bool),
        )
        assert len(image[0]) == len(image[1]) == len(image[2]) and len(image[3]) == len(image[4]) == len(image[5])
        self._images.append(image)

    def state(self) -> list[Any]:
        """All that was gathered here; can be pickled."""
        return list(self._images)

    def merge(self, states: Iterable[list[Any]]) -> None:
        """Replaces what was gathered by the `states` of all processes, this one's included."""
        self._images = [image for state in states for image in state]

    def curves(self) -> dict[str, Curve]:
        """Precision over recall of every class; empty for a class without objects."""
        return self._curves(*self.gathered())

    def result(self) -> dict[str, Any]:
        """mAP; AP and the number of objects that count, by class; `coco`: the numbers of coco.py where asked for."""
        detections, truths = self.gathered()
        precision = {name: curve.average_precision for name, curve in self._curves(detections, truths).items()}
        result: dict[str, Any] = {
            "mAP": sum(precision.values()) / max(len(precision), 1),
            "AP": precision,
            "truths": dict(zip(self.class_names, self._counts(truths).tolist(), strict=True)),
        }
        if self.coco:
            result["coco"] = coco_average_precision(detections, truths, len(self.class_names))
        return result

    def table(self) -> str:
        """The result as TLT prints it; the numbers of COCO below it."""
        result = self.result()
        rows = [_row(name, "AP", value) for name, value in result["AP"].items()]
        lines = [_RULE, *rows, _RULE, _row("", "mAP", result["mAP"])]
        if self.coco:
            lines += [_RULE, *(_row("coco", name, value) for name, value in result["coco"].items())]
        return "\n".join(lines)

    def gathered(self) -> tuple[Detections, Truths]:
        """All detections and objects; their `images` number the pictures in the order in which they came."""
        boxes, scores, labels, truth_boxes, truth_labels, difficult = (
            [np.concatenate(column) for column in zip(*self._images, strict=True)] if self._images else _nothing()
        )
        images = np.repeat(np.arange(len(self._images)), [len(image[1]) for image in self._images])
        truth_images = np.repeat(np.arange(len(self._images)), [len(image[4]) for image in self._images])
        return Detections(boxes, scores, labels, images), Truths(truth_boxes, difficult, truth_labels, truth_images)

    def _curves(self, detections: Detections, truths: Truths) -> dict[str, Curve]:
        thresholds = np.array([self.iou_threshold])
        outcome = match(detections, truths, truths.difficult[None], thresholds, counted_first=False)[0, 0]
        counts = self._counts(truths)
        curves = {}
        for label, name in enumerate(self.class_names):
            counted = (detections.labels == label) & (outcome != IGNORED)
            found, scores = outcome[counted] == FOUND, detections.scores[counted]
            curves[name] = _curve(found, scores, int(counts[label]), self.mode)
        return curves

    def _counts(self, truths: Truths) -> np.ndarray:
        return np.bincount(truths.labels[~truths.difficult], minlength=len(self.class_names))

def _nothing() -> list[np.ndarray]:
    floats, integers = np.zeros(0), np.zeros(0, np.int64)
    return [np.zeros((0, 4)), floats, integers, np.zeros((0, 4)), integers, np.zeros(0, bool)]


def _curve(found: np.ndarray, scores: np.ndarray, count: int, mode: Mode) -> Curve:
    """Outcomes bool [N] and scores [N] of one class with `count` objects."""
    if count == 0:
        return Curve(np.zeros(0), np.zeros(0), np.zeros(0), 0.0)
    order = np.argsort(-scores, kind="stable")
    scores, found = scores[order], found[order]
    hits = found.cumsum()
    precision, recall = hits / np.arange(1, len(hits) + 1), hits / count
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    if mode == "sample":
        at = np.searchsorted(recall, _RECALL)
        area = np.append(envelope, 0.0)[at].mean()
    else:
        area = envelope[found].sum() / count  # recall rises by 1 / count with each object that is found
    return Curve(precision, recall, scores, float(area))


def _row(name: str, quantity: str, value: float) -> str:
    return f"{name:<13} {quantity:<6}{round(value, 5)}"


def _array(values: Any, dtype: torch.dtype) -> np.ndarray:
    array: np.ndarray = torch.as_tensor(values).detach().to("cpu", dtype).numpy()
    return array
