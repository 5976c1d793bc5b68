"""Target assignment and loss against a slow implementation written from the published formulas, object by object."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tltpy.tasks.yolo.decode import Anchors, grid
from tltpy.tasks.yolo.loss import Weights, assign, yolo_loss

SIZES = [(2, 3), (4, 6), (8, 12)]
ANCHORS = Anchors((((0.6, 0.5), (0.4, 0.7)), ((0.3, 0.2), (0.15, 0.3), (0.2, 0.2)), ((0.06, 0.1),)))
CLASSES = 3
WEIGHTS = Weights(location=0.8, negative=100.0, classes=1.5, neutral_iou=0.5)


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def iou(a: list[float], b: list[float]) -> float:
    """Of (y, x, h, w)."""
    high = [min(a[i] + a[i + 2] / 2, b[i] + b[i + 2] / 2) for i in (0, 1)]
    low = [max(a[i] - a[i + 2] / 2, b[i] - b[i + 2] / 2) for i in (0, 1)]
    shared = max(high[0] - low[0], 0) * max(high[1] - low[1], 0)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def places() -> list[tuple[float, ...]]:
    """Cell, anchor and step of every box, in the published order."""
    found = []
    for (height, width), scale in zip(SIZES, ANCHORS.scales, strict=True):
        for row in range(height):
            for column in range(width):
                found += [(row / height, column / width, h, w, 1 / height, 1 / width) for h, w in scale]
    return found


def slow_assignment(objects: list[list[float]]) -> dict[int, int]:
    flat = [(scale, index, size) for scale, sizes in enumerate(ANCHORS.scales) for index, size in enumerate(sizes)]
    starts = np.cumsum([0] + [h * w * len(s) for (h, w), s in zip(SIZES, ANCHORS.scales, strict=True)])
    owner = {}
    for number, (y, x, h, w) in enumerate(objects):
        overlaps = [min(h, ah) * min(w, aw) / (h * w + ah * aw - min(h, ah) * min(w, aw)) for _, _, (ah, aw) in flat]
        scale, index, _ = flat[int(np.argmax(overlaps))]
        height, width = SIZES[scale]
        row, column = min(int(y * height), height - 1), min(int(x * width), width - 1)
        owner[int(starts[scale]) + (row * width + column) * len(ANCHORS.scales[scale]) + index] = number
    return owner


def slow_loss(raw: np.ndarray, objects: list[list[list[float]]], labels: list[list[int]]) -> dict[str, float]:
    location = positive = classes = background = 0.0
    count = negatives = 0
    spots = places()
    for values, boxes, names in zip(raw.tolist(), objects, labels, strict=True):
        owner = slow_assignment(boxes)
        for n, (cy, cx, ah, aw, sy, sx) in enumerate(spots):
            ty, tx, th, tw, objectness, *logits = values[n]
            if n in owner:
                y, x, h, w = boxes[owner[n]]
                errors = [
                    (y - cy) / sy - sigmoid(ty),
                    (x - cx) / sx - sigmoid(tx),
                    math.log(min(max(h / ah, 0.01), 100)) - th,
                    math.log(min(max(w / aw, 0.01), 100)) - tw,
                ]
                location += 0.5 * sum(error**2 for error in errors) * (2 - h * w)
                positive -= math.log(sigmoid(objectness))
                label = names[owner[n]]
                classes -= sum(math.log(sigmoid(v if c == label else -v)) for c, v in enumerate(logits))
                count += 1
                continue
            box = [cy + sigmoid(ty) * sy, cx + sigmoid(tx) * sx, ah * math.exp(th), aw * math.exp(tw)]
            if max([iou(box, boxes[number]) for number in owner.values()], default=0.0) < WEIGHTS.neutral_iou:
                background -= math.log(1 - sigmoid(objectness))
                negatives += 1
    parts = {
        "location": WEIGHTS.location * location / max(count, 1e-5),
        "objectness": positive / max(count, 1e-5),
        "classes": WEIGHTS.classes * classes / max(count, 1e-5),
        "background": WEIGHTS.negative * background / max(negatives, 1e-5),
    }
    return {"loss": sum(parts.values()), **parts}


def maps(raw: Tensor) -> dict[str, Tensor]:
    """[B, N, 5 + C] in the published order -> the three maps."""
    found, start = {}, 0
    for name, (height, width), scale in zip(("big", "mid", "small"), SIZES, ANCHORS.scales, strict=True):
        count = height * width * len(scale)
        part = raw[:, start : start + count].reshape(len(raw), height, width, -1)
        found[name] = part.permute(0, 3, 1, 2).contiguous()
        start += count
    return found


def case(seed: int, counts: tuple[int, ...]) -> tuple[Tensor, list[Any], list[Any], Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    raw = torch.from_numpy(rng.normal(0, 1.0, (len(counts), len(places()), 5 + CLASSES))).float()
    objects = [rng.uniform([0.02, 0.02, 0.03, 0.03], [0.98, 0.98, 0.8, 0.8], (n, 4)).tolist() for n in counts]
    labels = [rng.integers(0, CLASSES, n).tolist() for n in counts]
    most = max(counts)
    boxes, names = torch.zeros(len(counts), most, 4), torch.full((len(counts), most), -1)
    for i, (some, their) in enumerate(zip(objects, labels, strict=True)):
        boxes[i, : len(some)] = torch.tensor(some).reshape(-1, 4)
        names[i, : len(their)] = torch.tensor(their)
    return raw, objects, labels, boxes, names


@pytest.mark.parametrize("counts", [(4, 7), (1, 0), (30, 2), (0, 0)])
def test_loss_is_the_published_one(counts: tuple[int, ...]) -> None:
    raw, objects, labels, boxes, names = case(sum(counts), counts)
    found = yolo_loss(maps(raw), boxes, names, anchors=ANCHORS, weights=WEIGHTS, mean=lambda value: value)
    expected = slow_loss(raw.numpy(), objects, labels)
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert float(found[name]) == pytest.approx(value, rel=2e-4, abs=1e-6), name


@pytest.mark.parametrize("seed", range(5))
def test_assignment_is_the_published_one(seed: int) -> None:
    _, objects, _, boxes, names = case(seed, (9, 40))
    positions, owners = assign(boxes, names, SIZES, ANCHORS)
    number, most = len(places()), names.shape[1]
    found = dict(zip(positions.tolist(), owners.tolist(), strict=True))
    expected = {
        i * number + place: i * most + owner
        for i, some in enumerate(objects)
        for place, owner in slow_assignment(torch.tensor(some).tolist()).items()
    }
    assert found == expected


def test_a_later_object_of_the_same_cell_and_anchor_wins() -> None:
    boxes = torch.tensor([[[0.5, 0.5, 0.3, 0.2], [0.51, 0.51, 0.3, 0.2]]])
    positions, owners = assign(boxes, torch.tensor([[0, 1]]), SIZES, ANCHORS)
    assert len(positions) == 1 and owners.tolist() == [1]


def test_objects_on_the_far_border_stay_in_the_last_cell() -> None:
    boxes = torch.tensor([[[1.0, 1.0, 0.06, 0.1]]])
    positions, _ = assign(boxes, torch.tensor([[2]]), SIZES, ANCHORS)
    assert positions.tolist() == [len(places()) - 1]


def test_counts_are_averaged_over_the_processes() -> None:
    raw, _, _, boxes, names = case(1, (5, 3))

    def loss_of(part: slice, mean: Any) -> Tensor:
        return yolo_loss(maps(raw[part]), boxes[part], names[part], anchors=ANCHORS, weights=WEIGHTS, mean=mean)["loss"]

    whole = loss_of(slice(None), lambda value: value)
    seen: list[Tensor] = []
    for part in (slice(0, 1), slice(1, 2)):
        loss_of(part, lambda value: seen.append(value) or value)
    average = sum(seen) / 2
    halves = [loss_of(part, lambda value: average) for part in (slice(0, 1), slice(1, 2))]
    assert float(sum(halves) / 2) == pytest.approx(float(whole), rel=1e-5)


def test_grid_has_the_published_order() -> None:
    assert torch.allclose(grid(SIZES, ANCHORS, torch.device("cpu")), torch.tensor(places()))
