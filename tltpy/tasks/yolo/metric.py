"""Average precision of the task's predictions, on the pictures as stored; and which picture each of them was."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tltpy.metrics.average_precision import AveragePrecision
from tltpy.report.picture import Picture
from tltpy.spec.detection_pb2 import EvalConfig
from tltpy.tasks.contract import Seen
from tltpy.tasks.yolo import pictures
from tltpy.tasks.yolo.decode import Detections
from tltpy.tasks.yolo.settings import settings


class DetectionMetric:
    """The contract's Metric."""

    headline = "mAP"
    higher_is_better = True

    def __init__(self, cfg: Any) -> None:
        section = cfg.eval_config
        mode = EvalConfig.AveragePrecisionMode.Name(section.average_precision_mode).lower()
        self.plan = settings(cfg)
        self.asked: bool = section.visualize_pr_curve
        self.average = AveragePrecision(
            class_names=self.plan.classes, iou_threshold=section.matching_iou_threshold, mode=mode
        )
        self.indices: list[int] = []  # of the records, picture by picture

    def update(self, predictions: Sequence[Detections], batch: dict[str, Any]) -> None:
        for found, truth in zip(predictions, batch["truth"], strict=True):
            self.average.update(
                found.boxes_xyxy, found.scores, found.labels, truth.boxes_xyxy, truth.labels, truth.difficult
            )
        start = len(self.indices)
        self.indices += batch.get("index", range(start, start + len(predictions)))

    def result(self, detail: bool = False) -> dict[str, Any]:
        self.average.coco = detail
        return self.average.result()

    def table(self, detail: bool = False) -> str:
        self.average.coco = detail
        return self.average.table()

    def pictures(self, seen: Seen) -> list[Picture]:
        found = pictures.of_predictions(
            self.average, self.indices, seen.validation, self.plan.classes, asked=self.asked
        )
        found = [replace(one, about="predictions") for one in found]
        data = []
        if seen.training is not None:
            data += pictures.of_data({"training": seen.training, "validation": seen.validation}, self.plan)
        if seen.batch is not None:
            data.append(pictures.of_batch(seen.batch, self.plan))
        return found + [replace(one, about="data") for one in data]

    def state(self) -> list[Any]:
        return [self.indices, self.average.state()]

    def merge(self, states: Any) -> None:
        states = list(states)
        self.indices = [index for indices, _ in states for index in indices]
        self.average.merge(images for _, images in states)
