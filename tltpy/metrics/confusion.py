"""What every detection met, whatever its class: the confusion matrix, and the errors of each picture.

Other than under an average precision, an object that is found but called by another name is one error, not two.
Detections above a score choose by falling score; each takes the object that it overlaps most among those still free,
of any class. Detections that take a difficult object and difficult objects that nobody takes count in no way.
"""

from dataclasses import dataclass

import numpy as np
import torch

from tltpy.geometry.boxes import iou_matrix
from tltpy.metrics.matching import Detections, Truths

NOTHING = -1


@dataclass(frozen=True)
class Verdict:
    """`met` int64 [N]: the object that each detection took, NOTHING where none; `taken` bool [M]."""

    detections: Detections
    truths: Truths
    met: np.ndarray

    @property
    def taken(self) -> np.ndarray:
        found = np.zeros(len(self.truths.labels), bool)
        found[self.met[self.met != NOTHING]] = True
        return found

    @property
    def missed(self) -> np.ndarray:
        """bool [M]: objects that count and that no detection took."""
        return np.asarray(~self.taken & ~self.truths.difficult)

    @property
    def false(self) -> np.ndarray:
        """bool [N]: detections of nothing."""
        return np.asarray(self.met == NOTHING)

    @property
    def counted(self) -> np.ndarray:
        """bool [N]: detections that took an object that counts."""
        difficult = np.append(self.truths.difficult, True)  # [M + 1]: NOTHING is the last
        return np.asarray(~difficult[self.met])

    @property
    def confused(self) -> np.ndarray:
        """bool [N]: detections that took an object of another class, one that counts."""
        labels = np.append(self.truths.labels, NOTHING)
        return np.asarray(self.counted & (labels[self.met] != self.detections.labels))


def judge(detections: Detections, truths: Truths, *, iou_threshold: float, score_threshold: float) -> Verdict:
    """The verdict on the detections that score `score_threshold` or more."""
    kept = detections.scores >= score_threshold
    chosen = Detections(
        detections.boxes_xyxy[kept], detections.scores[kept], detections.labels[kept], detections.images[kept]
    )
    return Verdict(chosen, truths, _meet(*_pairs(chosen, truths, iou_threshold), len(chosen.scores), truths))


def confusion(verdict: Verdict, classes: int) -> np.ndarray:
    """int64 [C + 1, C + 1]: row = class of the object, column = class of the detection; C is the background.

    The row of a class sums to its objects that count; what was missed stands in the last column, false detections in
    the last row.
    """
    matrix = np.zeros((classes + 1, classes + 1), np.int64)
    labels, counted = verdict.detections.labels, verdict.counted
    np.add.at(matrix, (verdict.truths.labels[verdict.met[counted]], labels[counted]), 1)
    np.add.at(matrix, (verdict.truths.labels[verdict.missed], classes), 1)
    np.add.at(matrix, (classes, labels[verdict.false]), 1)
    return matrix


def errors(verdict: Verdict, images: int) -> np.ndarray:
    """int64 [I]: missed objects, detections of nothing and wrong classes of each picture, together."""
    wrong = verdict.false | verdict.confused
    count: np.ndarray = np.bincount(verdict.truths.images[verdict.missed], minlength=images)
    return count + np.bincount(verdict.detections.images[wrong], minlength=images)


def _pairs(detections: Detections, truths: Truths, iou_threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Detection [P] and object [P] of all that lie in one picture and overlap enough, in the order of choice."""
    order, truth_order = np.argsort(detections.images, kind="stable"), np.argsort(truths.images, kind="stable")
    shared = np.intersect1d(detections.images, truths.images)
    found = []
    for begin, end, truth_begin, truth_end in zip(
        *(np.searchsorted(detections.images[order], shared, side) for side in ("left", "right")),
        *(np.searchsorted(truths.images[truth_order], shared, side) for side in ("left", "right")),
        strict=True,
    ):
        here, there = order[begin:end], truth_order[truth_begin:truth_end]
        overlap = iou_matrix(
            torch.from_numpy(detections.boxes_xyxy[here]), torch.from_numpy(truths.boxes_xyxy[there])
        ).numpy()
        rows, columns = np.nonzero(overlap >= iou_threshold)
        found.append((here[rows], there[columns], overlap[rows, columns]))
    if not found:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    choosers, objects, overlaps = (np.concatenate(column) for column in zip(*found, strict=True))
    by_choice = np.lexsort((-overlaps, choosers, -detections.scores[choosers]))
    return choosers[by_choice], objects[by_choice]


def _meet(choosers: np.ndarray, objects: np.ndarray, count: int, truths: Truths) -> np.ndarray:
    """The greedy choice down the list of pairs: in each round all pairs that are first for both sides are made."""
    met = np.full(count, NOTHING)
    while len(choosers):
        first = np.zeros(len(choosers), np.int64)
        for side in (choosers, objects):
            first[np.unique(side, return_index=True)[1]] += 1
        made = first == 2
        met[choosers[made]] = objects[made]
        gone = np.zeros(len(truths.labels), bool)
        gone[objects[made]] = True
        left = (met[choosers] == NOTHING) & ~gone[objects]
        choosers, objects = choosers[left], objects[left]
    return met
