"""Decides what stands where on a made road, paints it, and says what is to be seen: a pure function of (seed, index,
size)."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tltpy.synth.backdrop import Road, backdrop, noise_tile
from tltpy.synth.camera import Camera
from tltpy.synth.mesh import Mesh
from tltpy.synth.paint import (
    NEAR_M,
    Image,
    Light,
    Patch,
    Placed,
    bounds_px,
    draw,
    fill_ground,
    patches,
    shadow,
    silhouette,
)
from tltpy.synth.people import cyclist, pedestrian
from tltpy.synth.street import bin_box, bush, lamp, sign, tree
from tltpy.synth.vehicles import car, van

KINDS: dict[str, tuple[Callable[[np.random.Generator], Mesh], float, float]] = {
    # how it is modelled, its share of the objects, its least height as a share of the picture's width
    "Car": (car, 0.3, 0.11),
    "Van": (van, 0.12, 0.11),
    "Pedestrian": (pedestrian, 0.3, 0.15),
    "Cyclist": (cyclist, 0.28, 0.15),
}
SCENERY = (tree, lamp, sign, bin_box, bush)
DONT_CARE = "DontCare"

LEAST_VISIBLE = 0.55  # things hidden more than this are taken away
MOST_TRUNCATED = 0.35
FULLY_VISIBLE, PARTLY_VISIBLE = 0.95, 0.6  # above these: occlusion levels 0 and 1; else 2


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One object as KITTI describes it. `box_xyxy` holds its hidden parts too, cut at the picture's border."""

    kind: str
    truncated: float
    occluded: int
    alpha: float
    box_xyxy: tuple[float, float, float, float]
    size_hwl: tuple[float, float, float]
    location: tuple[float, float, float]
    rotation_y: float
    visible: float  # the share of its pixels within the picture that nothing hides


@dataclass(frozen=True, kw_only=True)
class Scene:
    """`image` (height, width, 3) is blue, green, red. `ids` (height, width): 1 + the index into `seen`, 0 elsewhere.

    Objects of kind DontCare are too far to be asked for; only their box counts.
    """

    image: Image
    ids: NDArray[np.int16]
    seen: tuple[Seen, ...]
    camera: Camera


def make_scene(seed: int, index: int, size_wh: tuple[int, int]) -> Scene:
    rng = np.random.default_rng([seed, index])
    camera = Camera(size_wh=size_wh, ground_m=rng.uniform(1.55, 1.75), slope=rng.normal(0, 0.012))
    road, light = _road(rng), _light(rng)
    while True:
        things = _populate(road, camera, rng)
        kept, drawn, masks, shares = _unhidden(things, camera, light)
        if any(t.kind in KINDS for t in kept):
            break
    image = _painted(kept, drawn, masks, road, camera, light, rng)
    ids: NDArray[np.int16] = np.zeros(image.shape[:2], np.int16)
    seen: list[Seen] = []
    for thing, patch_list, mask, share in zip(kept, drawn, masks, shares, strict=True):
        ids[mask > 0] = 0
        if thing.kind in KINDS or thing.kind == DONT_CARE:
            seen.append(_describe(thing, patch_list, mask, share, camera))
            ids[mask > 0] = len(seen)
    return Scene(image=image, ids=ids, seen=tuple(seen), camera=camera)


def _road(rng: np.random.Generator) -> Road:
    setting = str(rng.choice(["town", "suburb", "country"], p=[0.45, 0.35, 0.2]))
    lane, count = rng.uniform(3.0, 3.6), int(rng.choice([2, 3], p=[0.7, 0.3]))
    parking = 0.0 if setting == "country" or rng.random() < 0.3 else 2.2
    lanes = tuple(((i + 0.5 - count / 2) * lane, -1 if i == 0 else 1) for i in range(count))
    ours = lanes[int(rng.integers(1, count))][0]
    pavement = 0.0 if setting == "country" else rng.uniform(1.8, 3.5)
    return Road(
        half_m=count * lane / 2 + parking, lane_m=lane, lanes=lanes, parking_m=parking, pavement_m=pavement,
        camera_q=ours + rng.uniform(-0.4, 0.4), heading=rng.normal(0, 0.04),
        bend=rng.normal(0, 0.001) if setting == "country" else 0.0,
        wall_m=pavement + {"town": rng.uniform(0.3, 2.5), "suburb": rng.uniform(1.5, 5.0), "country": 9.0}[setting],
        setting=setting,
    )  # fmt: skip


def _light(rng: np.random.Generator) -> Light:
    around, up = rng.uniform(0, 2 * np.pi), rng.uniform(0.4, 1.2)
    sun = np.array([np.cos(up) * np.cos(around), -np.sin(up), np.cos(up) * np.sin(around)])
    warm, level = rng.uniform(-0.07, 0.07), rng.uniform(0.75, 1.15)
    haze = rng.uniform(175, 235) * level
    return Light(
        sun=sun, ambient=rng.uniform(0.5, 0.8), tint=(level * (1 - warm), level, level * (1 + warm)),
        haze=(haze * 1.02, haze, haze * (0.97 + warm / 2)), haze_m=rng.uniform(70, 350),
    )  # fmt: skip


def _populate(road: Road, camera: Camera, rng: np.random.Generator) -> list[Placed]:
    things: list[Placed] = []
    kinds = list(KINDS)
    chances = [KINDS[kind][1] for kind in kinds]
    for _ in range(int(rng.choice(np.arange(2, 9), p=[0.1, 0.2, 0.25, 0.2, 0.15, 0.07, 0.03]))):
        kind = str(rng.choice(kinds, p=chances))
        for _ in range(12):
            thing = _object(kind, road, camera, rng)
            if thing is not None and _fits(thing, things):
                things.append(thing)
                break
    if rng.random() < 0.2:
        far = _object("Car", road, camera, rng, far=True)
        if far is not None and _fits(far, things):
            things.append(far)
    for _ in range(int(rng.integers(2, 9))):
        item = _scenery(road, camera, rng)
        if _fits(item, things):
            things.append(item)
    return things


def _object(kind: str, road: Road, camera: Camera, rng: np.random.Generator, *, far: bool = False) -> Placed | None:
    """One try; None where the thing would stand too far outside the picture."""
    shape = KINDS[kind][0](rng)
    height, _, length = shape.size_hwl
    limit = camera.focal_px * height / (KINDS[kind][2] * 1.02 * camera.size_wh[0])
    low, high = (limit * 1.6, limit * 2.6) if far else (4.0 + length / 2, min(limit, 26.0))
    z = low * (high / low) ** rng.random()
    q, yaw = _on_foot(road, rng) if kind == "Pedestrian" else _riding(kind, road, rng)
    turned = yaw + np.arctan(road.heading + 2 * road.bend * z)
    thing = Placed(DONT_CARE if far else kind, shape, _on_ground(road, camera, q, z), _wrap(turned))
    corners = thing.corners()
    if corners[:, 2].min() < max(NEAR_M, 2.0):
        return None
    pixels = camera.project(corners)
    (x1, _), (x2, y2) = pixels.min(axis=0), pixels.max(axis=0)
    inside = (min(x2, camera.size_wh[0]) - max(x1, 0)) / (x2 - x1)
    return thing if inside > 1 - MOST_TRUNCATED and y2 < camera.size_wh[1] * 1.3 else None


AHEAD, TOWARDS = -np.pi / 2, np.pi / 2


def _riding(kind: str, road: Road, rng: np.random.Generator) -> tuple[float, float]:
    """q and yaw (on a straight road) of a vehicle: along a lane, parked, or across the road."""
    draw = rng.random()
    if draw < 0.17:
        return rng.uniform(-road.half_m, road.half_m), rng.choice([0.0, np.pi]) + rng.normal(0, 0.25)
    if draw < 0.4 and road.parking_m and kind != "Cyclist":
        side = rng.choice([-1, 1])
        at = side * (road.half_m - road.parking_m / 2 + rng.uniform(-0.1, 0.1))
        return at, (AHEAD if side > 0 or rng.random() < 0.3 else TOWARDS) + rng.normal(0, 0.05)
    q, way = road.lanes[int(rng.integers(len(road.lanes)))]
    yaw = AHEAD if way > 0 else TOWARDS
    if kind == "Cyclist":
        return q + way * rng.uniform(0.2, road.lane_m / 2), yaw + rng.normal(0, 0.25)
    return q + rng.uniform(-0.4, 0.4), yaw + rng.normal(0, 0.06)


def _on_foot(road: Road, rng: np.random.Generator) -> tuple[float, float]:
    if rng.random() < 0.35:
        return rng.uniform(-road.half_m, road.half_m), rng.choice([0.0, np.pi]) + rng.normal(0, 0.3)
    edge = road.half_m + rng.uniform(0.3, max(road.pavement_m, 1.5) - 0.3)
    return rng.choice([-1, 1]) * edge, rng.choice([AHEAD, TOWARDS]) + rng.normal(0, 0.4)


def _scenery(road: Road, camera: Camera, rng: np.random.Generator) -> Placed:
    what = SCENERY[int(rng.integers(len(SCENERY)))]
    beyond = rng.uniform(0.4, 1.0) if what in (lamp, sign) else rng.uniform(1.2, max(road.wall_m - 0.5, 2.0))
    z = rng.uniform(7, 50)
    spot = _on_ground(road, camera, rng.choice([-1, 1]) * (road.half_m + beyond), z)
    return Placed(what.__name__, what(rng), spot, rng.choice([AHEAD, TOWARDS]) + rng.normal(0, 0.1))


def _on_ground(road: Road, camera: Camera, q: float, z: float) -> NDArray[np.float64]:
    return np.array([road.x(q, z), camera.ground_y(z), z])


def _footprint(thing: Placed) -> tuple[float, float, float, float]:
    """x and z limits in metres."""
    corners = thing.corners()
    return corners[:, 0].min(), corners[:, 2].min(), corners[:, 0].max(), corners[:, 2].max()


def _fits(thing: Placed, others: list[Placed], gap_m: float = 0.25) -> bool:
    """Whether it stands free of the others, so that one of any two is wholly in front."""
    x1, z1, x2, z2 = _footprint(thing)
    return all(
        x1 > right + gap_m or left > x2 + gap_m or z1 > back + gap_m or front > z2 + gap_m
        for left, front, right, back in map(_footprint, others)
    )


def _nearest_first(things: list[Placed], camera: Camera) -> list[Placed]:
    """An order in which nothing comes before what may hide it."""
    prints = [_footprint(t) for t in things]
    waiting = sorted(range(len(things)), key=lambda i: float(np.hypot(*things[i].location[[0, 2]])))
    ordered = []
    while waiting:
        free = (
            i for i in waiting if not any(_hides(prints[j], prints[i], -camera.offset_m) for j in waiting if j != i)
        )
        chosen = next(free, waiting[0])
        waiting.remove(chosen)
        ordered.append(things[chosen])
    return ordered


def _hides(one: tuple[float, ...], other: tuple[float, ...], camera_x: float) -> bool:
    """Whether a plane parts the two with the camera on the side of the first, and none the other way round."""
    if one[3] <= other[1] or other[3] <= one[1]:
        return one[3] <= other[1]
    return (
        one[2] <= other[0]
        if camera_x < (one[2] + other[0]) / 2 and one[2] <= other[0]
        else (other[2] <= one[0] and camera_x > (other[2] + one[0]) / 2)
    )


def _unhidden(
    things: list[Placed], camera: Camera, light: Light
) -> tuple[list[Placed], list[list[Patch]], list[Image], list[float]]:
    """The things to draw, farthest first: their patches, masks and visible shares; those too hidden or too small are
    left out."""
    covered = np.zeros((camera.size_wh[1], camera.size_wh[0]), np.uint8)
    rows = []
    for thing in _nearest_first(things, camera):
        drawn = patches(thing, camera, light)
        mask = silhouette(drawn, camera.size_wh)
        whole = int(np.count_nonzero(mask))
        share = float(np.count_nonzero(mask > covered) / max(whole, 1))
        if thing.kind in KINDS or thing.kind == DONT_CARE:
            x1, y1, x2, y2 = _cut(bounds_px(drawn), camera.size_wh)
            least = KINDS[thing.kind][2] * camera.size_wh[0] if thing.kind in KINDS else 4.0
            if share < LEAST_VISIBLE or y2 - y1 < least or x2 - x1 < 0.4 * least:
                continue
        covered |= mask
        rows.append((thing, drawn, mask, share))
    rows.reverse()
    return [r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows], [r[3] for r in rows]


def _painted(
    things: list[Placed],
    drawn: list[list[Patch]],
    masks: list[Image],
    road: Road,
    camera: Camera,
    light: Light,
    rng: np.random.Generator,
) -> Image:
    canvas = backdrop(road, camera, light, rng)
    shade: Image = np.zeros(canvas.shape[:2], np.uint8)
    for thing in things:
        shadow(shade, thing, camera, light)
    sigma = max(camera.size_wh[0] / 416 * 0.8, 0.5)
    dark = cv2.GaussianBlur(shade, (0, 0), sigma).astype(np.float32) / 255 * rng.uniform(0.3, 0.6)
    canvas *= (1 - dark)[:, :, None]
    picture: Image = np.clip(canvas, 0, 255).astype(np.uint8)
    if rng.random() < 0.2 and road.setting != "country":
        _zebra(picture, road, camera, light, rng)
    grain = noise_tile(rng, 64)
    for patch_list, mask in zip(drawn, masks, strict=True):
        draw(picture, patch_list, mask, grain)
    return _developed(picture, rng)


def _zebra(picture: Image, road: Road, camera: Camera, light: Light, rng: np.random.Generator) -> None:
    near = rng.uniform(6, 18)
    colour = tuple(float(min(205 * t, 255)) for t in light.tint)
    for q in np.arange(-road.half_m + 0.3, road.half_m - 0.5, 1.0):
        spots = [(road.x(q + dq, z), z) for dq, z in ((0, near), (0.5, near), (0.5, near + 3), (0, near + 3))]
        fill_ground(picture, np.array(spots), (colour[0], colour[1], colour[2]), camera)


def _developed(picture: Image, rng: np.random.Generator) -> Image:
    """What a lens and a sensor add: softness, darker corners, noise."""
    height, width = picture.shape[:2]
    soft = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 0.6) * max(width / 700, 0.8))
    y, x = np.linspace(-1, 1, height, dtype=np.float32)[:, None], np.linspace(-1, 1, width, dtype=np.float32)[None]
    corners = (1 - rng.uniform(0.0, 0.12) * (x * x + y * y))[:, :, None]
    noise = rng.standard_normal((height, width, 1), dtype=np.float32) * np.float32(rng.uniform(0.5, 3.0))
    return np.clip(soft * corners + noise, 0, 255).astype(np.uint8)


def _describe(thing: Placed, drawn: list[Patch], mask: Image, share: float, camera: Camera) -> Seen:
    whole = bounds_px(drawn)
    cut = _cut(whole, camera.size_wh)
    box = cut if cut == whole else _within(cut, mask)
    area = (whole[2] - whole[0]) * (whole[3] - whole[1])
    x, y, z = (float(n) for n in thing.location)
    return Seen(
        kind=thing.kind, truncated=max(1 - (cut[2] - cut[0]) * (cut[3] - cut[1]) / area, 0.0),
        occluded=0 if share >= FULLY_VISIBLE else 1 if share >= PARTLY_VISIBLE else 2,
        alpha=_wrap(thing.yaw - np.arctan2(x, z)), box_xyxy=box, size_hwl=thing.shape.size_hwl, location=(x, y, z),
        rotation_y=thing.yaw, visible=share,
    )  # fmt: skip


def _cut(box: tuple[float, float, float, float], size_wh: tuple[int, int]) -> tuple[float, float, float, float]:
    width, height = size_wh[0] - 1, size_wh[1] - 1
    return (
        min(max(box[0], 0), width),
        min(max(box[1], 0), height),
        min(max(box[2], 0), width),
        min(max(box[3], 0), height),
    )


def _within(box: tuple[float, float, float, float], mask: Image) -> tuple[float, float, float, float]:
    """The box, made tight around the pixels: the lowest wheel, say, may stand outside the picture."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    x1, y1, x2, y2 = box
    return max(x1, float(columns[0])), max(y1, float(rows[0])), min(x2, float(columns[-1])), min(y2, float(rows[-1]))


def _wrap(angle: float) -> float:
    """To -pi .. pi."""
    return float((angle + np.pi) % (2 * np.pi) - np.pi)
