"""Precision over recall: the picture shows what the curves say, and leaves no state behind."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pytest

from tltpy.detection.plots import precision_recall_figure
from tltpy.metrics.average_precision import AveragePrecision


@dataclass(frozen=True)
class Points:
    precision: np.ndarray
    recall: np.ndarray
    average_precision: float


def curve(*points: tuple[float, float], average: float = 0.5) -> Points:
    recall, precision = np.array(points).reshape(-1, 2).T
    return Points(precision, recall, average)


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The figures that are made meanwhile."""
    from matplotlib import figure

    made: list[Any] = []

    class Watched(figure.Figure):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            made.append(self)

    monkeypatch.setattr(figure, "Figure", Watched)
    yield made


def pixels(png: bytes) -> np.ndarray:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return np.asarray(image)


def test_one_line_a_class_with_its_average_precision(figures: list[Any]) -> None:
    car, van = curve((0.2, 1.0), (0.7, 0.8), average=0.6543), curve((0.5, 0.5), average=0.125)
    image = pixels(precision_recall_figure({"car": car, "van": van}, "a title"))
    assert image.shape[0] > 400 and image.shape[1] > image.shape[0]
    (figure,) = figures
    (axes,) = figure.axes
    assert axes.get_title() == "a title" and axes.get_xlabel() == "recall" and axes.get_ylabel() == "precision"
    for line, expected in zip(axes.lines, (car, van), strict=True):
        assert np.array_equal(line.get_xdata(), expected.recall)
        assert np.array_equal(line.get_ydata(), expected.precision)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["car  AP 0.654", "van  AP 0.125"]


def test_curves_of_the_metric_are_drawn() -> None:
    rng = np.random.default_rng(0)
    average = AveragePrecision(class_names=["car", "van", "tram"], mode="integrate")
    for _ in range(4):
        corners = rng.uniform((0, 0), (170, 90), (5, 2))
        truth, labels = np.hstack([corners, corners + rng.uniform(10, 30, (5, 2))]), rng.integers(0, 2, 5)
        average.update(truth + 2, rng.random(5), labels, truth, labels, np.zeros(5, bool))
    assert pixels(precision_recall_figure(average.curves(), "title")).std() > 5


def test_axes_from_0_to_1(figures: list[Any]) -> None:
    precision_recall_figure({"car": curve((0.4, 0.5), (0.45, 0.52))}, "")
    (axes,) = figures[0].axes
    assert axes.get_xlim() == (0, 1)
    assert axes.get_ylim()[0] == 0 and 1 <= axes.get_ylim()[1] < 1.05


def test_many_classes_all_differ(figures: list[Any]) -> None:
    precision_recall_figure({f"class {i}": curve((0.1, i / 50)) for i in range(45)}, "")
    (axes,) = figures[0].axes
    assert len({(line.get_color(), line.get_linestyle()) for line in axes.lines}) == 45
    legend = axes.get_legend()
    assert len(legend.get_texts()) == 45
    box = legend.get_window_extent()
    assert box.y0 >= 0 and box.x1 <= figures[0].bbox.x1, "the legend is in the picture"


def test_classes_without_a_line_stand_in_the_legend(figures: list[Any]) -> None:
    pixels(precision_recall_figure({"car": curve(average=0.0), "_van": curve((0.3, 1.0))}, ""))
    texts = [text.get_text() for text in figures[0].axes[0].get_legend().get_texts()]
    assert texts == ["car  AP 0.000", "van  AP 0.500"]


def test_no_classes() -> None:
    pixels(precision_recall_figure({}, "nothing"))


def test_pyplot_is_not_touched() -> None:
    before = "matplotlib.pyplot" in sys.modules
    precision_recall_figure({"car": curve((0.3, 1.0))}, "")
    assert ("matplotlib.pyplot" in sys.modules) == before
