"""k-means of boxes: a fixed point of assignment and median, checked one by one; the sizes that the network sees."""

import io
import math

import cv2
import numpy as np
import pytest

from tltpy.detection.anchor_plot import figure
from tltpy.detection.anchors import View, cluster, iou

CENTRES = np.array([[10, 12], [22, 60], [60, 20], [90, 95], [40, 200], [300, 150]], np.float64)


def clouds(count: int = 41, seed: int = 0) -> np.ndarray:
    """[6 * count, 2]: boxes close to one of six sizes, shuffled."""
    rng = np.random.default_rng(seed)
    sizes: np.ndarray = (CENTRES[:, None] * rng.uniform(0.9, 1.1, (len(CENTRES), count, 2))).reshape(-1, 2)
    return rng.permutation(sizes)


def overlap(a: list[float], b: list[float]) -> float:
    shared = min(a[0], b[0]) * min(a[1], b[1])
    return shared / (a[0] * a[1] + b[0] * b[1] - shared)


def test_overlap_is_that_of_boxes_on_one_centre() -> None:
    sizes, shapes = clouds(3), CENTRES
    wanted = [[overlap(box, shape) for shape in shapes.tolist()] for box in sizes.tolist()]
    assert np.allclose(iou(sizes, shapes), wanted)


@pytest.mark.parametrize("seed", range(4))
def test_separate_clouds_are_found_by_their_medians(seed: int) -> None:
    sizes = clouds()
    found = cluster(sizes, 6, seed=seed, max_steps=100)
    truth = np.array([[overlap(box, shape) for shape in CENTRES.tolist()] for box in sizes.tolist()]).argmax(axis=1)
    medians = np.array([np.median(sizes[truth == number], axis=0) for number in range(6)])
    assert np.array_equal(found.shapes_wh, medians[np.argsort(medians.prod(axis=1))])
    assert found.at_rest and found.steps < 20


def test_the_end_is_a_fixed_point_of_assignment_and_median() -> None:
    sizes = np.exp(np.random.default_rng(5).normal((4, 3.5), (0.8, 0.9), (700, 2)))
    found = cluster(sizes, 9, seed=1, max_steps=1000)
    assert found.at_rest
    shapes = found.shapes_wh.tolist()
    best = [max(range(9), key=lambda number: overlap(box, shapes[number])) for box in sizes.tolist()]
    assert found.nearest.tolist() == best
    for number, shape in enumerate(shapes):
        assert np.median(sizes[found.nearest == number], axis=0).tolist() == shape
    mean = math.fsum(overlap(box, shapes[own]) for box, own in zip(sizes.tolist(), best, strict=True)) / len(sizes)
    assert found.mean_iou == pytest.approx(mean)
    areas = [width * height for width, height in shapes]
    assert areas == sorted(areas)


def test_seeds_and_scale() -> None:
    sizes = np.exp(np.random.default_rng(5).normal((4, 3.5), (0.8, 0.9), (300, 2)))
    first = cluster(sizes, 9, seed=1, max_steps=1000)
    assert np.array_equal(first.shapes_wh, cluster(sizes, 9, seed=1, max_steps=1000).shapes_wh)
    assert not np.array_equal(first.shapes_wh, cluster(sizes, 9, seed=2, max_steps=1000).shapes_wh)
    assert np.allclose(cluster(4 * sizes, 9, seed=1, max_steps=1000).shapes_wh, 4 * first.shapes_wh)
    assert not cluster(sizes, 9, seed=1, max_steps=1).at_rest


def test_equal_boxes_do_not_hinder() -> None:
    sizes = np.repeat([[10.0, 20], [30, 10], [50, 60]], [50, 2, 1], axis=0)
    found = cluster(sizes, 3, seed=0, max_steps=100)
    assert found.shapes_wh.tolist() == [[10, 20], [30, 10], [50, 60]] and found.mean_iou == 1
    assert cluster(sizes, 5, seed=0, max_steps=100).mean_iou == 1


def test_three_scales() -> None:
    names = {}
    for count in (3, 5, 6):
        scales = cluster(clouds(), count, seed=0, max_steps=9).scales()
        names[count] = {scale: len(shapes) for scale, shapes in scales.items()}
    assert names == {3: dict(small=1, mid=1, big=1), 5: dict(small=2, mid=2, big=1), 6: dict(small=2, mid=2, big=2)}


def test_the_sizes_that_the_network_sees() -> None:
    boxes = np.array([[0, 0, 100, 50], [390, 10, 420, 60]], np.float64)
    assert View((96, 320)).sizes(boxes, (200, 400)).tolist() == [[48, 24], [4.8, 24]]  # 96 / 200 < 320 / 400
    assert View((96, 320), stretch=True).sizes(boxes, (200, 400)).tolist() == [[80, 24], [8, 24]]
    cropped = View((96, 320), crop_xyxy=(0, 20, 320, 0)).sizes(boxes, (200, 400))  # 320 by 180
    assert np.allclose(cropped, [[100 * 96 / 180, 30 * 96 / 180], [0, 40 * 96 / 180]])
    assert np.allclose(View((96, 320), scale_xy=(0.5, 1)).sizes(boxes, (200, 400))[0], [100 * 0.5 * 0.48, 24])


def test_the_picture_shows_boxes_and_anchors() -> None:
    sizes = clouds()
    png = figure(sizes, cluster(sizes, 6, seed=0, max_steps=99), "title")
    picture = cv2.imdecode(np.frombuffer(io.BytesIO(png).read(), np.uint8), cv2.IMREAD_COLOR)
    # six anchors have the first six colours of the palette
    assert picture is not None and picture.shape[0] > 600
    colours = {tuple(colour) for colour in np.unique(picture.reshape(-1, 3), axis=0).tolist()}
    assert (0, 159, 230) in colours and (167, 121, 204) not in colours
