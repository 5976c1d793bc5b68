"""Pedestrians and cyclists out of capsules, in a random phase of their step."""

import numpy as np

from tltpy.synth.mesh import Colour, Facet, Mesh, capsule, mesh, ring, shaded

SKINS: tuple[Colour, ...] = ((150, 180, 225), (120, 155, 205), (90, 120, 170), (60, 80, 120))
HAIR: tuple[Colour, ...] = ((25, 30, 40), (35, 55, 85), (90, 140, 170), (130, 130, 130))
SHOE: Colour = (35, 35, 40)


def pedestrian(rng: np.random.Generator) -> Mesh:
    tall = rng.uniform(1.5, 1.9)
    shirt, trousers, skin, hair = _clothes(rng), shaded(_clothes(rng), 0.7), _pick(rng, SKINS), _pick(rng, HAIR)
    swing, girth = rng.uniform(0.05, 0.5), rng.uniform(0.9, 1.2)
    hip, shoulder = 0.5 * tall, 0.8 * tall
    facets = []
    for side, sign in ((1, 1), (-1, -1)):
        foot = (0.47 * tall * np.sin(swing) * sign, 0.045 * tall + 0.02 * tall * (sign < 0), side * 0.055 * tall)
        knee = (foot[0] * 0.5 + 0.05 * tall * swing, 0.27 * tall, side * 0.055 * tall)
        facets += _limb((0.0, hip, side * 0.05 * tall), knee, foot, (0.055 * tall, 0.04 * tall, 0.028 * tall), trousers)
        facets.append(
            capsule((foot[0] - 0.02, 0.022 * tall, foot[2]), (foot[0] + 0.14, 0.02 * tall, foot[2]), 0.02 * tall, SHOE)
        )
        hand = (-0.3 * tall * np.sin(swing) * sign, hip - 0.04 * tall, side * 0.15 * tall * girth)
        elbow = (-0.14 * tall * np.sin(swing) * sign - 0.02, 0.63 * tall, side * 0.15 * tall * girth)
        top = (0.0, shoulder - 0.01 * tall, side * 0.125 * tall * girth)
        facets += _limb(top, elbow, hand, (0.036 * tall, 0.03 * tall, 0.024 * tall), shaded(shirt, 0.9))
        facets.append(capsule(hand, (hand[0], hand[1] - 0.03, hand[2]), 0.022 * tall, skin))
        facets.append(_torso_half(side, tall, girth, hip, shoulder, shirt))
    facets.append(capsule((0, shoulder, 0), (0, 0.88 * tall, 0), 0.03 * tall, skin))
    facets += _head(0.01, 0.925 * tall, 0.062 * tall, skin, hair)
    if rng.random() < 0.3:
        facets.append(
            capsule((-0.09 * tall, 0.6 * tall, 0), (-0.09 * tall, 0.75 * tall, 0), 0.075 * tall, _clothes(rng))
        )
    return mesh(facets, by_depth=True)


def cyclist(rng: np.random.Generator) -> Mesh:
    scale = rng.uniform(0.93, 1.06)
    shirt, trousers, skin, hat = _clothes(rng), shaded(_clothes(rng), 0.7), _pick(rng, SKINS), _clothes(rng)
    phase, lean = rng.uniform(0, 2 * np.pi), rng.uniform(0.0, 0.16)
    facets = _bicycle(_clothes(rng))
    hip, neck = (-0.2, 0.98), (0.08 + lean, 1.45 - 0.4 * lean)
    for side in (1, -1):
        pedal = (0.05 + 0.17 * np.cos(phase) * side, 0.3 + 0.17 * np.sin(phase) * side, side * 0.12)
        reach = np.hypot(pedal[0] - hip[0], hip[1] - pedal[1])
        bend = np.sqrt(max(0.45**2 - (reach / 2) ** 2, 0.0))
        knee = ((hip[0] + pedal[0]) / 2 + bend, (hip[1] + pedal[1]) / 2 + 0.35 * bend, side * 0.13)
        facets += _limb((hip[0], hip[1] - 0.03, side * 0.09), knee, pedal, (0.095, 0.07, 0.045), trousers)
        facets.append(
            capsule(
                (pedal[0] - 0.06, pedal[1] - 0.04, pedal[2]), (pedal[0] + 0.14, pedal[1] - 0.05, pedal[2]), 0.04, SHOE
            )
        )
        hand = (0.43, 1.05, side * 0.25)
        elbow = (0.22 + lean / 2, 1.2, side * 0.27)
        facets += _limb(
            (neck[0] + 0.02, neck[1] - 0.06, side * 0.17), elbow, hand, (0.06, 0.05, 0.04), shaded(shirt, 0.88)
        )
        facets.append(
            capsule((hip[0], hip[1], side * 0.07), (neck[0], neck[1] - 0.06, side * 0.12), (0.12, 0.11), shirt)
        )
    facets.append(capsule((neck[0], neck[1], 0), (neck[0] + 0.06, neck[1] + 0.13, 0), 0.055, skin))
    facets += _head(neck[0] + 0.09, neck[1] + 0.2, 0.105, skin, hat)
    return mesh(
        [Facet(f.points * scale, f.colour, f.mode, (f.radius[0] * scale, f.radius[1] * scale)) for f in facets],
        by_depth=True,
    )


def _bicycle(paint: Colour) -> list[Facet]:
    rear, front, crank, saddle, head = (-0.52, 0.34), (0.55, 0.34), (0.05, 0.3), (-0.18, 0.88), (0.4, 0.86)
    tubes = [(rear, crank), (crank, saddle), (crank, head), (saddle, head), (head, front), (rear, saddle)]
    facets = [ring(forward, up, 0.32, 0.03, (28, 28, 28)) for forward, up in (rear, front)]
    facets += [capsule((*a, 0.0), (*b, 0.0), 0.024, paint) for a, b in tubes]
    facets.append(capsule((*head, 0.0), (0.43, 1.02, 0.0), 0.022, (60, 60, 60)))
    facets.append(capsule((0.43, 1.03, -0.28), (0.43, 1.03, 0.28), 0.022, (60, 60, 60)))
    return [*facets, capsule((-0.3, 0.9, 0.0), (-0.08, 0.9, 0.0), 0.045, (35, 35, 35))]


def _limb(
    start: tuple[float, ...],
    bend: tuple[float, ...],
    end: tuple[float, ...],
    radii: tuple[float, float, float],
    colour: Colour,
) -> list[Facet]:
    return [
        capsule(start, bend, (radii[0], radii[1]), colour),
        capsule(bend, end, (radii[1], radii[2]), shaded(colour, 0.95)),
    ]


def _torso_half(side: int, tall: float, girth: float, hip: float, shoulder: float, shirt: Colour) -> Facet:
    low, high = (0.0, hip, side * 0.045 * tall * girth), (0.0, shoulder - 0.03 * tall, side * 0.075 * tall * girth)
    return capsule(low, high, (0.06 * tall * girth, 0.062 * tall * girth), shirt)


def _head(forward: float, up: float, radius: float, skin: Colour, hair: Colour) -> list[Facet]:
    face = capsule((forward + 0.03, up - 0.2 * radius, 0), (forward + 0.03, up, 0), radius * 0.92, skin)
    crown = capsule((forward - 0.03, up + 0.1 * radius, 0), (forward, up + 0.3 * radius, 0), radius, hair)
    return [face, crown]


def _clothes(rng: np.random.Generator) -> Colour:
    """Any hue, from dull to bright."""
    grey, spread = rng.uniform(40, 190), rng.uniform(5, 75)
    tint = grey + spread * rng.uniform(-1, 1, 3)
    return (float(tint[0]), float(tint[1]), float(tint[2]))


def _pick(rng: np.random.Generator, colours: tuple[Colour, ...]) -> Colour:
    return colours[rng.integers(len(colours))]
