"""Which detection found which object: the greedy assignment under every average precision.

Per image and class the detections choose in the order of their scores; each takes the object that it overlaps most
among those still free. All groups (image and class) choose at the same time: the n-th choice of each is one step.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from tltpy.geometry.boxes import iou_matrix

MISSED, FOUND, IGNORED = 0, 1, 2
"""What a detection did: met no free object, met one, met one that does not count."""

_CELLS = 1 << 21
"""Cells (group, detection, object, lane) that are held at once."""


@dataclass(frozen=True)
class Detections:
    """N detections on many images."""

    boxes_xyxy: np.ndarray  # float64 [N, 4]
    scores: np.ndarray  # float64 [N]
    labels: np.ndarray  # int64 [N]
    images: np.ndarray  # int64 [N]


@dataclass(frozen=True)
class Truths:
    """M objects on many images."""

    boxes_xyxy: np.ndarray  # float64 [M, 4]
    difficult: np.ndarray  # bool [M]
    labels: np.ndarray  # int64 [M]
    images: np.ndarray  # int64 [M]


def match(
    detections: Detections,
    truths: Truths,
    ignored: np.ndarray,
    iou_thresholds: np.ndarray,
    *,
    counted_first: bool,
) -> np.ndarray:
    """The outcome of every detection: int8 [A, T, N].

    `ignored` [A, M] says which objects do not count, in A ways of counting; an overlap of exactly one of the T
    thresholds suffices. Detections with equal scores choose in the given order. With `counted_first` an object that
    counts is preferred to an ignored one that overlaps more.
    """
    outcomes = np.full((len(ignored), len(iou_thresholds), len(detections.scores)), MISSED, np.int8)
    groups, truth_groups = _groups(detections, truths)
    order, truth_order = np.lexsort((-detections.scores, groups)), np.argsort(truth_groups, kind="stable")
    lanes = len(ignored) * len(iou_thresholds)
    for positions, truth_positions in _tables(groups[order], truth_groups[truth_order], lanes):
        chooser, truth = order[positions], truth_order[truth_positions]  # [G, D], [G, M]
        overlap = _overlaps(detections.boxes_xyxy[chooser], truths.boxes_xyxy[truth])  # [G, D, M]
        overlap[(positions < 0)[:, :, None] | (truth_positions < 0)[:, None, :]] = -1
        near = overlap.max(axis=-1) >= iou_thresholds.min()  # the others never find anything
        kept = np.argsort(~near, axis=1, kind="stable")[:, : near.sum(axis=1).max()]  # [G, D']
        near, chooser = np.take_along_axis(near, kept, 1), np.take_along_axis(chooser, kept, 1)
        overlap = np.take_along_axis(overlap, kept[:, :, None], 1)
        outcome = _choose(overlap, ignored[:, truth], iou_thresholds, counted_first)  # [G, D', A, T]
        outcomes[:, :, chooser[near]] = outcome[near].transpose(1, 2, 0)
    return outcomes


def _groups(detections: Detections, truths: Truths) -> tuple[np.ndarray, np.ndarray]:
    """One number for each pair of an image and a class: [N], [M]."""
    classes = 1 + max(detections.labels.max(initial=0), truths.labels.max(initial=0))
    return detections.images * classes + detections.labels, truths.images * classes + truths.labels


def _tables(groups: np.ndarray, truth_groups: np.ndarray, lanes: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Positions of the detections [G, D] and of the objects [G, M] of the groups that have both, padded with -1.

    Both arrays are sorted. Groups of like size come together, in portions that bound the memory.
    """
    names, starts, counts = np.unique(groups, return_index=True, return_counts=True)
    truth_names, truth_starts, truth_counts = np.unique(truth_groups, return_index=True, return_counts=True)
    _, here, there = np.intersect1d(names, truth_names, assume_unique=True, return_indices=True)
    by_size = np.lexsort((counts[here], truth_counts[there]))
    here, there = here[by_size], there[by_size]
    cells = np.maximum.accumulate(counts[here]) * truth_counts[there] * lanes
    begin = 0
    while begin < len(here):
        end = begin + 1
        while end < len(here) and (end - begin + 1) * cells[end] <= _CELLS:
            end += 1
        yield (
            _table(starts[here[begin:end]], counts[here[begin:end]]),
            _table(truth_starts[there[begin:end]], truth_counts[there[begin:end]])[:, ::-1],  # of equals the last one
        )
        begin = end


def _table(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Row g holds starts[g], starts[g] + 1, ... (counts[g] of them), then -1."""
    column = np.arange(counts.max())
    return np.where(column < counts[:, None], starts[:, None] + column, -1)


def _overlaps(boxes_xyxy: np.ndarray, truth_boxes_xyxy: np.ndarray) -> np.ndarray:
    """[G, D, 4], [G, M, 4] -> [G, D, M]."""
    overlap: np.ndarray = iou_matrix(torch.from_numpy(boxes_xyxy), torch.from_numpy(truth_boxes_xyxy)).numpy()
    return overlap


def _choose(overlap: np.ndarray, ignored: np.ndarray, iou_thresholds: np.ndarray, counted_first: bool) -> np.ndarray:
    """Overlaps [G, D, M] in the order of choice, ignored [A, G, M] -> outcomes int8 [G, D, A, T]."""
    groups, choices, objects = overlap.shape
    ignored = ignored.swapaxes(0, 1)[:, :, None, :]  # [G, A, 1, M]
    bonus = np.where(ignored, 0.0, 2.0 if counted_first else 0.0)
    free = np.ones((groups, ignored.shape[1], len(iou_thresholds), objects), bool)
    ignored = np.broadcast_to(ignored, free.shape)
    outcomes = np.empty((groups, choices, *free.shape[1:3]), np.int8)
    for choice in range(choices):
        candidate = overlap[:, choice, None, None, :]  # [G, 1, 1, M]
        open_to = free & (candidate >= iou_thresholds[:, None])  # [G, A, T, M]
        best = np.where(open_to, candidate + bonus, -1).argmax(axis=-1)[..., None]  # [G, A, T, 1]
        met = np.take_along_axis(open_to, best, -1)
        outcome = np.where(met, np.where(np.take_along_axis(ignored, best, -1), IGNORED, FOUND), MISSED)
        outcomes[:, choice] = outcome[..., 0]
        np.put_along_axis(free, best, np.take_along_axis(free, best, -1) & ~met, -1)
    return outcomes
