"""Made scenes: a function of seed, index and size; what is said of an object is what is drawn."""

from collections.abc import Callable

import numpy as np
import pytest

from tltpy.synth.camera import Camera
from tltpy.synth.mesh import Mesh
from tltpy.synth.paint import Light, Placed, bounds_px, draw, patches, silhouette
from tltpy.synth.people import cyclist, pedestrian
from tltpy.synth.scene import (
    DONT_CARE,
    FULLY_VISIBLE,
    KINDS,
    LEAST_VISIBLE,
    PARTLY_VISIBLE,
    Scene,
    make_scene,
)
from tltpy.synth.vehicles import car, van

SIZE_WH = (360, 140)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [make_scene(7, index, SIZE_WH) for index in range(20)]


def test_the_same_numbers_make_the_same_scene(scenes: list[Scene]) -> None:
    again = make_scene(7, 5, SIZE_WH)
    np.testing.assert_array_equal(again.image, scenes[5].image)
    np.testing.assert_array_equal(again.ids, scenes[5].ids)
    assert again.seen == scenes[5].seen


def test_another_seed_or_index_makes_another_scene(scenes: list[Scene]) -> None:
    other = make_scene(8, 5, SIZE_WH)
    assert other.seen != scenes[5].seen
    assert np.mean(other.image != scenes[5].image) > 0.5
    assert len({scene.image.tobytes() for scene in scenes}) == len(scenes)


def test_the_picture_is_no_plain_plane(scenes: list[Scene]) -> None:
    for scene in scenes:
        assert scene.image.shape == (140, 360, 3) and scene.image.dtype == np.uint8
        assert scene.ids.shape == (140, 360)
        assert scene.image.std() > 15
        assert 40 < scene.image.mean() < 215


def test_every_class_appears_and_every_scene_has_an_object(scenes: list[Scene]) -> None:
    kinds = [{seen.kind for seen in scene.seen} for scene in scenes]
    assert all(found & set(KINDS) for found in kinds)
    assert set().union(*kinds) == {*KINDS, DONT_CARE}


def test_an_object_is_as_large_and_as_visible_as_is_promised(scenes: list[Scene]) -> None:
    for seen in (seen for scene in scenes for seen in scene.seen if seen.kind != DONT_CARE):
        x1, y1, x2, y2 = seen.box_xyxy
        assert 0 <= x1 < x2 <= SIZE_WH[0] - 1 and 0 <= y1 < y2 <= SIZE_WH[1] - 1
        assert seen.truncated or y2 - y1 >= KINDS[seen.kind][2] * SIZE_WH[0]
        assert LEAST_VISIBLE <= seen.visible <= 1 and 0 <= seen.truncated < 1
        assert seen.occluded == (seen.visible < FULLY_VISIBLE) + (seen.visible < PARTLY_VISIBLE)


def test_the_box_of_a_free_object_bounds_its_pixels(scenes: list[Scene]) -> None:
    checked = 0
    for scene in scenes:
        for number, seen in enumerate(scene.seen, 1):
            rows, columns = np.nonzero(scene.ids == number)
            x1, y1, x2, y2 = seen.box_xyxy
            assert rows.min() >= y1 - 1.5 and rows.max() <= y2 + 1.5
            assert columns.min() >= x1 - 1.5 and columns.max() <= x2 + 1.5
            if seen.visible == 1:
                tight = (columns.min(), rows.min(), columns.max(), rows.max())
                np.testing.assert_allclose(tight, seen.box_xyxy, atol=1.6)
                checked += 1
    assert checked > 10


def test_what_hides_an_object_takes_its_pixels(scenes: list[Scene]) -> None:
    """The share that is visible is that of the pixels left among all that the object would have alone."""
    hidden = [seen for scene in scenes for seen in scene.seen if seen.visible < 0.9 and seen.kind != DONT_CARE]
    assert hidden
    filled = []
    for scene in scenes:
        for number, seen in enumerate(scene.seen, 1):
            x1, y1, x2, y2 = seen.box_xyxy
            if seen.kind == "Van":  # nearly fills its box
                filled.append((np.count_nonzero(scene.ids == number) / ((x2 - x1) * (y2 - y1)), seen.visible))
    share, visible = np.array(filled).T
    assert np.corrcoef(share, visible)[0, 1] > 0.5


@pytest.mark.parametrize(("yaw", "tail"), [(-np.pi / 2, True), (np.pi / 2, False), (-1.2, True), (1.9, False)])
def test_a_car_shows_the_end_that_is_turned_to_the_camera(yaw: float, tail: bool) -> None:
    drawn = patches(_placed(car(np.random.default_rng(3)), yaw, 10.0), _camera(), _light())
    red = [p for p in drawn if p.colour[2] > 4 * p.colour[0] and p.colour[2] > 150]
    white = [p for p in drawn if min(p.colour) > 195]
    assert len(red) == (2 if tail else 0)
    assert len(white) == (0 if tail else 2)


def test_a_car_from_the_side_hides_its_other_side() -> None:
    shape = car(np.random.default_rng(3))
    seen = patches(_placed(shape, 0.0, 10.0), _camera(), _light())
    top, left, bottom, right = (bounds_px(seen)[i] for i in (1, 0, 3, 2))
    assert right - left > 2 * (bottom - top)
    assert len(seen) < 0.6 * len(shape.facets)


@pytest.mark.parametrize("make", [car, van, pedestrian, cyclist])
def test_a_thing_stays_within_its_solid(make: Callable[[np.random.Generator], Mesh]) -> None:
    """Its bounding box in metres, projected, holds every pixel it paints, and is not much larger."""
    camera = _camera()
    for seed in range(6):
        thing = _placed(make(np.random.default_rng(seed)), 0.4 + seed, 9.0 + seed)
        x1, y1, x2, y2 = bounds_px(patches(thing, camera, _light()))
        corners = camera.project(thing.corners())
        (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
        assert left - 1 <= x1 < x2 <= right + 1 and top - 1 <= y1 < y2 <= bottom + 1
        assert (x2 - x1) * (y2 - y1) > 0.55 * (right - left) * (bottom - top)


def test_painting_changes_the_silhouette_alone() -> None:
    drawn = patches(_placed(van(np.random.default_rng(1)), 0.7, 11.0), _camera(), _light())
    mask = silhouette(drawn, SIZE_WH)
    picture = np.full((SIZE_WH[1], SIZE_WH[0], 3), 128, np.uint8)
    draw(picture, drawn, mask, np.zeros((16, 16), np.float32))
    changed = (picture != 128).any(axis=2)
    assert np.count_nonzero(changed & (mask > 0)) > 0.95 * np.count_nonzero(mask)
    assert np.count_nonzero(changed & (mask == 0)) < 0.1 * np.count_nonzero(mask)  # softened edges


def _camera() -> Camera:
    return Camera(size_wh=SIZE_WH)


def _light() -> Light:
    sun = np.array([0.3, -0.8, -0.52])
    return Light(sun=sun, ambient=0.7, tint=(1.0, 1.0, 1.0), haze=(200, 200, 200), haze_m=1e6)


def _placed(shape: Mesh, yaw: float, z: float) -> Placed:
    return Placed("Car", shape, np.array([0.0, 1.65, z]), yaw)
