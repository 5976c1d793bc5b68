"""What each detection met: a case by hand, and what must hold for any."""

import numpy as np
import pytest

from tltpy.metrics.confusion import NOTHING, Verdict, confusion, errors, judge
from tltpy.metrics.matching import Detections, Truths


def detections(*rows: tuple[int, int, float, float]) -> Detections:
    """(picture, label, score, x): boxes 10 wide and 20 high at x."""
    images, labels, scores, x = (np.array(column) for column in zip(*rows, strict=True)) if rows else np.zeros((4, 0))
    return Detections(boxes(x), scores.astype(float), labels.astype(np.int64), images.astype(np.int64))


def truths(*rows: tuple[int, int, float, bool]) -> Truths:
    images, labels, x, difficult = (
        (np.array(column) for column in zip(*rows, strict=True)) if rows else np.zeros((4, 0))
    )
    return Truths(boxes(x), difficult.astype(bool), labels.astype(np.int64), images.astype(np.int64))


def boxes(x: np.ndarray) -> np.ndarray:
    x = x.astype(float)
    return np.stack([x, 0 * x, x + 10, 0 * x + 20], axis=1)


def test_by_hand() -> None:
    there = truths((0, 0, 0, False), (0, 1, 100, False), (0, 1, 200, True), (3, 0, 0, False), (3, 2, 50, False))
    found = detections(
        (0, 0, 0.9, 1),  # the first object, named rightly
        (0, 0, 0.8, 0),  # the same again: nothing is left for it
        (0, 2, 0.7, 101),  # the second object under another name
        (0, 1, 0.6, 200),  # the difficult one: does not count
        (1, 1, 0.5, 0),  # in a picture without objects
        (3, 0, 0.2, 0),  # would be right, but scores too little
        (3, 2, 0.4, 56),  # overlaps by 4 / 16 only
    )
    verdict = judge(found, there, iou_threshold=0.5, score_threshold=0.3)
    wanted = [
        [1, 0, 0, 1],
        [0, 0, 1, 0],
        [0, 0, 0, 1],
        [1, 1, 1, 0],
    ]
    assert confusion(verdict, 3).tolist() == wanted
    assert errors(verdict, 4).tolist() == [2, 1, 0, 3]
    assert verdict.met.tolist() == [0, NOTHING, 1, 2, NOTHING, NOTHING]


def test_the_better_score_chooses_first_and_takes_what_it_overlaps_most() -> None:
    there = truths((0, 0, 0, False), (0, 0, 4, False))
    verdict = judge(detections((0, 0, 0.5, 3), (0, 0, 0.9, 3)), there, iou_threshold=0.3, score_threshold=0)
    assert verdict.met.tolist() == [0, 1]


def test_nothing_at_all() -> None:
    verdict = judge(detections(), truths(), iou_threshold=0.5, score_threshold=0.3)
    assert not confusion(verdict, 2).any() and errors(verdict, 3).tolist() == [0, 0, 0]
    only = judge(detections(), truths((1, 1, 0, False)), iou_threshold=0.5, score_threshold=0.3)
    assert confusion(only, 2)[1].tolist() == [0, 0, 1] and errors(only, 3).tolist() == [0, 1, 0]


def random_case(seed: int) -> tuple[Detections, Truths]:
    rng = np.random.default_rng(seed)
    count, objects = int(rng.integers(0, 60)), int(rng.integers(0, 40))
    found = [
        (int(i), int(c), float(s), float(x))
        for i, c, s, x in zip(
            rng.integers(0, 5, count),
            rng.integers(0, 3, count),
            rng.random(count),
            rng.uniform(0, 40, count),
            strict=True,
        )
    ]
    there = [
        (int(i), int(c), float(x), bool(d))
        for i, c, x, d in zip(
            rng.integers(1, 7, objects), rng.integers(0, 3, objects), rng.uniform(0, 40, objects),
            rng.random(objects) < 0.2, strict=True,
        )
    ]  # fmt: skip
    return detections(*found), truths(*there)


def greedy(found: Detections, there: Truths, iou: float, score: float) -> list[int]:
    """The rule, read aloud: one detection after the other."""
    met, free = {}, set(range(len(there.labels)))
    for i in sorted(range(len(found.scores)), key=lambda i: -found.scores[i]):
        if found.scores[i] < score:
            continue
        here = [j for j in sorted(free) if there.images[j] == found.images[i]]
        shared = {j: max(0.0, 10 - abs(found.boxes_xyxy[i, 0] - there.boxes_xyxy[j, 0])) for j in here}
        near = [j for j in here if shared[j] / (20 - shared[j]) >= iou]
        chosen = max(near, key=lambda j: shared[j], default=NOTHING)
        met[i] = chosen
        free.discard(chosen)
    return [met[i] for i in sorted(met)]


@pytest.mark.parametrize("seed", range(12))
def test_what_holds_for_any(seed: int) -> None:
    found, there = random_case(seed)
    verdict = judge(found, there, iou_threshold=0.4, score_threshold=0.25)
    matrix = confusion(verdict, 3)
    assert verdict.met.tolist() == greedy(found, there, 0.4, 0.25)
    counted = np.bincount(there.labels[~there.difficult], minlength=3)
    assert matrix[:3].sum(axis=1).tolist() == counted.tolist(), "a row sums to its objects"
    on_difficult = int((verdict.met != NOTHING).sum() - verdict.counted.sum())
    assert matrix[:, :3].sum() == (found.scores >= 0.25).sum() - on_difficult, "a column sums to its detections"
    assert matrix[3, 3] == 0 and (matrix >= 0).all()
    off = matrix.sum() - np.trace(matrix)
    assert errors(verdict, 7).sum() == off, "everything beside the diagonal is an error of some picture"


def test_the_order_of_the_pictures_changes_nothing() -> None:
    found, there = random_case(3)
    turned = Detections(found.boxes_xyxy, found.scores, found.labels, 6 - found.images)
    other = Truths(there.boxes_xyxy, there.difficult, there.labels, 6 - there.images)
    first, second = (judge(*pair, iou_threshold=0.5, score_threshold=0.1) for pair in ((found, there), (turned, other)))
    assert isinstance(first, Verdict) and (confusion(first, 3) == confusion(second, 3)).all()
    assert errors(first, 7).tolist() == errors(second, 7).tolist()[::-1]
