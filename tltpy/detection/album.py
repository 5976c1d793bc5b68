"""Photographs for people: what the network was trained on, and where it errs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tltpy.detection.draw import Colour, Mark, annotate, colour
from tltpy.report import photo
from tltpy.report.picture import Picture

_TILE = 360  # pixels: width of a picture of the mosaic
_ALONE = 560  # pixels: width of a picture that stands alone
_LETTERS = 14  # pixels: least height of letters there, which a phone still shows readably
_MOSAIC_BYTES, _ALONE_BYTES = 300_000, 50_000
_GAP = 4
_LEGEND = (
    "Broken blue: an object that was missed. Orange, with a class and a score: a box of nothing, or of the wrong "
    "class. White: right. The worst picture first."
)
# BGR; told apart with any colour vision, and by their lines
_RIGHT: Colour = (245, 245, 245)
_FALSE: Colour = (0, 159, 230)
_MISSED: Colour = (240, 200, 90)


def mosaic(
    pictures: Sequence[np.ndarray], boxes_xyxy: Sequence[np.ndarray], labels: Sequence[np.ndarray], names: Sequence[str]
) -> Picture:
    """Pictures (uint8 [H, W, 3] BGR, all of one size) as the network sees them, their boxes in their pixels."""
    height, width = pictures[0].shape[:2]
    scale = _TILE / width
    tiles = []
    for picture, boxes, classes in zip(pictures, boxes_xyxy, labels, strict=True):
        marks = [Mark(names[label], colour(int(label))) for label in classes]
        tiles.append(annotate(photo.scaled(picture, scale), boxes * scale, marks, least_font=12))
    columns = max(1, min(len(tiles), 4, round(math.sqrt(len(tiles) * 2.2 * height / width))))
    return Picture(
        name="training_pictures",
        title="Training pictures as the network sees them",
        caption=f"{len(tiles)} examples of the first epoch, varied at random as the spec asks, {width} x {height} "
        "pixels for the network, with the boxes that it is to find.",
        alt=f"A mosaic of {len(tiles)} augmented training pictures with {sum(map(len, labels))} boxes in all.",
        data=photo.encode(_tiled(tiles, columns), _MOSAIC_BYTES),
        suffix=".jpg",
    )


@dataclass(frozen=True)
class Errors:
    """What a model made of one picture; boxes [N, 4] in pixels of the stored picture, labels [N]."""

    missed_xyxy: np.ndarray
    missed_labels: np.ndarray
    wrong_xyxy: np.ndarray
    wrong_scores: np.ndarray
    wrong_labels: np.ndarray
    wrong_truths: np.ndarray  # label of the object that a box of the wrong class found, -1: there is none
    right_xyxy: np.ndarray


def mistakes(picture: np.ndarray, errors: Errors, names: Sequence[str], *, rank: int, title: str) -> Picture:
    """A stored picture (uint8 [H, W, 3] BGR) with what was missed and found wrongly; `rank` 1 is the worst."""
    marks = [Mark(f"missed {names[label]}", _MISSED, "missed", dashed=True) for label in errors.missed_labels]
    for label, score, truth in zip(errors.wrong_labels, errors.wrong_scores, errors.wrong_truths, strict=True):
        text = f"{names[label]} {score:.2f}" + (f", is {names[truth]}" if truth >= 0 else "")
        marks.append(Mark(text, _FALSE, f"{score:.2f}"))
    marks += [Mark("", _RIGHT)] * len(errors.right_xyxy)
    boxes = np.concatenate([errors.missed_xyxy, errors.wrong_xyxy, errors.right_xyxy]).reshape(-1, 4)
    scale = _ALONE / picture.shape[1]
    drawn = annotate(photo.scaled(picture, scale), boxes * scale, marks, least_font=_LETTERS, least_line=2)
    data = photo.encode(drawn, _ALONE_BYTES)
    counts = f"{len(errors.missed_xyxy)} missed, {len(errors.wrong_xyxy)} false, {len(errors.right_xyxy)} right"
    alt = f"Picture with boxes: {counts}."
    return Picture(f"worst_{rank:02d}", title, counts, alt, data, ".jpg", group=_LEGEND)


def _tiled(tiles: Sequence[np.ndarray], columns: int) -> np.ndarray:
    height, width, _ = tiles[0].shape
    rows = -(-len(tiles) // columns)
    sheet = np.full((rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, 3), 128, np.uint8)
    for number, tile in enumerate(tiles):
        y, x = (number // columns) * (height + _GAP), (number % columns) * (width + _GAP)
        sheet[y : y + height, x : x + width] = tile
    return sheet
