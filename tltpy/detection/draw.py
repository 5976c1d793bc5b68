"""Pictures with boxes: one colour a class, a caption a box, legible also where the boxes crowd.

Sizes follow the picture. Captions are placed one after the other, the highest score first, each where it hides the
least of the captions and the boxes that are there; one that finds no place shrinks to its score, then is left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

Colour = tuple[int, int, int]

_PALETTE: tuple[Colour, ...] = (  # BGR, after Okabe and Ito (2008): told apart with any colour vision
    (0, 159, 230),
    (233, 180, 86),
    (115, 158, 0),
    (66, 228, 240),
    (178, 114, 0),
    (0, 94, 213),
    (167, 121, 204),
    (215, 215, 215),
)
_HIDDEN = 0.05
"""Share of a caption that others may cover."""


def draw(
    image: np.ndarray,
    boxes_xyxy: Any,
    labels: Any,
    scores: Any | None,
    class_names: Sequence[str],
) -> np.ndarray:
    """A copy of an image (uint8 [H, W, 3], BGR) with N boxes and their captions ("car 0.87").

    Boxes [N, 4] in pixels of the image, labels [N] index `class_names`, scores [N] or None; arrays or tensors.
    """
    boxes, classes = _array(boxes_xyxy).reshape(-1, 4), _array(labels).astype(int)
    order = np.arange(len(boxes)) if scores is None else np.argsort(-_array(scores), kind="stable")
    texts = [class_names[label] for label in classes]
    shorts = [""] * len(texts)
    if scores is not None:
        shorts = [f"{score:.2f}" for score in _array(scores)]
        texts = [f"{text} {short}" for text, short in zip(texts, shorts, strict=True)]
    marks = [Mark(texts[i], colour(classes[i]), shorts[i]) for i in order]
    return annotate(image, boxes[order], marks)


@dataclass(frozen=True)
class Mark:
    """How a box is drawn: its caption ("": none), the caption that does where space is short, its line."""

    text: str
    colour: Colour
    short: str = ""
    dashed: bool = False


def annotate(
    image: np.ndarray, boxes_xyxy: np.ndarray, marks: Sequence[Mark], *, least_font: int = 10, least_line: int = 1
) -> np.ndarray:
    """A copy of an image (uint8 [H, W, 3], BGR) with N boxes, the most important first, and their captions.

    Boxes [N, 4] in pixels of the image; least height of a caption's letters and least width of a line, in pixels.
    """
    picture = np.ascontiguousarray(image).copy()
    if not len(boxes_xyxy):
        return picture
    size_hw = (picture.shape[0], picture.shape[1])
    line = max(least_line, _line_width(size_hw))
    edges = _edges(boxes_xyxy, size_hw, line)
    texts = [mark.text for mark in marks]
    height = _font_height(texts, size_hw, least_font)
    captions = _captions(texts, [mark.short for mark in marks], edges, size_hw, height, line)
    _draw_boxes(picture, edges[::-1], marks[::-1], line)
    return _draw_captions(picture, [(caption, mark.colour) for caption, mark in zip(captions, marks, strict=True)])


def colour(label: int) -> Colour:
    """BGR of a class; after the eight of the palette the same hues, darker, then lighter."""
    base = _PALETTE[label % len(_PALETTE)]
    towards, share = ((0, 0.0), (0, 0.45), (255, 0.5))[label // len(_PALETTE) % 3]
    blue, green, red = (round(value + (towards - value) * share) for value in base)
    return blue, green, red


@dataclass(frozen=True)
class _Caption:
    text: str
    height: int  # of the font, in pixels
    box_xyxy: tuple[int, int, int, int]


def _array(values: Any) -> np.ndarray:
    """Of an array, or of a tensor: torch itself is not needed."""
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values, np.float64)


def _line_width(size_hw: tuple[int, ...]) -> int:
    return max(1, round((size_hw[0] * size_hw[1]) ** 0.5 / 320))


def _edges(boxes_xyxy: np.ndarray, size_hw: tuple[int, int], line: int) -> np.ndarray:
    """Whole pixels [N, 4] on which the middle of the line runs, such that all of the line is in the picture."""
    margin = line // 2
    high_xy = np.array([size_hw[1], size_hw[0]]) - 1 - margin
    edges: np.ndarray = np.clip(np.round(boxes_xyxy), margin, np.tile(np.maximum(high_xy, margin), 2)).astype(int)
    return edges


def _draw_boxes(picture: np.ndarray, edges: np.ndarray, marks: Sequence[Mark], line: int) -> None:
    """In the given order; each line has a thin dark rim, which sets it off from whatever lies below."""
    reach = line // 2
    for edge, mark in zip(edges.tolist(), marks, strict=True):
        below = picture.copy() if mark.dashed else picture
        _draw_frame(picture, edge, reach + 1, (0, 0, 0))
        _draw_frame(picture, edge, reach, mark.colour)
        if mark.dashed:
            _break_frame(picture, below, 4 * (2 * reach + 1))


def _break_frame(picture: np.ndarray, below: np.ndarray, dash: int) -> None:
    """Takes a third of each line back: diagonal stripes cut upright and level lines alike."""
    rows, columns = np.ogrid[: picture.shape[0], : picture.shape[1]]
    gaps = (rows + columns) % (2 * dash) >= dash + dash // 3
    picture[gaps] = below[gaps]


def _draw_frame(picture: np.ndarray, edge: Sequence[int], reach: int, colour: Colour) -> None:
    """Four bars that reach so many pixels to both sides of the edge; whole pixels, so that thin lines keep their
    colour."""
    x1, y1, x2, y2 = edge
    wide, high = slice(max(x1 - reach, 0), x2 + reach + 1), slice(max(y1 - reach, 0), y2 + reach + 1)
    for middle in (y1, y2):
        picture[max(middle - reach, 0) : middle + reach + 1, wide] = colour
    for middle in (x1, x2):
        picture[high, max(middle - reach, 0) : middle + reach + 1] = colour


def _captions(
    texts: Sequence[str], shorts: Sequence[str], edges: np.ndarray, size_hw: tuple[int, int], height: int, line: int
) -> list[_Caption | None]:
    """A place for each caption, in the given order; None where there is none."""
    placed = np.zeros((0, 4))
    captions: list[_Caption | None] = []
    for i, wordings in enumerate(zip(texts, shorts, strict=True)):
        caption = None
        for text in filter(None, wordings):
            caption = _place(text, height, i, edges, placed, size_hw, line)
            if caption:
                placed = np.vstack([placed, caption.box_xyxy])
                break
        captions.append(caption)
    return captions


def _font_height(texts: Sequence[str], size_hw: tuple[int, ...], least: int) -> int:
    """In pixels: a fixed share of the picture, less where the captions would fill more than a tenth of it."""
    usual = 0.024 * (size_hw[0] * size_hw[1]) ** 0.5
    filled = max(sum(map(len, texts)), 1) * 0.8 * usual**2 / (size_hw[0] * size_hw[1])
    return max(least, round(usual * min(1, (0.1 / filled) ** 0.5)))


def _place(
    text: str, height: int, index: int, edges: np.ndarray, placed: np.ndarray, size_hw: tuple[int, int], line: int
) -> _Caption | None:
    """The best place around or in the box `index`, if any leaves the captions placed so far readable."""
    left, top, right, bottom = _font(height).getbbox(text)
    size = np.array([right + height * 0.5, height * 1.3]).round()
    spots = _spots(edges[index], size, line, size_hw)  # [S, 4]
    hidden = _overlap(spots, placed).sum(axis=1) / size.prod()
    others = np.delete(edges, index, axis=0)
    covered = _overlap(spots, others) / np.maximum((others[:, 2:] - others[:, :2]).prod(axis=1), 1)
    best = (10 * hidden + covered.sum(axis=1) + 0.02 * np.arange(len(spots))).argmin()
    if hidden[best] > _HIDDEN:
        return None
    x1, y1, x2, y2 = spots[best].astype(int).tolist()
    return _Caption(text, height, (x1, y1, x2, y2))


def _spots(edge: np.ndarray, size: np.ndarray, line: int, size_hw: tuple[int, ...]) -> np.ndarray:
    """Where a caption of `size` may stand, the likes first: above, below, inside, beside; moved into the picture."""
    (x1, y1, x2, y2), (wide, high) = edge, size
    rim = line // 2 + 1
    left, right = x1 - rim, x2 + rim + 1 - wide
    corners = [
        *((x, y1 + rim - high) for x in (left, right)),
        *((x, y2 - rim) for x in (left, right)),
        *((x, y1 - rim) for x in (left, right)),
        *((x, y2 + rim + 1 - high) for x in (left, right)),
        *((x, y) for y in (y1 - rim, y2 + rim + 1 - high) for x in (x2 - rim, x1 + rim - wide)),
    ]
    limit = np.maximum([size_hw[1] - wide, size_hw[0] - high], 0)
    low = np.clip(np.array(corners), 0, limit)
    return np.concatenate([low, low + size], axis=1)


def _overlap(a_xyxy: np.ndarray, b_xyxy: np.ndarray) -> np.ndarray:
    """Shared areas [S, N]."""
    low = np.maximum(a_xyxy[:, None, :2], b_xyxy[None, :, :2])
    high = np.minimum(a_xyxy[:, None, 2:], b_xyxy[None, :, 2:])
    shared: np.ndarray = np.maximum(high - low, 0).prod(axis=-1)
    return shared


def _draw_captions(picture: np.ndarray, captions: Sequence[tuple[_Caption | None, Colour]]) -> np.ndarray:
    from PIL import Image, ImageDraw

    canvas = Image.fromarray(picture)  # takes BGR for RGB, and so do the colours below
    pen = ImageDraw.Draw(canvas)
    for caption, fill in captions:
        if caption is None:
            continue
        x1, y1, x2, y2 = caption.box_xyxy
        pen.rectangle((x1, y1, x2 - 1, y2 - 1), fill=fill)
        bright = 0.114 * fill[0] + 0.587 * fill[1] + 0.299 * fill[2] > 110
        middle = (x1 + caption.height * 0.25, (y1 + y2) / 2)
        pen.text(middle, caption.text, (0, 0, 0) if bright else (255, 255, 255), _font(caption.height), "lm")
    return np.array(canvas)


@lru_cache(maxsize=8)
def _font(height: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(height)
