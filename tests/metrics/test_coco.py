import contextlib
import io
from typing import Any

import numpy as np
import pytest

from tltpy.metrics.average_precision import AveragePrecision

pytest.importorskip("pycocotools")

CLASSES = 4
KEYS = {"AP": 0, "AP50": 1, "AP75": 2, "APs": 3, "APm": 4, "APl": 5, "AR": 8}


def made_images(count: int, seed: int, *, detections: int, small: bool, difficult: float) -> list[Any]:
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(count):
        objects = int(rng.integers(0, 12))
        low = rng.random((objects, 2)) * [500, 200]
        size = np.exp(rng.uniform(np.log(6), np.log(28 if small else 250), (objects, 2)))
        truth = np.concatenate([low, low + size], axis=1)
        labels = rng.integers(0, CLASSES - 1, objects)  # the last class has no object
        copied = rng.integers(0, objects, detections) if objects else np.zeros(0, int)
        noise = rng.normal(0, 0.08, (len(copied), 4)) * np.tile(size[copied], 2)
        wild = rng.random((5, 2)) * 300
        boxes = np.concatenate([truth[copied] + noise, np.concatenate([wild, wild + [40, 25]], axis=1)])
        found = np.concatenate([labels[copied], rng.integers(0, CLASSES, 5)])
        images.append((boxes, rng.random(len(boxes)), found, truth, labels, rng.random(objects) < difficult))
    return images


def reference(images: list[Any]) -> np.ndarray:
    """The twelve numbers of pycocotools; a difficult object is one that it ignores (which its files cannot express)."""

    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    class Evaluation(COCOeval):
        def _prepare(self) -> None:
            super()._prepare()
            for objects in self._gts.values():
                for item in objects:
                    item["ignore"] = item["difficult"]

    def xywh(box: np.ndarray) -> list[float]:
        return [box[0], box[1], box[2] - box[0], box[3] - box[1]]

    truths: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for image, (boxes, scores, labels, truth, truth_labels, difficult) in enumerate(images):
        for box, label, hard in zip(truth, truth_labels, difficult, strict=True):
            shape = {"bbox": xywh(box), "area": xywh(box)[2] * xywh(box)[3], "difficult": bool(hard)}
            truths.append({"id": len(truths) + 1, "image_id": image, "category_id": int(label), "iscrowd": 0, **shape})
        for box, score, label in zip(boxes, scores, labels, strict=True):
            found.append({"image_id": image, "category_id": int(label), "bbox": xywh(box), "score": float(score)})
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "info": {},
            "images": [{"id": i} for i in range(len(images))],
            "categories": [{"id": i} for i in range(CLASSES)],
            "annotations": truths,
        }
        coco.createIndex()
        evaluation = Evaluation(coco, coco.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    stats: np.ndarray = evaluation.stats
    return stats


@pytest.mark.parametrize(
    ("seed", "detections", "small", "difficult"),
    [(0, 20, False, 0.0), (1, 60, False, 0.2), (2, 15, True, 0.0), (3, 400, False, 0.1)],
)
def test_equals_the_challenge(seed: int, detections: int, small: bool, difficult: float) -> None:
    """Reference: pycocotools, run here."""
    images = made_images(12, seed, detections=detections, small=small, difficult=difficult)
    metric = AveragePrecision(class_names=[f"class {i}" for i in range(CLASSES)], coco=True)
    for image in images:
        metric.update(*image)
    expected, found = reference(images), metric.result()["coco"]
    assert list(found) == list(KEYS)
    for name, position in KEYS.items():
        assert found[name] == pytest.approx(expected[position], abs=1e-9), name
    assert (expected[5] == -1) == small and 0.05 < found["AP"] < 0.9
