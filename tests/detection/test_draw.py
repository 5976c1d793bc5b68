"""Boxes and captions on pictures: where they stand, that they hide nothing, and that the original is left alone."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from tltpy.detection import draw as drawing
from tltpy.detection.draw import colour, draw

NAMES = ("car", "van", "person sitting")
GREY = 90


def plain(size_hw: tuple[int, int] = (240, 400)) -> np.ndarray:
    return np.full((*size_hw, 3), GREY, np.uint8)


def changed(picture: np.ndarray) -> np.ndarray:
    return np.asarray((picture != GREY).any(axis=2))


def close_to(picture: np.ndarray, label: int) -> np.ndarray:
    """Mask of the pixels in the colour of a class."""
    return np.asarray((picture == colour(label)).all(axis=2))


def test_the_original_is_left_alone() -> None:
    image = plain()
    image.setflags(write=False)
    picture = draw(image, [[20, 60, 120, 160]], [0], [0.5], NAMES)
    assert picture.shape == image.shape and picture.dtype == np.uint8
    assert changed(picture).any() and not changed(image).any()


def test_no_boxes_give_an_equal_copy() -> None:
    image = plain()
    picture = draw(image, np.zeros((0, 4)), np.zeros(0), np.zeros(0), NAMES)
    assert np.array_equal(picture, image) and picture is not image and not np.shares_memory(picture, image)


def test_the_line_runs_along_the_box() -> None:
    picture = draw(plain(), [[150, 70, 310, 200]], [1], None, NAMES)
    mask = close_to(picture, 1)
    for y, x in ((70, 300), (200, 230), (130, 150), (130, 310)):
        assert mask[y, x], (y, x)
    assert not changed(picture)[80:190, 160:300].any(), "the inside stays visible"
    rows, columns = np.nonzero(changed(picture))
    assert columns.min() >= 150 - 4 and columns.max() <= 310 + 4 and rows.max() <= 200 + 4


def test_the_caption_stands_on_the_box_and_holds_the_score() -> None:
    without = draw(plain(), [[150, 70, 310, 200]], [0], None, NAMES)
    scored = draw(plain(), [[150, 70, 310, 200]], [0], [0.87], NAMES)
    above = slice(40, 66)
    assert close_to(without, 0)[above].sum() > 100
    assert close_to(scored, 0)[above].sum() > 1.5 * close_to(without, 0)[above].sum(), "a longer caption"
    other = draw(plain(), [[150, 70, 310, 200]], [0], [0.31], NAMES)
    assert (other != scored)[above].any() and np.array_equal(other[72:], scored[72:])


@pytest.mark.parametrize(
    "box", [(0, 0, 60, 50), (340, 0, 400, 50), (0, 200, 70, 240), (330, 190, 400, 240), (-80, -50, 500, 300)]
)
def test_everything_stays_in_the_picture(box: tuple[int, int, int, int]) -> None:
    picture = draw(plain(), [box], [2], [0.5], NAMES)
    mask = close_to(picture, 2)
    x1, y1, x2, y2 = np.clip(box, 0, (399, 239, 399, 239))
    assert mask[y1, (x1 + x2) // 2 : x2 - 1].any() and mask[y2, x1 + 1 : x2 - 1].any()
    assert mask[(y1 + y2) // 2, x1] and mask[(y1 + y2) // 2, x2]


def test_arrays_and_tensors_are_drawn_alike() -> None:
    boxes, labels, scores = [[20.4, 60, 120, 160], [200, 90, 300.2, 150]], [0, 2], [0.25, 0.75]
    expected = draw(plain(), boxes, labels, scores, NAMES)
    tensors = draw(plain(), torch.tensor(boxes), torch.tensor(labels), torch.tensor(scores), NAMES)
    arrays = draw(plain(), np.array(boxes, np.float32), np.array(labels), np.array(scores, np.float32), NAMES)
    assert np.array_equal(expected, tensors) and np.array_equal(expected, arrays)


def test_the_order_of_the_boxes_does_not_matter() -> None:
    boxes = np.array([[20, 60, 120, 160], [60, 90, 300, 150], [100, 40, 200, 230]])
    labels, scores = np.array([0, 2, 1]), np.array([0.25, 0.75, 0.5])
    turned = [2, 0, 1]
    first = draw(plain(), boxes, labels, scores, NAMES)
    second = draw(plain(), boxes[turned], labels[turned], scores[turned], NAMES)
    assert np.array_equal(first, second)


def test_the_best_score_is_on_top() -> None:
    boxes = [[50, 80, 150, 180], [50, 80, 150, 180]]
    assert close_to(draw(plain(), boxes, [0, 1], [0.9, 0.2], NAMES), 0)[150, 50]
    assert close_to(draw(plain(), boxes, [0, 1], [0.2, 0.9], NAMES), 1)[150, 50]


def test_captions_do_not_cover_each_other() -> None:
    rng = np.random.default_rng(3)
    corners = rng.uniform(0, (340, 180), (30, 2))
    edges = np.hstack([corners, corners + rng.uniform(8, 80, (30, 2))]).round()
    texts = [f"person sitting {score:.2f}" for score in rng.random(30)]
    height = drawing._font_height(texts, (240, 400), 10)
    captions = drawing._captions(texts, ["0.50"] * 30, edges, (240, 400), height, 1)
    boxes = np.array([caption.box_xyxy for caption in captions if caption])
    assert 25 < len(boxes) <= 30, "places are found also in a crowd"
    assert (boxes >= 0).all() and (boxes <= (400, 240, 400, 240)).all()
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    shared = drawing._overlap(boxes, boxes) / areas[:, None]
    np.fill_diagonal(shared, 0)
    assert np.tril(shared).sum(axis=1).max() <= 0.051, "a caption hides a twentieth of those before it at most"


def test_colours_differ() -> None:
    colours = [colour(label) for label in range(24)]
    assert len(set(colours)) == 24
    assert all(isinstance(value, int) and 0 <= value <= 255 for one in colours for value in one)
    assert colour(10) == colour(10 + 24), "then they return"


@pytest.mark.parametrize("size_hw", [(31, 53), (1, 7), (1200, 1920)])
def test_any_size_of_picture(size_hw: tuple[int, int]) -> None:
    boxes = np.array([[0.1, 0.2, 0.6, 0.8], [0.3, 0.1, 0.9, 0.7]]) * (size_hw[1], size_hw[0], size_hw[1], size_hw[0])
    picture = draw(plain(size_hw), boxes, [0, 1], [0.9, 0.1], NAMES)
    assert picture.shape == (*size_hw, 3) and changed(picture).any()


@pytest.mark.parametrize("count", [1, 12, 80])
def test_any_number_of_boxes_also_beyond_the_border(count: int) -> None:
    rng = np.random.default_rng(count)
    corners = rng.uniform((-60, -60), (380, 220), (count, 2))
    boxes = np.hstack([corners, corners + rng.uniform(1, 90, (count, 2))]).astype(np.float32)
    picture = draw(plain(), boxes, rng.integers(0, 3, count), rng.random(count).astype(np.float32), NAMES)
    assert picture.shape == (240, 400, 3) and picture.dtype == np.uint8 and changed(picture).any()


def test_a_street(shared: Path) -> None:
    folder = shared / "data/kitti_object/training"
    path = sorted((folder / "label_2").glob("*.txt"))[0]
    rows = [line.split() for line in path.read_text().splitlines() if not line.startswith("DontCare")]
    image = cv2.imread(str(next((folder / "image_2").glob(f"{path.stem}.*"))))
    assert image is not None and rows
    boxes = np.array([row[4:8] for row in rows], float)
    picture = draw(image, boxes, np.zeros(len(rows)), np.linspace(1, 0.1, len(rows)), ["car"])
    share = (picture != image).any(axis=2).mean()
    assert 0.001 < share < 0.2, "boxes and captions leave the picture visible"
