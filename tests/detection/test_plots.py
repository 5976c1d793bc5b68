"""Charts and photographs of detection: they show what the numbers say."""

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import pytest

from tltpy.detection import album, plots
from tltpy.metrics.average_precision import AveragePrecision
from tltpy.report import figure as figures


@dataclass(frozen=True)
class Points:
    precision: np.ndarray
    recall: np.ndarray
    average_precision: float


def curve(*points: tuple[float, float], average: float = 0.5) -> Points:
    recall, precision = np.array(points).reshape(-1, 2).T
    return Points(precision, recall, average)


@pytest.fixture
def axes(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The axes of the charts that are drawn meanwhile."""
    made: list[Any] = []

    def watched(figure: Any, **words: str) -> Any:
        made.extend(figure.axes)
        return figures.render(figure, **words)

    monkeypatch.setattr(plots, "render", watched)
    return made


def pixels(data: bytes) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return np.asarray(image)


def names_in(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_one_line_a_class_with_its_average_precision(axes: list[Any]) -> None:
    car, van = curve((0.2, 1.0), (0.7, 0.8), average=0.6543), curve((0.5, 0.5), average=0.125)
    shown = plots.precision_recall({"car": car, "van": van}, 0.5)
    (one,) = axes
    assert one.get_xlabel() == "recall" and one.get_ylabel() == "precision"
    assert one.get_xlim() == (0, 1) and one.get_ylim() == (0, 1)
    for line, expected in zip(one.lines, (car, van), strict=True):
        assert np.array_equal(line.get_xdata(), expected.recall)
        assert np.array_equal(line.get_ydata(), expected.precision)
    assert names_in(one) == ["car  AP 0.654", "van  AP 0.125"]
    assert "IoU 0.5" in shown.caption and "car 0.654" in shown.alt
    assert pixels(shown.data).shape[0] > 400


def test_curves_of_the_metric_are_drawn() -> None:
    rng = np.random.default_rng(0)
    average = AveragePrecision(class_names=["car", "van", "tram"], mode="integrate")
    for _ in range(4):
        corners = rng.uniform((0, 0), (170, 90), (5, 2))
        truth, labels = np.hstack([corners, corners + rng.uniform(10, 30, (5, 2))]), rng.integers(0, 2, 5)
        average.update(truth + 2, rng.random(5), labels, truth, labels, np.zeros(5, bool))
    assert pixels(plots.precision_recall(average.curves(), 0.5).data).std() > 5


def test_of_many_classes_the_weakest_are_named(axes: list[Any]) -> None:
    shown = plots.precision_recall({f"class {i}": curve((0.1, 0.5), average=1 - i / 50) for i in range(45)}, 0.5)
    (one,) = axes
    assert len(one.lines) == 45
    assert names_in(one) == [f"class {i}  AP {1 - i / 50:.3f}" for i in range(37, 45)]
    assert "8 weakest of 45" in shown.caption and len(shown.svg) < 100_000


def test_long_curves_are_thinned_but_keep_their_ends(axes: list[Any]) -> None:
    steps = np.linspace(0, 1, 50_000)
    plots.precision_recall({"car": Points(1 - steps, steps, 0.5)}, 0.5)
    drawn = axes[0].lines[0].get_xdata()
    assert len(drawn) < 500 and drawn[0] == 0 and drawn[-1] == 1


def test_classes_without_a_line_and_no_classes(axes: list[Any]) -> None:
    plots.precision_recall({"car": curve(average=0.0), "_van": curve((0.3, 1.0))}, 0.5)
    assert names_in(axes[0]) == ["car  AP 0.000", "van  AP 0.500"]
    plots.precision_recall({}, 0.5)


def test_the_confusion_matrix_counts_and_tells(axes: list[Any]) -> None:
    counts = np.array([[5, 1, 2], [0, 7, 0], [3, 4, 0]])
    shown = plots.confusion_matrix(counts, ["car", "van"], 0.5, 0.3)
    assert "12 of 15 objects found" in shown.alt and "2 missed" in shown.alt and "7 false" in shown.alt
    written = [text.get_text() for text in axes[0].texts]
    assert sorted(written) == sorted(["5", "1", "2", "0", "7", "0", "3", "4"]), "all but background as background"
    assert [text.get_text() for text in axes[0].get_yticklabels()] == ["car", "van", "background"]
    assert counts[2, 2] == 0, "what was given is left alone"


def test_the_histogram_sorts_by_frequency(axes: list[Any]) -> None:
    shown = plots.label_histogram({"training": {"a": 3, "b": 9}, "validation": {"b": 1, "a": 0}})
    assert [text.get_text() for text in axes[0].get_yticklabels()] == ["b", "a"]
    assert [patch.get_width() for patch in axes[0].patches] == [9, 3, 1, 0]
    assert "training: b 9, a 3" in shown.alt
    many = plots.label_histogram({"training": {f"c{i}": i for i in range(80)}})
    assert "16 most frequent of 80" in many.caption


def test_boxes_and_anchors_in_pixels(axes: list[Any]) -> None:
    sizes, labels = np.array([[10.0, 20.0], [30.0, 40.0], [50.0, 60.0]]), np.array([0, 1, 0])
    plots.box_sizes(sizes, labels, ["car", "van"], {"big": np.array([[90.0, 80.0]])})
    clouds = [line.get_xydata().tolist() for line in axes[0].lines]
    assert clouds == [[[10, 20], [50, 60]], [[30, 40]], [[90, 80]]]
    assert names_in(axes[0]) == ["car", "van", "big anchors"]
    few = plots.box_sizes(np.full((5000, 2), 9.0), np.zeros(5000, int), ["car"], {})
    assert "one in 8 of 5,000" in few.caption and len(few.svg) < 200_000
    plots.box_sizes(np.zeros((0, 2)), np.zeros(0, int), ["car"], {})


def test_the_mosaic_holds_every_picture_once() -> None:
    shades = [40, 90, 140, 190, 240]
    pictures = [np.full((60, 110, 3), shade, np.uint8) for shade in shades]
    nothing = [np.zeros((0, 4))] * 5
    shown = album.mosaic(pictures, nothing, [np.zeros(0, int)] * 5, ["car"])
    image = pixels(shown.data)
    tile = round(60 * 360 / 110)
    columns = round(image.shape[1] / 364)
    for number, shade in enumerate(shades):
        y, x = (number // columns) * (tile + 4) + tile // 2, (number % columns) * 364 + 180
        assert abs(int(image[y, x, 0]) - shade) < 6
    assert "110 x 60" in shown.caption and "5 augmented" in shown.alt
    boxed = album.mosaic(pictures, [np.array([[10, 10, 50, 40.0]])] * 5, [np.array([0])] * 5, ["car"])
    assert np.abs(pixels(boxed.data).astype(int) - image).max() > 80 and "5 boxes" in boxed.alt


NOTHING = album.Errors(
    missed_xyxy=np.zeros((0, 4)), missed_labels=np.zeros(0, int), wrong_xyxy=np.zeros((0, 4)),
    wrong_scores=np.zeros(0), wrong_labels=np.zeros(0, int), wrong_truths=np.zeros(0, int), right_xyxy=np.zeros((0, 4)),
)  # fmt: skip


def test_mistakes_are_drawn_where_they_are() -> None:
    picture = np.full((150, 280, 3), 90, np.uint8)
    clean = pixels(album.mistakes(picture, NOTHING, ["car", "van"], rank=1, title="t").data)
    assert clean.shape[:2] == (300, 560) and clean.std() < 2
    box = np.array([[70, 40, 130, 90.0]])
    missed = replace(NOTHING, missed_xyxy=box, missed_labels=np.array([1]))
    wrong = replace(
        NOTHING, wrong_xyxy=box, wrong_scores=np.array([0.87]), wrong_labels=np.array([0]), wrong_truths=np.array([1])
    )
    shown = [album.mistakes(picture, one, ["car", "van"], rank=2, title="t") for one in (missed, wrong)]
    assert [one.caption for one in shown] == ["1 missed, 0 false, 0 right", "0 missed, 1 false, 0 right"]
    left = [
        pixels(one.data)[100:160, 139:142].mean(axis=(1, 2)) for one in shown
    ]  # along the left edge, enlarged twice
    assert left[1].std() < 12 < 25 < left[0].std(), "broken where it was missed, whole where it is wrong"
    assert shown[0].name == "worst_02"
