"""What stands at the roadside and has no label: trees, lamps, signs, bins, bushes."""

import numpy as np

from tltpy.synth.mesh import Colour, Facet, Mesh, box, capsule, decal, mesh, shaded

METAL: Colour = (120, 120, 118)


def tree(rng: np.random.Generator) -> Mesh:
    trunk, crown = rng.uniform(1.8, 2.8), rng.uniform(1.0, 1.8)
    leaf: Colour = (rng.uniform(25, 60), rng.uniform(75, 125), rng.uniform(45, 95))
    facets = [capsule((0, 0, 0), (rng.uniform(-0.2, 0.2), trunk + 0.4, 0), (0.16, 0.1), (55, 75, 95))]
    facets += _leaves(rng, 22, trunk + crown, crown, leaf)
    return mesh(facets)


def bush(rng: np.random.Generator) -> Mesh:
    size = rng.uniform(0.35, 0.7)
    leaf: Colour = (rng.uniform(25, 55), rng.uniform(70, 115), rng.uniform(45, 85))
    return mesh(_leaves(rng, 12, size, size * 0.8, leaf))


def lamp(rng: np.random.Generator) -> Mesh:
    tall = rng.uniform(4.5, 6.5)
    arm = (0.2, tall + 0.25, rng.choice([-1.3, 1.3]))
    facets = [capsule((0, 0, 0), (0, tall, 0), (0.09, 0.055), METAL), capsule((0, tall, 0), arm, 0.05, METAL)]
    return mesh(
        [*facets, capsule((arm[0], arm[1], arm[2] - 0.2), (arm[0], arm[1], arm[2] + 0.2), 0.09, (200, 215, 215))]
    )


def sign(rng: np.random.Generator) -> Mesh:
    """A post with a plate that faces along the road."""
    up, size = rng.uniform(2.0, 2.6), rng.uniform(0.5, 0.8)
    colours: tuple[Colour, ...] = ((40, 40, 190), (170, 90, 30), (60, 180, 220), (215, 215, 215))
    rim = colours[rng.integers(len(colours))]
    plate = box(0.06, size, (up, up + size), rim)
    inner = [decal(plate[i], shaded((225, 225, 225), 1.0), (0.15, 0.85), (0.15, 0.85)) for i in (2, 3)]
    return mesh([capsule((0, 0, 0), (0, up + 0.1, 0), 0.04, METAL), *plate, *inner])


def bin_box(rng: np.random.Generator) -> Mesh:
    """A litter bin, a cabinet, a letter box."""
    colours: tuple[Colour, ...] = ((60, 90, 50), (90, 90, 95), (40, 40, 150), (50, 150, 190), (60, 60, 60))
    paint, tall = colours[rng.integers(len(colours))], rng.uniform(0.8, 1.4)
    body = box(rng.uniform(0.4, 0.9), rng.uniform(0.4, 0.9), (0, tall), paint)
    return mesh([*body, *(decal(face, shaded(paint, 0.5), (0.15, 0.85), (0.72, 0.82)) for face in body[:4])])


def _leaves(rng: np.random.Generator, count: int, up: float, radius: float, leaf: Colour) -> list[Facet]:
    """Balls within a ball; the lower and rearward ones first, and darker."""
    spots = rng.normal(size=(count, 3))
    spots *= (rng.random((count, 1)) ** 0.33) * radius / np.linalg.norm(spots, axis=1, keepdims=True)
    spots = spots[np.argsort(spots[:, 1])]
    sizes, tones = rng.uniform(0.28, 0.45, count) * radius, rng.uniform(0.8, 1.1, count)
    return [
        capsule(
            spot + (0, up, 0),
            spot + (0, up + 0.02, 0),
            float(size),
            shaded(leaf, float(tone * (0.8 + 0.3 * spot[1] / radius))),
        )
        for spot, size, tone in zip(spots, sizes, tones, strict=True)
    ]
