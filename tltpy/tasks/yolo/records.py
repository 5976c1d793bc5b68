"""Where yolo's records come from: the spec's TFRecords or label folders, an image or a folder of images, or thin
air."""

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tltpy.data import images
from tltpy.data.cache import PixelCache, memory_bytes
from tltpy.detection import dataset, find
from tltpy.detection.records import DetectionRecord, make_record
from tltpy.tasks.yolo.settings import settings

RECENT = 2**28  # bytes


class CachedRecords(Sequence[DetectionRecord]):
    """Records whose pixels stay in memory once they were opened, as far as the budget goes."""

    def __init__(self, records: dataset.Dataset, budget_bytes: int, *, deep: bool, evict: bool = False) -> None:
        self.records = records
        self.warnings = records.warnings
        self._budget, self._deep = budget_bytes, deep
        self._cache = PixelCache(budget_bytes, images.read_deep if deep else images.read, evict=evict)

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        record = self.records[index]
        return replace(record, pixels=self._cache.get(record.image_path))

    def weights(self) -> np.ndarray | None:
        return self.records.weights()

    def __reduce__(self) -> Any:
        # a worker process starts with an empty cache of its own, and the workers share the budget
        share = self._budget // max((os.cpu_count() or 1) - 1, 1)
        return partial(CachedRecords, deep=self._deep), (self.records, share)


def read(cfg: Any, source: str | Path) -> dataset.Dataset | CachedRecords:
    """ "training" or "validation" of the spec, else the images at a path."""
    deep = settings(cfg).deep
    if source not in ("training", "validation"):
        found = find.find(Path(source))
        pictures = dataset.Dataset(found, parts=[dataset.Part(str(source), 0, len(found), 1.0)])
        # drawn on soon after it went through the network
        return CachedRecords(pictures, RECENT, deep=deep, evict=True)
    records = dataset.read(cfg.dataset_config, str(source))
    if source == "validation":
        return CachedRecords(records, 0, deep=deep) if deep else records
    return CachedRecords(records, int(cfg.training_config.image_cache_share * memory_bytes()), deep=deep)


def example(cfg: Any, rng: np.random.Generator) -> DetectionRecord:
    """A made-up picture, wider than the network's input, with a filled rectangle for each of a few objects."""
    plan = settings(cfg)
    height, width = plan.input_hw[0] + 24, 2 * plan.input_hw[1]
    coarse = rng.integers(60, 120, (height // 8 + 1, width // 8 + 1, 3)).astype(np.uint8)
    image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    count = int(rng.integers(2, 5))
    labels = rng.integers(0, len(plan.classes), count)
    # one object in each vertical strip, lest two share a cell
    strip = width / count
    sizes = rng.uniform(0.25, 0.6, (count, 2)) * (strip, height)
    left = (np.arange(count) + rng.uniform(0.1, 0.3, count)) * strip
    top = rng.uniform(0.1, 0.3, count) * height
    boxes = np.stack([left, top, left + sizes[:, 0], top + sizes[:, 1]], axis=1).round().astype(np.float32)
    for (x1, y1, x2, y2), label in zip(boxes.astype(int).tolist(), labels.tolist(), strict=True):
        cv2.rectangle(image, (x1, y1), (x2 - 1, y2 - 1), (40 + 60 * label % 200, 200 - 50 * label % 150, 230), -1)
    keys = {number: key for key, number in sorted(plan.class_ids.items(), reverse=True)}
    names = [keys[label] for label in labels.tolist()]
    if plan.deep:
        image = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[..., None].astype(np.uint16) * images.DEEPER
    return make_record(id="made/000000", size_hw=(height, width), class_names=names, boxes_xyxy=boxes, pixels=image)
