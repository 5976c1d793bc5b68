"""Draws placed meshes: projection, shading, and masks of what covers what."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tltpy.synth.camera import Camera
from tltpy.synth.mesh import Colour, Mesh, Mode

Array = NDArray[np.float64]
Image = NDArray[np.uint8]

SUBPIXEL_BITS = 4
NEAR_M = 0.8
CIRCLE = np.stack(
    [np.cos(np.linspace(0, 2 * np.pi, 12, endpoint=False)), np.sin(np.linspace(0, 2 * np.pi, 12, endpoint=False))], 1
)


@dataclass(frozen=True, kw_only=True)
class Light:
    """`sun` points from the ground to the sun, camera frame, unit length; colours are blue, green, red factors or
    values."""

    sun: Array
    ambient: float
    tint: tuple[float, float, float]
    haze: Colour
    haze_m: float  # at this distance 63 % is haze


@dataclass(frozen=True)
class Placed:
    """A mesh in the world. `location` is the middle of its foot; `yaw` is KITTI's rotation_y: 0 faces right, -pi/2
    ahead."""

    kind: str
    shape: Mesh
    location: Array
    yaw: float

    def world(self, local: Array) -> Array:
        """(N, 3) forward, up, left -> camera frame."""
        return _turned(local, self.yaw) + self.location

    def corners(self) -> Array:
        return self.world(self.shape.corners())


@dataclass(frozen=True)
class Patch:
    """One polygon in pixels; `stroke_px` > 0 makes it a closed line."""

    points_px: Array
    colour: Colour
    stroke_px: float = 0.0


def patches(thing: Placed, camera: Camera, light: Light) -> list[Patch]:
    """What is seen of the thing, in the order to paint it. All of it must be at least NEAR_M ahead."""
    facets = thing.shape.facets
    starts = np.cumsum([0, *(len(f.points) for f in facets)])
    world = thing.world(np.concatenate([f.points for f in facets]))
    pixels = camera.project(world)
    normals = _normals(world, starts[:-1])
    seen = np.einsum("ij,ij->i", normals, world[starts[:-1]] + (camera.offset_m, 0, 0)) < 0
    lit = light.ambient + (1 - light.ambient) * np.clip(normals @ light.sun, 0, 1)
    round_lit = light.ambient + 0.45 * (1 - light.ambient)
    order = list(range(len(facets)))
    if thing.shape.by_depth:
        middles = np.add.reduceat(world, starts[:-1]) / np.diff(starts)[:, None]
        order = np.argsort(-np.linalg.norm(middles, axis=1), kind="stable").tolist()
    scales = camera.focal_px / world[:, 2]
    clear = float(np.exp(-thing.location[2] / light.haze_m))
    done = []
    for i in order:
        facet, points = facets[i], pixels[starts[i] : starts[i + 1]]
        if facet.mode == Mode.FACE and not seen[i]:
            continue
        turned = float(lit[i])
        brightness = max(turned, 0.85) if facet.glow else turned if facet.mode == Mode.FACE else round_lit
        colour = _in_light(facet.colour, brightness, light, clear)
        scale = scales[starts[i] : starts[i + 1]]
        if facet.mode == Mode.CAPSULE:
            radii = np.maximum(scale * facet.radius, 0.35)[:, None, None]
            points = _hull((points[:, None] + radii * CIRCLE).reshape(-1, 2))  # (2, 12, 2) -> (24, 2)
        elif facet.mode == Mode.HULL:
            points = _hull(points)
        done.append(Patch(points, colour, 2 * facet.radius[0] * float(scale[0]) if facet.mode == Mode.RING else 0.0))
    return done


def bounds_px(drawn: list[Patch]) -> tuple[float, float, float, float]:
    """x1, y1, x2, y2 of the whole silhouette, also where it leaves the picture."""
    points = np.concatenate([p.points_px for p in drawn])
    stroke = np.repeat([p.stroke_px / 2 for p in drawn], [len(p.points_px) for p in drawn])[:, None]
    (x1, y1), (x2, y2) = (points - stroke).min(axis=0), (points + stroke).max(axis=0)
    return float(x1), float(y1), float(x2), float(y2)


def silhouette(drawn: list[Patch], size_wh: tuple[int, int]) -> Image:
    """1 where any patch covers the pixel, (height, width)."""
    mask: Image = np.zeros((size_wh[1], size_wh[0]), np.uint8)
    for patch in drawn:
        _fill(mask, patch, 1.0, cv2.LINE_8)
    return mask


def draw(picture: Image, drawn: list[Patch], mask: Image, grain: NDArray[np.float32]) -> None:
    """Paints the patches over the picture, then roughens what they cover.

    `mask` is their silhouette, `grain` a tile of mean 0 and about unit spread.
    """
    height, width = picture.shape[:2]
    for patch in drawn:
        _fill(picture, patch, patch.colour, cv2.LINE_AA)
    x1, y1, x2, y2 = bounds_px(drawn)
    left, top, right, bottom = max(int(x1), 0), max(int(y1), 0), min(int(x2) + 2, width), min(int(y2) + 2, height)
    if right <= left or bottom <= top:
        return
    region, covered = picture[top:bottom, left:right], mask[top:bottom, left:right, None] > 0
    rows, columns = (np.arange(n) % s for n, s in zip(region.shape[:2], grain.shape, strict=True))
    fade = np.linspace(1.06, 0.94, region.shape[0], dtype=np.float32)[:, None]  # sky lights tops, road darkens bottoms
    factor = fade + np.float32(0.035) * grain[rows][:, columns]
    np.copyto(region, np.minimum(region * factor[:, :, None], 255).astype(np.uint8), where=covered)


def shadow(mask: Image, thing: Placed, camera: Camera, light: Light) -> None:
    """Adds the shadow that the thing's box casts on the ground to a mask."""
    corners = thing.corners()
    height = thing.shape.size_hwl[0]
    length = min(height * 1.4, 3.0)
    level = np.hypot(light.sun[0], light.sun[2])
    away = -light.sun[[0, 2]] / max(level, 1e-6) * min(level / max(-light.sun[1], 0.2), 1.2) * length
    foot = corners[np.isclose(corners[:, 1], thing.location[1])]
    cast = foot + (away[0], 0.0, away[1])
    spots = np.concatenate([foot, cast])
    spots[:, 1] = camera.ground_m + camera.slope * spots[:, 2]
    spots = spots[spots[:, 2] > NEAR_M]
    if len(spots) >= 3:
        _fill(mask, Patch(_hull(camera.project(spots)), (255, 255, 255)), 255.0, cv2.LINE_AA)


def fill_ground(picture: Image, spots_xz: Array, colour: Colour, camera: Camera) -> None:
    """A convex polygon painted on the ground, its spots (N, 2) in metres right and ahead."""
    points = np.column_stack([spots_xz[:, 0], camera.ground_m + camera.slope * spots_xz[:, 1], spots_xz[:, 1]])
    if points[:, 2].min() > NEAR_M:
        _fill(picture, Patch(camera.project(points), colour), colour, cv2.LINE_AA)


def _fill(picture: Image, patch: Patch, colour: float | Colour, line: int) -> None:
    spots = np.maximum(np.minimum(patch.points_px, 8000), -8000) * (1 << SUBPIXEL_BITS)
    points = np.rint(spots).astype(np.int32)
    shade = colour if isinstance(colour, tuple) else (colour,)
    if patch.stroke_px:
        thickness = max(round(patch.stroke_px), 1)
        cv2.polylines(picture, [points], True, shade, thickness, line, SUBPIXEL_BITS)
    else:
        cv2.fillConvexPoly(picture, points, shade, line, SUBPIXEL_BITS)


def _hull(points: Array) -> Array:
    return cv2.convexHull(points.astype(np.float32))[:, 0].astype(float)  # (N, 1, 2) -> (N, 2)


def _turned(local: Array, yaw: float) -> Array:
    forward, up, left = local.T
    return np.stack([np.cos(yaw) * forward + np.sin(yaw) * left, -up, np.cos(yaw) * left - np.sin(yaw) * forward], 1)


def _normals(world: Array, starts: NDArray[np.int64]) -> Array:
    """Unit normals from the first three points of each facet (a capsule has two: what stands after it does no harm).

    Facets are wound in (forward, up, left), whose handedness is not that of the camera's frame: hence the order.
    """
    last = len(world) - 1
    a, b, c = (world[np.minimum(starts + i, last)] for i in range(3))
    normals = np.cross(c - b, b - a)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)


def _in_light(colour: Colour, brightness: float, light: Light, clear: float) -> Colour:
    blue, green, red = (
        min(max(c * brightness * t * clear + h * (1 - clear), 0.0), 255.0)
        for c, t, h in zip(colour, light.tint, light.haze, strict=True)
    )
    return blue, green, red
