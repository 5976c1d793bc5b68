"""Learning rates against the published formulas, written down once more in their plain form."""

import math

import pytest

from tltpy.optim.schedules import SoftStartAnnealing, SoftStartCosine


def published(progress: float, least: float, greatest: float, start: float, annealing: float) -> float:
    """TLT's soft-start annealing: exp(ln(min) + t (ln(max) - ln(min)))."""
    if progress < start:
        t = progress / start
    elif progress > annealing:
        t = (1 - progress) / (1 - annealing)
    else:
        t = 1.0
    return math.exp(math.log(least) + t * (math.log(greatest) - math.log(least)))


@pytest.mark.parametrize(("start", "annealing"), [(0.15, 0.8), (0.0, 0.5), (0.3, 1.0), (0.4, 0.4001)])
def test_annealing_is_the_published_formula(start: float, annealing: float) -> None:
    schedule = SoftStartAnnealing(5e-5, 2e-2, start, annealing)
    for step in range(101):
        assert schedule.at(step / 100) == pytest.approx(published(step / 100, 5e-5, 2e-2, start, annealing))


def test_annealing_at_known_points() -> None:
    schedule = SoftStartAnnealing(1e-5, 1e-1, 0.2, 0.6)
    points = {0.0: 1e-5, 0.1: 1e-3, 0.2: 1e-1, 0.4: 1e-1, 0.6: 1e-1, 0.8: 1e-3, 1.0: 1e-5}
    assert {point: schedule.at(point) for point in points} == pytest.approx(points)


def test_cosine_at_known_points() -> None:
    schedule = SoftStartCosine(0.01, 0.09, 0.2)
    points = {0.0: 0.01, 0.1: 0.05, 0.2: 0.09, 0.6: 0.05, 1.0: 0.01}
    points[0.4] = 0.01 + 0.08 * (0.5 + math.sqrt(0.5) / 2)  # cos(45 degrees)
    assert {point: schedule.at(point) for point in points} == pytest.approx(points)


def test_cosine_without_a_soft_start_is_the_published_formula() -> None:
    """With one, the published argument is not stretched over what is left; that is not followed."""
    schedule = SoftStartCosine(0.01, 0.09, 0.0)
    for step in range(21):
        expected = 0.01 + 0.08 * (1 + math.cos(math.pi * step / 20)) / 2
        assert schedule.at(step / 20) == pytest.approx(expected)


@pytest.mark.parametrize("schedule", [SoftStartAnnealing(2e-5, 3e-3, 0.13, 0.71), SoftStartCosine(2e-5, 3e-3, 0.13)])
def test_rates_rise_then_fall_without_a_leap_and_stay_within_the_bounds(
    schedule: SoftStartAnnealing | SoftStartCosine,
) -> None:
    rates = [schedule.at(step / 1000) for step in range(1001)]
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert all(late <= early + 1e-15 for early, late in zip(rates[top:], rates[top + 1 :], strict=False))
    assert min(rates) >= 2e-5 * (1 - 1e-9) and max(rates) <= 3e-3 * (1 + 1e-9)
    assert max(abs(b - a) for a, b in zip(rates, rates[1:], strict=False)) < 0.05 * 3e-3


def test_equal_bounds_are_a_constant_rate() -> None:
    for schedule in (SoftStartAnnealing(1e-3, 1e-3, 0.1, 0.5), SoftStartCosine(1e-3, 1e-3, 0.1)):
        assert all(schedule.at(step / 7) == pytest.approx(1e-3) for step in range(8))
