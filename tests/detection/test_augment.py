"""Random maps and colours: their pieces are what they are called, their draws stay in the published ranges."""

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest

from tltpy.detection import augment
from tltpy.detection.augment import Color, Hsv, Spatial

SIZE_HW = (62, 101)
SEEDS = range(60)
GREYS = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)  # [1, 256, 3]


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def moved(matrix: np.ndarray, *points_xy: tuple[float, float]) -> np.ndarray:
    return np.column_stack([np.array(points_xy), np.ones(len(points_xy))]) @ matrix[:2].T


def corners() -> list[tuple[float, float]]:
    """Of the picture's edge; the centre of the first pixel is (0, 0)."""
    height, width = SIZE_HW
    return [(-0.5, -0.5), (width - 0.5, -0.5), (width - 0.5, height - 0.5), (-0.5, height - 0.5)]


def extent(matrix: np.ndarray) -> tuple[float, float, float, float]:
    """x1 y1 x2 y2 of the picture's edge after the map, measured from the output's edge."""
    points = moved(matrix, *corners()) + 0.5
    return (*points.min(axis=0), *points.max(axis=0))


def pictures(count: int = 3) -> np.ndarray:
    return rng(count).integers(0, 256, (SIZE_HW[0], SIZE_HW[1], 3), dtype=np.uint8)


# Places


@pytest.mark.parametrize(("horizontal", "vertical"), [(True, False), (False, True), (True, True), (False, False)])
def test_flip_is_the_reversal_of_the_pixels(horizontal: bool, vertical: bool) -> None:
    image = pictures()
    expected = image[:: -1 if vertical else 1, :: -1 if horizontal else 1]
    matrix = augment.flip(horizontal, vertical, SIZE_HW)
    assert np.array_equal(cv2.warpAffine(image, matrix[:2], SIZE_HW[::-1]), expected)


@pytest.mark.parametrize("angle", [0.3, -1.2])
def test_rotation_keeps_the_centre_and_lengths_and_turns_x_towards_y(angle: float) -> None:
    height, width = SIZE_HW
    middle = ((width - 1) / 2, (height - 1) / 2)
    matrix = augment.rotation(angle, SIZE_HW)
    centre, right = moved(matrix, middle, (middle[0] + 10, middle[1]))
    assert centre == pytest.approx(middle)
    assert right - centre == pytest.approx((10 * math.cos(angle), 10 * math.sin(angle)))
    assert matrix[:2, :2] @ matrix[:2, :2].T == pytest.approx(np.eye(2))


def test_half_a_turn_is_both_flips() -> None:
    assert augment.rotation(math.pi, SIZE_HW) == pytest.approx(augment.flip(True, True, SIZE_HW))


def test_window_of_a_zoom_lies_in_the_picture() -> None:
    height, width = SIZE_HW
    offsets = []
    for seed in SEEDS:
        matrix = Spatial(zoom_min=1.2, zoom_max=1.9).draw(rng(seed), SIZE_HW)
        ratio = matrix[0, 0]
        assert 1.2 <= ratio <= 1.9 and matrix[1, 1] == ratio and not (matrix[0, 1] or matrix[1, 0])
        x1, y1, x2, y2 = extent(matrix)  # the picture covers the output
        assert x1 <= 1e-9 and y1 <= 1e-9 and x2 >= width - 1e-9 and y2 >= height - 1e-9
        offsets.append((-x1 / (ratio * width - width), -y1 / (ratio * height - height)))
    assert np.min(offsets, axis=0).max() < 0.15 and np.max(offsets, axis=0).min() > 0.85


def test_shrunken_picture_lies_in_the_output() -> None:
    height, width = SIZE_HW
    for seed in SEEDS:
        x1, y1, x2, y2 = extent(Spatial(zoom_min=0.4, zoom_max=0.8).draw(rng(seed), SIZE_HW))
        assert x1 >= -1e-9 and y1 >= -1e-9 and x2 <= width + 1e-9 and y2 <= height + 1e-9


@pytest.mark.parametrize("ratio", [0.6, 1.0, 1.7])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_window_at_the_end_of_its_range_ends_with_the_picture(share: float, ratio: float) -> None:
    height, width = SIZE_HW
    x1, y1, x2, y2 = extent(Spatial(zoom_min=ratio, zoom_max=ratio).draw(Fixed(share), SIZE_HW))  # type: ignore[arg-type]
    assert (x1, y1) == pytest.approx((share * width * (1 - ratio), share * height * (1 - ratio)))
    assert (x2 - x1, y2 - y1) == pytest.approx((ratio * width, ratio * height))


class Fixed:
    """In place of a generator: always the same share of the range."""

    def __init__(self, share: float) -> None:
        self.share = share

    def random(self, count: int | None = None) -> float | np.ndarray:
        return self.share if count is None else np.full(count, self.share)

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * self.share

    def integers(self, low: np.ndarray, high: np.ndarray, *, endpoint: bool) -> np.ndarray:
        return np.rint(low + (high - low) * self.share)


def test_translation_is_whole_and_reaches_its_bounds() -> None:
    shifts = []
    for seed in range(200):
        matrix = Spatial(translate_x=3.7, translate_y=2).draw(rng(seed), SIZE_HW)
        assert np.array_equal(matrix[:2, :2], np.eye(2))
        shifts.append(matrix[:2, 2])
    assert np.array_equal(np.unique(np.array(shifts)[:, 0]), np.arange(-3, 4))
    assert np.array_equal(np.unique(np.array(shifts)[:, 1]), np.arange(-2, 3))


@pytest.mark.parametrize(("share", "few", "many"), [(0.0, 0, 0), (0.3, 60, 120), (1.0, 300, 300)])
def test_flips_come_with_their_probability(share: float, few: int, many: int) -> None:
    across = [Spatial(hflip=share).draw(rng(seed), SIZE_HW)[0, 0] == -1 for seed in range(300)]
    down = [Spatial(vflip=share).draw(rng(seed), SIZE_HW)[1, 1] == -1 for seed in range(300)]
    assert few <= sum(across) <= many and few <= sum(down) <= many


def test_rotations_come_with_their_probability_and_within_their_range() -> None:
    angles = []
    for seed in range(300):
        matrix = Spatial(rotate=0.4, rotate_probability=0.6).draw(rng(seed), SIZE_HW)
        angles.append(math.atan2(matrix[1, 0], matrix[0, 0]))
    assert 140 <= np.count_nonzero(angles) <= 220
    assert max(angles) <= 0.4 and min(angles) >= -0.4 and max(angles) > 0.35 and min(angles) < -0.35


def test_nothing_asked_for_is_the_identity() -> None:
    assert all(Spatial().draw(rng(seed), SIZE_HW) == pytest.approx(np.eye(3)) for seed in range(5))


def test_pieces_follow_one_another_in_the_published_order() -> None:
    """flip -> rotate -> zoom -> translate: one draw of all is the product of the draws of each."""
    every = Spatial(1.0, 1.0, 0.7, 1.6, 8, 5, 0.5)
    for seed in range(20):
        whole = every.draw(rng(seed), SIZE_HW)
        turned = replace(every, zoom_min=1, zoom_max=1, translate_x=0, translate_y=0).draw(rng(seed), SIZE_HW)
        still = Spatial(zoom_min=0.7, zoom_max=1.6)
        zoomed = still.draw(rng(seed), SIZE_HW)
        placed = replace(still, translate_x=8, translate_y=5).draw(rng(seed), SIZE_HW)
        angle = math.atan2(-turned[1, 0], -turned[0, 0])  # both flips are half a turn
        expected = augment.rotation(angle, SIZE_HW) @ augment.flip(True, True, SIZE_HW)
        assert turned == pytest.approx(expected)
        assert whole == pytest.approx(placed @ turned)
        assert placed[:2, :2] == pytest.approx(zoomed[:2, :2])
        assert placed[:2, 2] - zoomed[:2, 2] == pytest.approx(np.rint(placed[:2, 2] - zoomed[:2, 2]))


@pytest.mark.parametrize("seed", range(8))
def test_matrix_says_where_marked_points_go(seed: int) -> None:
    """Against the centre of mass of a spot in a picture that an independent, inverse bilinear look-up warps."""
    matrix = Spatial(0.5, 0.5, 0.9, 1.3, 6, 4, 0.4).draw(rng(seed), SIZE_HW)
    height, width = SIZE_HW
    ys, xs = np.mgrid[0:height, 0:width].astype(float)
    for x, y in ((50.0, 31.0), (44.0, 22.0), (58.0, 37.0)):
        spot = np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / 8)
        warped = looked_up(spot, np.linalg.inv(matrix))
        mass = warped.sum()
        found = (float((warped * xs).sum() / mass), float((warped * ys).sum() / mass))
        assert moved(matrix, (x, y))[0] == pytest.approx(found, abs=0.1)


def looked_up(image: np.ndarray, inverse: np.ndarray) -> np.ndarray:
    """image [H, W] at inverse (x, y, 1) for each pixel of the output, bilinear, 0 outside."""
    height, width = image.shape
    ys, xs = np.mgrid[0:height, 0:width]
    x, y, _ = inverse @ np.stack([xs.ravel(), ys.ravel(), np.ones(xs.size)])
    padded = np.pad(image, 1)
    x, y = np.clip(x + 1, 0, width), np.clip(y + 1, 0, height)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    fx, fy = x - left, y - top
    upper = padded[top, left] * (1 - fx) + padded[top, left + 1] * fx
    lower = padded[top + 1, left] * (1 - fx) + padded[top + 1, left + 1] * fx
    return (upper * (1 - fy) + lower * fy).reshape(height, width)  # [H * W] -> [H, W]


# Colours, TLT 2.0


def test_colours_stay_without_ranges() -> None:
    assert Color().still
    matrix = Color().draw(rng(0))
    assert matrix == pytest.approx(np.eye(3, 4), abs=1e-12)
    assert np.array_equal(augment.recolor(pictures(), matrix), pictures())


@pytest.mark.parametrize("name", ["hue", "saturation", "contrast", "brightness"])
def test_each_range_changes_colours(name: str) -> None:
    color = Color(**{name: 0.3})
    assert not color.still
    assert np.abs(color.draw(rng(1)) - np.eye(3, 4)).max() > 1e-4


def test_grey_stays_grey_under_hue_and_saturation() -> None:
    for seed in SEEDS:
        changed = augment.recolor(GREYS, Color(hue=360, saturation=1).draw(rng(seed)))
        assert np.abs(changed.astype(int) - GREYS).max() <= 2  # the published coefficients have three digits


def test_saturation_nought_leaves_the_luminance() -> None:
    image = pictures()
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[..., None].astype(int)
    matrix = np.column_stack([augment.hue_saturation(0.7, 0.0), np.zeros(3)])
    assert np.abs(augment.recolor(image, matrix) - grey).max() <= 1


def test_a_whole_turn_of_the_hue_is_none_and_thirds_lead_from_red_to_green_and_blue() -> None:
    assert augment.hue_saturation(2 * math.pi, 1.0) == pytest.approx(np.eye(3))
    red, luminance = np.array([0.6, 0.1, 0.1]), np.array([0.299, 0.587, 0.114])
    thirds = [augment.hue_saturation(math.radians(angle), 1.0) @ red for angle in (120, -120)]
    assert {int(colour.argmax()) for colour in thirds} == {1, 2}
    assert [luminance @ colour for colour in thirds] == pytest.approx([luminance @ red] * 2, abs=2e-3)


@pytest.mark.parametrize("angle", [30, -75, 120, 200])
def test_hue_turns_the_colour_plane_of_ntsc(angle: float) -> None:
    """Of which the published matrices are the rounded product: to YIQ, I and Q turned, and back."""
    yiq = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    turn = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    expected = np.linalg.inv(yiq) @ turn @ yiq
    assert augment.hue_saturation(math.radians(angle), 1.0) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(("center", "grey"), [(0.5, 127.5), (0.2, 51.0), (127.5, 127.5), (51, 51.0)])
def test_contrast_leaves_its_centre(center: float, grey: float) -> None:
    for seed in range(10):
        matrix = Color(contrast=0.6, contrast_center=center).draw(rng(seed))
        assert matrix @ np.array([grey, grey, grey, 1]) == pytest.approx([grey] * 3)
        assert abs(matrix[0, 0] - 1) <= 0.6 + 1e-12


def test_colours_spread_as_published() -> None:
    """Half of the range (brightness: all of it) is a standard deviation, cut at two of them; saturation is uniform."""
    cut = math.sqrt(1 - 4 * math.exp(-2) / math.sqrt(2 * math.pi) / math.erf(math.sqrt(2)))
    seeds = range(400)
    # the trace of a turn is 1 + 2 cos(angle), of a saturation 1 + 2 factor
    traces = np.array([np.trace(Color(hue=30).draw(rng(seed))[:, :3]) for seed in seeds])
    angles = np.degrees(np.arccos(np.clip((traces - 1) / 2, -1, 1)))
    assert np.sqrt((angles**2).mean()) == pytest.approx(cut * 15, rel=0.1) and angles.max() <= 30.5
    contrasts = np.array([Color(contrast=0.4).draw(rng(seed))[0, 0] - 1 for seed in seeds])
    assert contrasts.std() == pytest.approx(cut * 0.2, rel=0.1) and abs(contrasts.mean()) < 0.03
    shifts = np.array([Color(brightness=0.1).draw(rng(seed))[:, 3] for seed in seeds])
    assert shifts.std(axis=0) == pytest.approx([cut * 25.5] * 3, rel=0.1) and np.abs(shifts.mean(axis=0)).max() < 4
    factors = (np.array([np.trace(Color(saturation=0.4).draw(rng(seed))[:, :3]) for seed in seeds]) - 1) / 2
    assert factors.min() == pytest.approx(0.6, abs=0.01) and factors.max() == pytest.approx(1.4, abs=0.01)
    assert factors.std() == pytest.approx(0.4 / math.sqrt(3), rel=0.1)


def test_brightness_moves_each_channel_alone() -> None:
    shifts = np.array([Color(brightness=0.2).draw(rng(seed))[:, 3] for seed in SEEDS])
    assert (np.ptp(shifts, axis=1) > 0).all()
    assert 40 < np.abs(shifts).max() <= 2 * 0.2 * 255  # cut at two standard deviations


def test_contrast_comes_behind_hue_and_saturation_and_brightness_last() -> None:
    every = Color(hue=30, saturation=0.4, contrast=0.3, contrast_center=0.4, brightness=0.2)
    for seed in range(10):
        matrix, darker = every.draw(rng(seed)), replace(every, brightness=0).draw(rng(seed))
        assert matrix[:, :3] == pytest.approx(darker[:, :3])
        scale = darker[:, :3].sum(axis=1).mean()  # hue and saturation keep grey: the sums are the contrast's factor
        assert darker[:, 3] == pytest.approx([(1 - scale) * 0.4 * 255] * 3, abs=0.3)
        assert matrix[:, 3] - darker[:, 3] == pytest.approx(replace(every, contrast=0).draw(rng(seed))[:, 3])


def test_recolor_reads_the_matrix_as_red_green_blue() -> None:
    matrix = np.array([[0, 0, 0, 200.0], [0, 1, 0, 0], [0.5, 0, 0, 0]])  # red is 200, green stays, blue is half red
    changed = augment.recolor(np.array([[[10, 20, 80]]], np.uint8), matrix)
    assert changed.tolist() == [[[40, 20, 200]]]
    assert augment.recolor(np.array([[[250, 250, 250]]], np.uint8), 2 * np.eye(3, 4)).max() == 255


# Colours, TLT 3


def test_hsv_stays_without_ranges() -> None:
    assert Hsv().still and not Hsv(hue=0.1).still and not Hsv(saturation=1.5).still and not Hsv(exposure=1.5).still
    changed = Hsv().apply(pictures(), rng(0))
    assert np.array_equal(changed, cv2.cvtColor(cv2.cvtColor(pictures(), cv2.COLOR_BGR2HSV), cv2.COLOR_HSV2BGR))


def test_hue_turns_by_up_to_its_share_of_half_the_circle() -> None:
    red = np.full((2, 3, 3), (0, 0, 255), np.uint8)
    turns = []
    for seed in SEEDS:
        hue = int(cv2.cvtColor(Hsv(hue=0.2).apply(red, rng(seed)), cv2.COLOR_BGR2HSV)[0, 0, 0])
        turns.append((hue + 90) % 180 - 90)  # half degrees, -90 .. 89
    assert 15 <= max(turns) <= 18 and -18 <= min(turns) <= -15


@pytest.mark.parametrize(("name", "channel"), [("saturation", 1), ("exposure", 2)])
def test_saturation_and_value_are_multiplied_or_divided(name: str, channel: int) -> None:
    colour = np.full((2, 3, 3), (60, 80, 120), np.uint8)
    before = cv2.cvtColor(colour, cv2.COLOR_BGR2HSV)[0, 0].astype(float)
    ratios = []
    for seed in SEEDS:
        after = cv2.cvtColor(Hsv(**{name: 1.5}).apply(colour, rng(seed)), cv2.COLOR_BGR2HSV)[0, 0]
        ratios.append(after[channel] / before[channel])
        assert after[3 - channel] == pytest.approx(before[3 - channel], abs=3)
    assert 1.35 < max(ratios) < 1.53 and 1 / 1.53 < min(ratios) < 1 / 1.35
    assert 15 < sum(ratio > 1 for ratio in ratios) < 45


def test_bright_colours_saturate_and_grey_stays_grey() -> None:
    for seed in range(10):
        changed = Hsv(hue=1, saturation=3, exposure=3).apply(GREYS, rng(seed))
        assert np.ptp(changed, axis=2).max() == 0
    assert Hsv(exposure=3).apply(np.full((1, 2, 3), 250, np.uint8), rng(3)).max() <= 255


# Jitter


@pytest.mark.parametrize("amount", [0.0, 0.3, 1.0])
def test_sides_move_within_the_limits(amount: float) -> None:
    moves = np.array([augment.jitter(rng(seed), amount) for seed in range(400)])
    assert moves.min() >= -amount and moves.max() <= min(amount, 0.8)
    across, down = moves[:, 0] + moves[:, 2], moves[:, 1] + moves[:, 3]
    assert max(across.max(), down.max()) <= 0.8
    if amount:
        assert moves.min() < -0.95 * amount and moves.max() > 0.75 * amount


def test_opposite_sides_that_would_meet_are_capped_at_two_fifths() -> None:
    class Sides:
        def uniform(self, low: float, high: float, count: int) -> np.ndarray:
            return np.array([0.95, 0.5, 0.2, 0.25])

    left, top, right, bottom = augment.jitter(Sides(), 1.0)  # type: ignore[arg-type]
    assert (left, right) == (0.4, 0.2)  # 0.95 is 0.8 first, and with 0.2 too much
    assert (top, bottom) == (0.5, 0.25)
