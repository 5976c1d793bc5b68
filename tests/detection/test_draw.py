"""Drawings: boxes where they belong, captions inside the picture, the given picture untouched; the chart of curves."""

import cv2
import numpy as np
import pytest

from tltpy.detection.draw import draw
from tltpy.detection.plots import precision_recall_figure
from tltpy.metrics.average_precision import AveragePrecision

NAMES = ("car", "pedestrian", "cyclist")


def grey(height: int = 120, width: int = 200) -> np.ndarray:
    return np.full((height, width, 3), 127, np.uint8)


def boxes(rng: np.random.Generator, count: int, width: int = 200, height: int = 120) -> np.ndarray:
    corner = rng.uniform((0, 0), (width - 30, height - 30), (count, 2))
    return np.concatenate([corner, corner + rng.uniform(10, 30, (count, 2))], axis=1).astype(np.float32)


def test_no_box_changes_nothing() -> None:
    image = grey()
    found = draw(image, np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.float32), NAMES)
    assert np.array_equal(found, image) and found is not image


def test_the_given_picture_stays_as_it_is() -> None:
    image = grey()
    found = draw(image, np.array([[20, 60, 90, 100]], np.float32), np.array([1]), np.array([0.8], np.float32), NAMES)
    assert (image == 127).all() and found.shape == image.shape and (found != 127).any()


def test_the_sides_of_a_box_are_drawn_and_its_inside_is_not() -> None:
    found = draw(grey(), np.array([[40, 70, 150, 110]], np.float32), np.array([0]), np.array([0.8], np.float32), NAMES)
    changed = (found != 127).any(axis=2)
    assert changed[70, 60:140].all() and changed[109:111, 60:140].any(axis=0).all()
    assert changed[80:105, 40].all() and not changed[85:100, 60:140].any()


def test_classes_have_colours_of_their_own() -> None:
    box = np.array([[40, 70, 150, 110]], np.float32)
    sides = [tuple(draw(grey(), box, np.array([label]), None, NAMES)[95, 40]) for label in range(3)]
    assert len(set(sides)) == 3


@pytest.mark.parametrize("count", [1, 12, 80])
def test_any_number_of_boxes_is_drawn_also_beyond_the_border(count: int) -> None:
    rng = np.random.default_rng(count)
    some = boxes(rng, count) + rng.uniform(-40, 40, (count, 1)).astype(np.float32)
    found = draw(grey(), some, rng.integers(0, 3, count), rng.random(count).astype(np.float32), NAMES)
    assert found.shape == (120, 200, 3) and found.dtype == np.uint8


def test_the_chart_is_a_picture_and_needs_no_display() -> None:
    rng = np.random.default_rng(0)
    average = AveragePrecision(class_names=NAMES, mode="integrate")
    for _ in range(4):
        truth = boxes(rng, 5)
        labels = rng.integers(0, 2, 5)
        average.update(truth + 2, rng.random(5), labels, truth, labels, np.zeros(5, bool))
    png = precision_recall_figure(average.curves(), "title")
    decoded = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert decoded.shape == (624, 768, 3) and decoded.std() > 5
