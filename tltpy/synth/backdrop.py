"""What lies behind all things: sky, hills, the textured ground of a road, and the house fronts along it."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tltpy.synth.camera import Camera
from tltpy.synth.mesh import Colour
from tltpy.synth.paint import Light

Array = NDArray[np.float32]

STRIP_M, STRIP_CELLS, LEVELS = 0.04, 2048, 8  # the road's cross-section as a table, and ever coarser copies of it
FAR_M = 250.0


@dataclass(frozen=True, kw_only=True)
class Road:
    """A cross-section along q, metres right of the middle; the camera stands at q = `camera_q`.

    At z metres ahead the middle has moved right by heading * z + bend * z * z. `lanes` are (q, +1 our way or -1
    towards us).
    """

    half_m: float
    lane_m: float
    lanes: tuple[tuple[float, int], ...]
    parking_m: float
    pavement_m: float
    camera_q: float
    heading: float
    bend: float
    wall_m: float  # from the road's edge to the house fronts or hedges
    setting: str  # "town", "suburb" or "country"

    def x(self, q: float, z: float) -> float:
        """Where q lies in the camera frame."""
        return q - self.camera_q + self.heading * z + self.bend * z * z


def noise_tile(rng: np.random.Generator, side: int = 256, finest: int = 1) -> Array:
    """(side, side), mean 0, spread 1, seamless when repeated; cells of `finest` pixels and coarser ones."""
    tile = np.zeros((side, side), np.float32)
    cell, weight = finest, 1.0
    while cell <= side // 4:
        grid = rng.standard_normal((side // cell, side // cell), dtype=np.float32)
        ringed = np.pad(grid, 2, mode="wrap")
        big = cv2.resize(ringed, None, fx=cell, fy=cell, interpolation=cv2.INTER_LINEAR) if cell > 1 else ringed
        tile += weight * big[2 * cell : 2 * cell + side, 2 * cell : 2 * cell + side]
        cell, weight = cell * 4, weight * 0.9
    return (tile - tile.mean()) / tile.std()


def backdrop(road: Road, camera: Camera, light: Light, rng: np.random.Generator) -> Array:
    """(height, width, 3), blue green red, 0 to 255, not yet clipped."""
    width, height = camera.size_wh
    fine, soft = noise_tile(rng), noise_tile(rng, finest=8)
    canvas = np.empty((height, width, 3), np.float32)
    top = int(np.clip(np.ceil(camera.horizon_px), 1, height - 1))
    canvas[:top] = _sky(top, width, light, soft, rng)
    _hills(canvas, top, light, fine, rng)
    canvas[top:] = _ground(road, camera, light, top, fine, soft, rng)
    for side in (-1, 1):
        _fronts(canvas, side, road, camera, light, fine, rng)
    return canvas


def _sky(rows: int, width: int, light: Light, soft: Array, rng: np.random.Generator) -> Array:
    zenith = np.array(light.haze) * (rng.uniform(0.9, 1.0), rng.uniform(0.72, 0.9), rng.uniform(0.5, 0.8))
    share = np.linspace(1, 0, rows, dtype=np.float32)[:, None, None]
    sky = share * zenith + (1 - share) * np.array(light.haze)
    clouds = cv2.resize(soft[64:160, :], (width, rows), interpolation=cv2.INTER_CUBIC)[:, :, None]
    cover = np.clip(clouds * 0.5 + rng.uniform(-0.5, 0.4), 0, 1) * (0.4 + 0.6 * share)
    return (sky * (1 - cover) + np.float32(245 * light.tint[1]) * cover).astype(np.float32)


def _hills(canvas: Array, top: int, light: Light, fine: Array, rng: np.random.Generator) -> None:
    """A far ridge, then a nearer line of trees."""
    width = canvas.shape[1]
    layers: tuple[tuple[float, Colour, float], ...] = ((0.16, (95, 90, 75), 0.55), (0.1, (45, 75, 55), 0.8))
    for share, colour, clear in layers:
        spots = np.interp(np.linspace(0, 24, width), np.arange(25), rng.random(25))
        rough = fine[int(rng.integers(256))][np.arange(width) % 256] * 0.06
        crest = top - canvas.shape[0] * share * np.clip(0.25 + 0.75 * spots + rough, 0, 2)
        high = max(int(crest.min()) - 1, 0)
        rows, columns = np.arange(high, top), np.arange(width) % 256
        cover = np.clip(rows[:, None] - crest + 0.5, 0, 1)[:, :, None].astype(np.float32)
        shade = (
            (1 + 0.14 * fine[rows % 256][:, columns])[:, :, None]
            * np.array(colour, np.float32)
            * np.array(light.tint, np.float32)
        )
        hazed = shade * clear + np.array(light.haze, np.float32) * (1 - clear)
        canvas[high:top] = canvas[high:top] * (1 - cover) + hazed * cover


def _ground(
    road: Road, camera: Camera, light: Light, top: int, fine: Array, soft: Array, rng: np.random.Generator
) -> Array:
    width, height = camera.size_wh
    u, v = camera.centre_px
    fall = (np.arange(top, height) + 0.5 - v) / camera.focal_px - camera.slope
    z = np.minimum(camera.ground_m / np.maximum(fall, 1e-4), FAR_M)  # one distance a row
    pixel_m = z / camera.focal_px
    middle = road.heading * z + road.bend * z * z - road.camera_q + camera.offset_m
    q = ((np.arange(width) + 0.5 - u)[None] * pixel_m[:, None] - middle[:, None]).astype(np.float32)
    table = _strips(road, rng)
    dashed = ((z + rng.uniform(0, 9)) % 9 < 4).astype(np.int64)
    level = np.clip(np.round(np.log2(pixel_m / STRIP_M)), 0, LEVELS - 1).astype(np.int64)
    cell = np.clip(q / STRIP_M + STRIP_CELLS / 2, 0, STRIP_CELLS - 1).astype(np.int64)
    found = table[((dashed * LEVELS + level) * STRIP_CELLS)[:, None] + cell]
    near = (np.clip(6.0 / z, 0.1, 1.0) * 0.9)[:, None].astype(np.float32)
    grain = near * fine[(z * 24).astype(np.int64)[:, None] % 256, (q * 24).astype(np.int64) % 256]
    grain += 0.6 * soft[(z * 5).astype(np.int64)[:, None] % 256, (q * 10).astype(np.int64) % 256]
    lit = (0.55 + 0.45 * light.ambient) * np.array(light.tint, np.float32)
    shade = found[:, :, :3] * (1 + found[:, :, 3:] * grain[:, :, None]) * lit
    clear = np.exp(-z / light.haze_m)[:, None, None].astype(np.float32)
    return shade * clear + np.array(light.haze, np.float32) * (1 - clear)


def _strips(road: Road, rng: np.random.Generator) -> Array:
    """(2 * LEVELS * STRIP_CELLS, 4): colour and roughness over q, without and with the dashes, at each coarseness."""
    q = (np.arange(STRIP_CELLS) - STRIP_CELLS / 2 + 0.5) * STRIP_M
    out = np.abs(q) - road.half_m
    tar = rng.uniform(85, 125) * np.array([1.0, 1.0, rng.uniform(0.96, 1.03)])
    grass = np.array([rng.uniform(45, 75), rng.uniform(95, 130), rng.uniform(75, 115)])
    slabs = rng.uniform(125, 165) * np.array([rng.uniform(0.88, 0.98), 0.97, 1.0])
    strip = np.concatenate([np.tile(tar, (STRIP_CELLS, 1)), np.full((STRIP_CELLS, 1), 0.06)], 1)
    for centre, _ in road.lanes:  # tyres polish two tracks in each lane
        worn = np.exp(-(((np.abs(q - centre) - 0.8) / 0.3) ** 2))[:, None]
        strip[:, :3] *= 1 - rng.uniform(0.02, 0.1) * worn
    kerbed = road.setting != "country"
    strip[out > 0] = [*(slabs if road.pavement_m else grass), 0.08 if road.pavement_m else 0.22]
    strip[out > road.pavement_m + 0.15] = [*grass, 0.22] if road.setting != "town" else [*(slabs * 0.85), 0.1]
    if kerbed:
        strip[np.abs(out) < 0.15] = [178, 180, 180, 0.05]
        strip[np.abs(out + 0.25) < 0.1] = [*(tar * 0.72), 0.06]
    white = np.array([205, 212, 212, 0.05]) if rng.random() < 0.8 else np.array([90, 190, 215, 0.05])
    edges = road.half_m - road.parking_m
    if rng.random() < 0.7:
        strip[np.abs(np.abs(q) - edges + 0.25) < 0.07] = [205, 212, 212, 0.05]
    dashed = strip.copy()
    for left in sorted(centre for centre, _ in road.lanes)[1:]:
        dashed[np.abs(q - left + road.lane_m / 2) < 0.07] = white
    both = np.stack([strip, dashed]).astype(np.float32)
    coarser = [cv2.blur(both, (2**level + 1, 1)) if level else both for level in range(LEVELS)]
    levels: Array = np.stack(coarser, 1).astype(np.float32)
    return levels.reshape(-1, 4)  # (2, LEVELS, CELLS, 4) -> (N, 4)


def _fronts(
    canvas: Array, side: int, road: Road, camera: Camera, light: Light, fine: Array, rng: np.random.Generator
) -> None:
    """House fronts, fences or hedges: an upright plane beside the road, cut into pieces; one distance a column."""
    width, height = camera.size_wh
    pieces = _pieces(road, rng)
    u, v = camera.centre_px
    ray = (np.arange(width) + 0.5 - u) / camera.focal_px
    away = road.x(side * (road.half_m + road.wall_m), 0.0) + camera.offset_m
    with np.errstate(divide="ignore"):
        z = away / (ray - road.heading)
    hit = np.flatnonzero((z > 0.5) & (z < 120.0) & (np.sign(ray - road.heading) == side))
    if not len(hit):
        return
    z = z[hit].astype(np.float32)
    piece = np.minimum(np.searchsorted(pieces["end"], z, side="right"), len(pieces["end"]) - 1)
    fall = ((np.arange(height) + 0.5 - v) / camera.focal_px).astype(np.float32)
    up = np.float32(camera.ground_m) + np.float32(camera.slope) * z - fall[:, None] * z
    pixel_m = z / camera.focal_px
    cover = np.clip((pieces["tall"][piece] - up) / pixel_m + 0.5, 0, 1) * np.clip(up / pixel_m + 0.5, 0, 1)
    rows = np.flatnonzero(cover.any(axis=1))
    if not len(rows):
        return
    cut = slice(rows[0], rows[-1] + 1)
    up, cover = up[cut], cover[cut]
    wide = np.abs(z * z / (camera.focal_px * away)) / pieces["bay"][piece]
    across = np.abs((z / pieces["bay"][piece]) % 1 - 0.5)
    along = np.abs((up / pieces["storey"][piece]) % 1 - 0.55)
    pane = np.clip((pieces["glass"][piece] - across) / wide + 0.5, 0, 1)
    pane = pane * np.clip((0.27 - along) * pieces["storey"][piece] / pixel_m + 0.5, 0, 1) * pieces["windows"][piece]
    pane = np.where(up > pieces["tall"][piece] - 0.5, 0, pane)
    lit = float(light.ambient + (1 - light.ambient) * max(-side * float(light.sun[0]), 0.0))
    grain = fine[(up * 12).astype(np.int64) % 256, (z * 12).astype(np.int64)[None] % 256] * np.clip(10 / z, 0.15, 1)
    wall = pieces["colour"][piece][None] * (1 + pieces["rough"][piece][:, None] * grain[:, :, None]) * lit
    trim = (up > pieces["tall"][piece] - 0.35) & (pieces["windows"][piece] > 0)
    wall = np.where(trim[:, :, None], wall * 0.7, wall)
    glass = np.array([82, 74, 66], np.float32) * (0.7 + 0.6 * pieces["tone"][piece])[:, None] * (0.5 + 0.5 * lit)
    shade = wall * (1 - pane[:, :, None]) + glass[None] * pane[:, :, None]
    clear = np.exp(-z / np.float32(light.haze_m))[None, :, None]
    shade = shade * np.array(light.tint, np.float32) * clear + np.array(light.haze, np.float32) * (1 - clear)
    behind = canvas[cut][:, hit]
    canvas[cut.start : cut.stop, hit] = behind + (shade - behind) * cover[:, :, None]


def _pieces(road: Road, rng: np.random.Generator) -> dict[str, Array]:
    """The pieces of one side's fronts, nearest first; a piece of height 0 is a gap."""
    count = 24
    house = {"town": 0.85, "suburb": 0.4, "country": 0.06}[road.setting]
    hedge = {"town": 0.5, "suburb": 0.7, "country": 0.25}[road.setting]
    draw = rng.random((count, 4))
    is_house, is_hedge = draw[:, 0] < house, draw[:, 1] < hedge
    low, high = (6.0, 16.0) if road.setting == "town" else (4.0, 8.0)
    tall = np.where(is_house, low + (high - low) * draw[:, 2], np.where(is_hedge, 0.8 + 1.4 * draw[:, 2], 0.0))
    base = rng.uniform(80, 205, count)[:, None] + rng.uniform(-30, 30, (count, 3)) + np.array([-18, 0, 14])
    leaf = np.array([45, 85, 60]) * rng.uniform(0.7, 1.2, count)[:, None]
    pieces = {
        "end": np.cumsum(rng.uniform(5, 14, count)),
        "tall": tall,
        "colour": np.where(is_house[:, None], np.clip(base, 40, 235), leaf),
        "windows": is_house.astype(float),
        "bay": rng.uniform(1.8, 3.6, count),
        "storey": rng.uniform(2.7, 3.4, count),
        "glass": rng.uniform(0.2, 0.36, count),
        "rough": np.where(is_house, 0.05, 0.25),
        "tone": draw[:, 3],
    }
    return {name: values.astype(np.float32) for name, values in pieces.items()}
