"""Cars and vans: shapes, glass, wheels and lights, at the sizes usual on a European road."""

import numpy as np

from tltpy.synth.mesh import Colour, Facet, Mesh, Mode, decal, disc, frustum, mesh, patch, prism, shaded

PAINTS: tuple[Colour, ...] = (
    (225, 225, 225), (190, 192, 195), (150, 150, 148), (105, 104, 100), (60, 58, 55), (38, 36, 36), (52, 46, 160),
    (140, 70, 45), (110, 60, 30), (70, 95, 60), (80, 150, 190), (160, 140, 90), (60, 110, 170), (70, 40, 100),
)  # fmt: skip
GLASS: Colour = (72, 62, 52)
RUBBER: Colour = (30, 30, 30)
TRIM: Colour = (45, 45, 45)
HEADLIGHT: Colour = (235, 250, 255)
TAILLIGHT: Colour = (35, 30, 205)
PLATE: Colour = (215, 228, 228)


def car(rng: np.random.Generator) -> Mesh:
    """A saloon, a hatchback or an estate."""
    length, width, height = rng.uniform(3.7, 4.6), rng.uniform(1.62, 1.85), rng.uniform(1.4, 1.6)
    paint = _paint(rng)
    tail, lean, hood = [(0.37, 0.13, 0.24), (0.47, 0.09, 0.2), (0.48, 0.05, 0.21)][rng.integers(3)]
    belt, sill = height * rng.uniform(0.58, 0.64), 0.2
    half = length / 2
    profile = [
        (-half, 0.4), (-half, belt - 0.06), (-half + 0.12, belt), (hood * length, belt), (half - 0.12, belt - 0.17),
        (half, belt - 0.3), (half, 0.4), (half - 0.12, sill), (-half + 0.12, sill),
    ]  # fmt: skip
    wheels = [(-0.3 * length, 0.33), (0.31 * length, 0.33)]
    body = prism(profile, width, paint)
    facets = _tyres(wheels, width) + _dressed_body(body, wheels, half, belt, sill, paint)
    base, top = (
        (-tail * length, hood * length, width * 0.96),
        ((lean - tail) * length, (hood - 0.17) * length, width * 0.76),
    )
    cabin = frustum(base, top, (belt, height), paint)
    return mesh(facets + _glazed_cabin(cabin, rng))


def van(rng: np.random.Generator) -> Mesh:
    """One tall box with a short nose; with side windows (a minibus) or without (a delivery van)."""
    length, width, height = rng.uniform(4.7, 5.6), rng.uniform(1.85, 2.05), rng.uniform(2.15, 2.55)
    paint = _paint(rng)
    half, sill, belt = length / 2, 0.24, height * 0.5
    profile = [
        (-half, 0.42), (-half, height - 0.1), (-half + 0.1, height), (half - 1.35, height), (half - 0.55, belt + 0.06),
        (half, belt - 0.16), (half, 0.42), (half - 0.12, sill), (-half + 0.12, sill),
    ]  # fmt: skip
    wheels = [(-0.29 * length, 0.36), (0.32 * length, 0.36)]
    body = prism(profile, width, paint)
    facets = _tyres(wheels, width) + _dressed_body(body, wheels, half, belt, sill, paint)
    windscreen, rear = body[5], body[2]
    facets += [
        decal(windscreen, GLASS, (0.07, 0.93), (0.1, 0.92)),
        decal(windscreen, shaded(GLASS, 1.5), (0.55, 0.8), (0.3, 0.85)),
    ]
    facets += [decal(rear, GLASS, (s, s + 0.32), (0.55, 0.88)) for s in (0.13, 0.55)]
    facets.append(decal(rear, TRIM, (0.49, 0.51), (0.05, 0.95)))
    bus = rng.random() < 0.5
    stripe = shaded(paint, 0.72)
    for side in body[:2]:
        low, high = belt + 0.08, height - 0.28
        facets.append(
            patch(side, GLASS, [(half - 1.95, low), (half - 0.72, low), (half - 1.35, high), (half - 1.95, high)])
        )
        rear_edge = -half + 0.3
        if bus:
            step = (half - 2.05 - rear_edge) / 2
            facets += [_pane(side, rear_edge + i * step, rear_edge + (i + 1) * step - 0.1, low, high) for i in range(2)]
        else:
            facets.append(
                patch(side, stripe, [(rear_edge, 0.75), (half - 2.1, 0.75), (half - 2.1, 0.95), (rear_edge, 0.95)])
            )
    return mesh(facets)


def _paint(rng: np.random.Generator) -> Colour:
    return shaded(PAINTS[rng.integers(len(PAINTS))], rng.uniform(0.85, 1.12))


def _pane(side: Facet, rear: float, front: float, low: float, high: float) -> Facet:
    return patch(side, GLASS, [(rear, low), (front, low), (front, high), (rear, high)])


def _tyres(wheels: list[tuple[float, float]], width: float) -> list[Facet]:
    """Each tyre as the hull of its inner and outer circle; the body is painted over its upper part."""
    turn = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    facets = []
    for forward, radius in wheels:
        circle = np.column_stack([forward + radius * np.cos(turn), radius + radius * np.sin(turn), np.zeros(12)])
        for side in (-1, 1):
            inner, outer = (circle + (0, 0, side * at) for at in (width / 2 - 0.24, width / 2 - 0.02))
            facets.append(Facet(np.concatenate([inner, outer]), RUBBER, Mode.HULL))
    return facets


def _dressed_body(
    body: list[Facet], wheels: list[tuple[float, float]], half: float, belt: float, sill: float, paint: Colour
) -> list[Facet]:
    """The faces of a body, each followed by what is fixed to it: wheels, doors, lights, bumpers, plates."""
    left, right, rear, *others = body
    front = others[4]
    facets = []
    for side in (left, right):
        facets.append(side)
        facets.append(
            patch(side, TRIM, [(-half + 0.13, sill), (half - 0.13, sill), (half - 0.05, 0.3), (-half + 0.05, 0.3)])
        )
        for door in (-0.12 * half, 0.42 * half):
            spots = [(door - 0.015, 0.3), (door + 0.015, 0.3), (door + 0.015, belt - 0.04), (door - 0.015, belt - 0.04)]
            facets.append(patch(side, shaded(paint, 0.6), spots))
        for forward, radius in wheels:
            rim = shaded((165, 165, 165), 1.0)
            facets += [disc(side, shaded(paint, 0.35), forward, radius, radius + 0.07)]
            facets += [disc(side, RUBBER, forward, radius, radius), disc(side, rim, forward, radius, radius * 0.6)]
            facets.append(disc(side, TRIM, forward, radius, radius * 0.2, 8))
    facets += [*others[:4], *others[5:]]
    facets += [rear, decal(rear, TRIM, (0.0, 1.0), (0.0, 0.14)), decal(rear, PLATE, (0.36, 0.64), (0.2, 0.42))]
    facets += [decal(rear, TAILLIGHT, spot, (0.5, 0.92), glow=True) for spot in ((0.02, 0.17), (0.83, 0.98))]
    facets += [front, decal(front, TRIM, (0.24, 0.76), (0.45, 0.95)), decal(front, PLATE, (0.38, 0.62), (0.1, 0.4))]
    facets += [decal(front, HEADLIGHT, spot, (0.4, 0.98), glow=True) for spot in ((0.02, 0.21), (0.79, 0.98))]
    return facets


def _glazed_cabin(cabin: list[Facet], rng: np.random.Generator) -> list[Facet]:
    left, right, front, rear, roof = cabin
    facets = []
    pillar = rng.uniform(0.48, 0.56)
    for side in (left, right):
        facets += [
            side,
            decal(side, GLASS, (0.07, pillar - 0.02), (0.1, 0.88)),
            decal(side, GLASS, (pillar + 0.02, 0.93), (0.1, 0.88)),
        ]
    facets += [
        front,
        decal(front, GLASS, (0.06, 0.94), (0.06, 0.92)),
        decal(front, shaded(GLASS, 1.5), (0.6, 0.8), (0.25, 0.9)),
    ]
    return [*facets, rear, decal(rear, GLASS, (0.08, 0.92), (0.15, 0.88)), roof]
