from pathlib import Path

import numpy as np
import pytest
import torch

from tltpy.metrics.average_precision import AveragePrecision, Mode

MODES: tuple[Mode, Mode] = ("sample", "integrate")
NAMES = ["car", "cyclist", "pedestrian"]
Image = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def made_images(count: int, seed: int = 0, classes: int = 3) -> list[Image]:
    """Crowded images: several detections compete for each object, a tenth of the objects are difficult."""
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(count):
        objects, detections = int(rng.integers(0, 9)), int(rng.integers(0, 25))
        low = rng.random((objects, 2)) * [60, 25]
        truth = np.concatenate([low, low + 5 + rng.random((objects, 2)) * 30], axis=1)
        truth_labels = rng.integers(0, classes, objects)
        copied = rng.integers(0, max(objects, 1), detections if objects else 0)
        boxes, labels = truth[copied] + rng.normal(0, 2, (len(copied), 4)), truth_labels[copied]
        images.append((boxes, rng.random(len(copied)), labels, truth, truth_labels, rng.random(objects) < 0.1))
    return images


def measured(images: list[Image], *, mode: Mode = "sample", iou_threshold: float = 0.5) -> AveragePrecision:
    metric = AveragePrecision(class_names=NAMES, mode=mode, iou_threshold=iou_threshold)
    for image in images:
        metric.update(*image)
    return metric


def slow_average_precision(images: list[Image], label: int, iou_threshold: float, mode: Mode) -> float:
    """The rule word by word, with no array: written apart from the module, to compare."""

    def iou(a: list[float], b: list[float]) -> float:
        wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
        if wide <= 0 or high <= 0:
            return 0.0
        union = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)) - wide * high
        return wide * high / union

    outcomes, count = [], 0
    for boxes, scores, labels, truth, truth_labels, difficult in images:
        free = [i for i in range(len(truth)) if truth_labels[i] == label]
        count += sum(1 for i in free if not difficult[i])
        mine = [i for i in range(len(boxes)) if labels[i] == label]
        for i in sorted(mine, key=lambda i: -scores[i]):
            best = max(free, key=lambda j: iou(boxes[i].tolist(), truth[j].tolist()), default=None)
            if best is None or iou(boxes[i].tolist(), truth[best].tolist()) < iou_threshold:
                outcomes.append((scores[i], False))
                continue
            free.remove(best)
            if not difficult[best]:
                outcomes.append((scores[i], True))
    outcomes.sort(key=lambda outcome: -outcome[0])
    points = [
        (sum(hit for _, hit in outcomes[: n + 1]) / count, sum(hit for _, hit in outcomes[: n + 1]) / (n + 1))
        for n in range(len(outcomes))
    ]
    if mode == "sample":
        return sum(max((p for r, p in points if r >= k / 10), default=0) for k in range(11)) / 11
    steps = [(r, max(p for later, p in points if later >= r)) for r in sorted({r for r, _ in points if r > 0})]
    return sum((r - before) * p for (r, p), before in zip(steps, [0, *(r for r, _ in steps)], strict=False))


@pytest.mark.parametrize(
    "folders", [("voc_test_case_1", "gts", "dets"), ("object_detection_metrics", "groundtruths", "detections")]
)
@pytest.mark.parametrize(
    ("iou_threshold", "sample", "integrate"),
    [(0.1, 0.302454, 0.280133), (0.3, 0.268398, 0.225397), (0.5, 0.030303, 0.022222), (0.75, 0, 0)],
)
def test_published_cases(
    shared: Path, folders: tuple[str, str, str], iou_threshold: float, sample: float, integrate: float
) -> None:
    """Expected: data/eval/EXPECTED.md (review_object_detection_metrics; continuous convention)."""
    images = published_images(*(shared / "data/eval" / folders[0] / folder for folder in folders[1:]))
    for mode, expected in zip(MODES, (sample, integrate), strict=True):
        metric = AveragePrecision(class_names=["object"], iou_threshold=iou_threshold, mode=mode)
        for image in images:
            metric.update(*image)
        assert metric.result()["truths"] == {"object": 15}
        assert metric.result()["mAP"] == pytest.approx(expected, abs=1e-6)
        assert slow_average_precision(images, 0, iou_threshold, mode) == pytest.approx(expected, abs=1e-6)


def published_images(truths: Path, detections: Path) -> list[Image]:
    def corners(rows: list[list[str]], at: int) -> np.ndarray:
        xywh = np.array([row[at:] for row in rows], float).reshape(-1, 4)
        return np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)

    images = []
    for path in sorted(truths.glob("*.txt")):
        truth = [line.split() for line in path.read_text().splitlines()]
        found = [line.split() for line in (detections / path.name).read_text().splitlines()]
        scores = np.array([row[1] for row in found], float)
        none = np.zeros(len(truth), int)
        images.append((corners(found, 2), scores, np.zeros(len(found), int), corners(truth, 1), none, none > 0))
    return images


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("iou_threshold", [0.3, 0.5, 0.7])
def test_agrees_with_the_slow_rule(mode: Mode, iou_threshold: float) -> None:
    images = made_images(40, seed=3)
    found = measured(images, mode=mode, iou_threshold=iou_threshold).result()
    for label, name in enumerate(NAMES):
        assert found["AP"][name] == pytest.approx(slow_average_precision(images, label, iou_threshold, mode), abs=1e-12)
    assert found["mAP"] == pytest.approx(sum(found["AP"].values()) / 3) and 0.1 < found["mAP"] < 0.9


@pytest.mark.parametrize("mode", MODES)
def test_truth_as_prediction_is_perfect(mode: Mode) -> None:
    perfect = [
        (truth, np.linspace(1, 0.5, len(truth)), labels, truth, labels, hard)
        for _, _, _, truth, labels, hard in made_images(20, seed=1)
    ]
    metric = measured(perfect, mode=mode)
    metric.coco = True
    result = metric.result()
    assert result["mAP"] == result["coco"]["AP"] == result["coco"]["AR"] == 1
    assert result["AP"] == dict.fromkeys(NAMES, 1.0)
    assert result["truths"] == {
        name: sum(int(((image[4] == i) & ~image[5]).sum()) for image in perfect) for i, name in enumerate(NAMES)
    }


def test_order_of_the_images_does_not_matter() -> None:
    images = made_images(30, seed=4)
    for mode in MODES:
        results = [measured(order, mode=mode).result() for order in (images, images[::-1], images[7:] + images[:7])]
        assert results[0] == results[1] == results[2]


def test_only_the_order_of_the_scores_matters() -> None:
    images = made_images(30, seed=5)
    squashed = [(image[0], np.tanh(3 * image[1]) / 7, *image[2:]) for image in images]
    assert measured(images, mode="integrate").result() == measured(squashed, mode="integrate").result()


def test_merged_processes_equal_a_single_one() -> None:
    images = made_images(15, seed=6)
    parts = [measured(images[:4]), measured([]), measured(images[4:])]
    parts[0].merge([part.state() for part in parts])
    assert parts[0].result() == measured(images).result()
    assert parts[0].table() == measured(images).table()


def single(boxes: list[list[float]], truth: list[list[float]], difficult: list[bool]) -> AveragePrecision:
    """One image, one class; scores fall in the given order."""
    count = len(boxes)
    image = (np.array(boxes), np.linspace(0.9, 0.1, count), np.zeros(count, int), np.array(truth))
    metric = AveragePrecision(class_names=["car"], mode="integrate")
    metric.update(*image, np.zeros(len(truth), int), np.array(difficult))
    return metric


def test_difficult_objects_count_neither_way() -> None:
    easy, hard, nowhere = [0.0, 0, 30, 10], [100.0, 0, 150, 20], [300.0, 0, 310, 50]
    assert single([hard, easy], [easy, hard], [False, True]).result() == {
        "mAP": 1.0,
        "AP": {"car": 1.0},
        "truths": {"car": 1},
    }
    assert single([nowhere, easy], [easy, hard], [False, True]).result()["mAP"] == 0.5
    assert single([easy], [easy, hard], [False, False]).result()["mAP"] == 0.5
    assert single([hard, hard, easy], [easy, hard], [False, True]).result()["mAP"] == 0.5  # it is found once


def test_second_best_free_object_may_be_taken() -> None:
    """The first detection takes the object that the second overlaps most; VOC would call the second wrong."""
    left, right = [0.0, 0, 100, 20], [20.0, 0, 120, 20]
    assert single([left, [4, 0, 104, 20]], [left, right], [False, False]).result()["mAP"] == 1


def test_class_without_objects_contributes_nothing() -> None:
    image = made_images(6, seed=7, classes=2)
    found = measured(image).result()
    assert found["truths"]["pedestrian"] == 0 and found["AP"]["pedestrian"] == 0
    assert found["mAP"] == pytest.approx((found["AP"]["car"] + found["AP"]["cyclist"]) / 3)


def test_nothing_at_all() -> None:
    metric = AveragePrecision(class_names=NAMES, coco=True)
    assert metric.result()["mAP"] == 0 and metric.result()["coco"]["AP"] == -1
    metric.update(*(torch.zeros(0) for _ in range(6)))
    assert metric.result()["mAP"] == 0
    assert metric.curves()["car"].precision.shape == (0,)


def test_tensors_and_arrays_are_alike() -> None:
    images = made_images(5, seed=8)
    tensors = AveragePrecision(class_names=NAMES)
    for image in images:
        tensors.update(*(torch.from_numpy(part).requires_grad_(part.dtype == float) for part in image))
    assert tensors.result() == measured(images).result()


def test_curves_end_at_the_recall_that_is_reached() -> None:
    metric = measured(made_images(20, seed=9), mode="integrate")
    for curve in metric.curves().values():
        assert (np.diff(curve.recall) >= 0).all() and (np.diff(curve.score) <= 0).all()
        assert 0 < curve.recall[-1] < 1 and ((curve.precision >= 0) & (curve.precision <= 1)).all()


def test_table_is_the_published_one() -> None:
    metric = single([[0, 0, 10, 5], [50, 0, 60, 5]], [[0, 0, 10, 5], [20, 0, 30, 5], [40, 0, 45, 5]], [False] * 3)
    assert metric.table().splitlines() == [
        "*******************************",
        "car           AP    0.33333",
        "*******************************",
        "              mAP   0.33333",
    ]
    assert "{:<14}{:<6}{}".format("car", "AP", 0.33333) in metric.table()
    metric.coco = True
    assert [row.split()[1] for row in metric.table().splitlines()[5:]] == [
        "AP",
        "AP50",
        "AP75",
        "APs",
        "APm",
        "APl",
        "AR",
    ]
