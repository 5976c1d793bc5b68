"""Solids made of flat faces, capsules and rings, in the frame of the thing itself: (forward, up, left) in metres."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Colour = tuple[float, float, float]  # blue, green, red; 0 to 255


class Mode(IntEnum):
    FACE = 0  # a convex polygon, seen from outside alone
    CAPSULE = 1  # the hull of two balls
    RING = 2  # a closed line of some width
    HULL = 3  # the hull of its points


@dataclass(frozen=True)
class Facet:
    """`radius` is that of a capsule's two balls, half the width of a ring. `glow`: not darkened where turned from
    the sun."""

    points: Array
    colour: Colour
    mode: Mode = Mode.FACE
    radius: tuple[float, float] = (0.0, 0.0)
    glow: bool = False


@dataclass(frozen=True)
class Mesh:
    """Facets in the order to paint them; `by_depth`: far ones first instead.

    Stands on up = 0, its bounding box centred on forward = left = 0; `size_hwl` is that box.
    """

    facets: tuple[Facet, ...]
    size_hwl: tuple[float, float, float]
    by_depth: bool

    def corners(self) -> Array:
        """The bounding box, (8, 3)."""
        height, width, length = self.size_hwl
        return np.array([(f * length / 2, u * height, s * width / 2) for f in (-1, 1) for u in (0, 1) for s in (-1, 1)])


def mesh(facets: Sequence[Facet], *, by_depth: bool = False) -> Mesh:
    """Moves the facets to stand in the middle of their bounding box."""
    points, reach = (np.concatenate(each) for each in zip(*((f.points, _reach(f)) for f in facets), strict=True))
    low, high = (points - reach).min(axis=0), (points + reach).max(axis=0)
    origin = np.array([(low[0] + high[0]) / 2, low[1], (low[2] + high[2]) / 2])
    moved = tuple(Facet(f.points - origin, f.colour, f.mode, f.radius, f.glow) for f in facets)
    length, height, width = (float(n) for n in high - low)
    return Mesh(moved, (height, width, length), by_depth)


def prism(profile: Sequence[tuple[float, float]], width: float, colour: Colour) -> list[Facet]:
    """A convex outline in (forward, up), as wide as `width`: left side, right side, then one face an edge."""
    outline = np.asarray(profile, float)
    left, right = (np.column_stack([outline, np.full(len(outline), side * width / 2)]) for side in (1, -1))
    following = np.roll(np.arange(len(outline)), -1)
    edges = [np.stack([left[i], left[j], right[j], right[i]]) for i, j in enumerate(following)]
    return outward([left, right, *edges], colour)


def frustum(
    base: tuple[float, float, float], top: tuple[float, float, float], up: tuple[float, float], colour: Colour
) -> list[Facet]:
    """A box whose base and top, each (rear, front, width), differ: left, right, front, rear, top."""
    low, high = (
        np.array([(f, u, s * width / 2) for f, s in ((rear, -1), (front, -1), (front, 1), (rear, 1))])
        for (rear, front, width), u in ((base, up[0]), (top, up[1]))
    )
    sides = [np.stack([low[i], low[j], high[j], high[i]]) for i, j in ((3, 2), (0, 1), (1, 2), (0, 3))]
    return outward([*sides, high], colour)


def box(length: float, width: float, up: tuple[float, float], colour: Colour) -> list[Facet]:
    half = length / 2
    return frustum((-half, half, width), (-half, half, width), up, colour)


def outward(polygons: Sequence[Array], colour: Colour) -> list[Facet]:
    """Faces of one convex solid, each wound so that its normal leaves the solid."""
    middle = np.concatenate(list(polygons)).mean(axis=0)
    facets = []
    for polygon in polygons:
        inside = np.dot(_normal(polygon), polygon.mean(axis=0) - middle) < 0
        facets.append(Facet(polygon[::-1] if inside else polygon, colour))
    return facets


def decal(
    face: Facet, colour: Colour, across: tuple[float, float], along: tuple[float, float], *, glow: bool = False
) -> Facet:
    """A part of a four-cornered face. `across` runs from its right to its left edge or front to rear, `along`
    upwards."""
    corners = sorted(face.points.tolist(), key=lambda p: p[1])  # two low ones, two high ones
    low, high = (
        np.array(sorted(pair, key=lambda p: (round(p[2], 4), round(p[0], 4)))) for pair in (corners[:2], corners[2:])
    )
    spots = np.array([(across[0], along[0]), (across[1], along[0]), (across[1], along[1]), (across[0], along[1])])
    u, v = spots[:, :1], spots[:, 1:]
    points = (1 - v) * ((1 - u) * low[0] + u * low[1]) + v * ((1 - u) * high[0] + u * high[1])
    return Facet(_wound_like(face, points), colour, glow=glow)


def disc(face: Facet, colour: Colour, forward: float, up: float, radius: float, corners: int = 14) -> Facet:
    """A circle on a side face."""
    points = np.empty((corners, 3))
    points[:, :2] = (forward, up) + radius * _circle(corners)
    points[:, 2] = face.points[0, 2]
    return Facet(_wound_like(face, points), colour)


def patch(face: Facet, colour: Colour, spots: Sequence[tuple[float, float]], *, glow: bool = False) -> Facet:
    """A convex polygon of (forward, up) spots on a side face."""
    outline = np.asarray(spots, float)
    points = np.column_stack([outline, np.full(len(outline), face.points[0, 2])])
    return Facet(_wound_like(face, points), colour, glow=glow)


def capsule(start: Sequence[float], end: Sequence[float], radius: float | tuple[float, float], colour: Colour) -> Facet:
    both = radius if isinstance(radius, tuple) else (radius, radius)
    return Facet(np.array([start, end], float), colour, Mode.CAPSULE, both)


def ring(forward: float, up: float, radius: float, half_width: float, colour: Colour, corners: int = 18) -> Facet:
    """An upright hoop in the plane left = 0."""
    points = np.column_stack([(forward, up) + radius * _circle(corners), np.zeros(corners)])
    return Facet(points, colour, Mode.RING, (half_width, half_width))


def shaded(colour: Colour, factor: float) -> Colour:
    return (min(colour[0] * factor, 255.0), min(colour[1] * factor, 255.0), min(colour[2] * factor, 255.0))


@cache
def _circle(corners: int) -> Array:
    """(corners, 2) on the unit circle."""
    turn = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    return np.stack([np.cos(turn), np.sin(turn)], 1)


def _reach(facet: Facet) -> Array:
    """How far a facet extends around its points: (N, 1)."""
    if facet.mode == Mode.CAPSULE:
        return np.asarray(facet.radius, float)[:, None]
    return np.zeros((len(facet.points), 1))


def _wound_like(face: Facet, points: Array) -> Array:
    return points if np.dot(_normal(face.points), _normal(points)) > 0 else points[::-1]


def _normal(polygon: Array) -> Array:
    """(p1 - p0) x (p2 - p1), not of unit length; np.cross takes ten times as long for one vector."""
    (x1, y1, z1), (x2, y2, z2), (x3, y3, z3) = polygon[:3].tolist()
    ax, ay, az, bx, by, bz = x2 - x1, y2 - y1, z2 - z1, x3 - x2, y3 - y2, z3 - z2
    return np.array([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx])
