"""Ranges against their plain definitions."""

import numpy as np
import pytest
import torch

from tltpy.quant.observers import BINS, SAMPLE, Observer, kl_reach, mse_reach, percentile_reach


def observed(method: str, *batches: torch.Tensor, **settings: float) -> Observer:
    observer = Observer(method, **settings)
    for batch in batches:
        observer(batch)
    return observer


def normal(count: int = 20000, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(seed))


def test_min_max_is_the_greatest_absolute_value_of_all_batches() -> None:
    observer = observed("min_max", torch.tensor([0.5, -3.0]), torch.tensor([2.0]), torch.tensor([[-1.0, 1.5]]))
    assert (float(observer.low), float(observer.high)) == (-3.0, 2.0)
    assert observer.reach(256, True) == 3.0


def test_moving_average() -> None:
    observer = observed("moving_average", torch.tensor([1.0, -1.0]), torch.tensor([2.0, -3.0]), averaging=0.25)
    assert float(observer.high) == pytest.approx(0.75 * 1 + 0.25 * 2)
    assert float(observer.low) == pytest.approx(-(0.75 * 1 + 0.25 * 3))


def test_the_histogram_doubles_its_range_and_counts_every_value() -> None:
    parts = [normal(5000, seed) * 3.0**seed for seed in range(4)]
    observer = observed("percentile", *parts)
    values = torch.cat(parts)
    assert int(observer.histogram.sum()) == len(values)
    assert float(observer.limit) >= float(values.abs().max())
    assert float(observer.limit) / float(parts[0].abs().max()) in [2.0**n for n in range(12)]
    limit = float(observer.limit)
    plain, _ = np.histogram(values.numpy(), BINS, (-limit, limit))
    # a value at the edge of a bin may fall to either side
    assert np.abs(np.cumsum(plain) - observer.histogram.cumsum(0).numpy()).max() <= 6


def test_a_large_batch_is_sampled_evenly_and_its_extremes_are_kept() -> None:
    values = normal(3 * SAMPLE)
    values[1] = 50.0
    observer = observed("mse", values)
    assert int(observer.histogram.sum()) == SAMPLE
    assert float(observer.high) == 50.0


@pytest.mark.parametrize("percentile", [50.0, 99.0, 99.9, 100.0])
def test_percentile_is_that_of_the_absolute_values(percentile: float) -> None:
    values = normal()
    observer = observed("percentile", values[:7000], values[7000:], percentile=percentile)
    exact = np.percentile(values.abs().numpy(), percentile)
    assert observer.reach(256, True) == pytest.approx(exact, abs=4 * float(observer.limit) / BINS)


@pytest.mark.parametrize("signed", [True, False])
def test_mse_has_the_least_error_of_all_candidates(signed: bool) -> None:
    values = normal().double() ** 3
    values = values if signed else values.abs()
    observer = observed("mse", values.float())
    greatest = float(values.abs().max())
    low, high = (-8, 7) if signed else (0, 15)

    def error(reach: float) -> float:
        scale = reach * 2 / 15 if signed else reach / 15
        rounded = np.clip(np.round(values.numpy() / scale), low, high) * scale
        return float(((rounded - values.numpy()) ** 2).sum())

    found = mse_reach(observer.histogram.double(), float(observer.limit), greatest, 16, signed)
    best = min(error(greatest * share) for share in np.linspace(1, 0.2, 81))
    assert error(found) <= 1.02 * best
    assert found < 0.9 * greatest


def test_kl_against_the_plain_algorithm() -> None:
    magnitudes = torch.histc(normal().abs() ** 2, 256, 0, 16.0).double()
    kept = torch.linspace(16, 256, 31).long().tolist()
    losses = [_divergence(magnitudes.numpy(), keep, 16) for keep in kept]
    best = kept[int(np.argmin(losses))]
    assert kl_reach(magnitudes, 16.0, 16, steps=31) == pytest.approx(best / 256 * 16.0)
    assert 16 < best < 256


def _divergence(histogram: np.ndarray, keep: int, levels: int) -> float:
    p = histogram[:keep].copy()
    p[-1] += histogram[keep:].sum()
    q = np.zeros(keep)
    for level in range(levels):
        members = [i for i in range(keep) if i * levels // keep == level and histogram[i] > 0]
        for i in members:
            q[i] = sum(histogram[j] for j in members) / len(members)
    p, q = p / p.sum(), q / q.sum()
    return float(sum(a * np.log(a / max(b, 1e-12)) for a, b in zip(p, q, strict=True) if a > 0))


@pytest.mark.parametrize("method", ["min_max", "moving_average", "percentile", "mse", "kl"])
def test_degenerate_values(method: str) -> None:
    assert observed(method, torch.zeros(4, 5)).reach(256, True) > 0
    constant = observed(method, torch.full((4, 5), 2.0))
    assert constant.reach(256, False) == pytest.approx(2.0, rel=0.02)
    assert not constant.broken
    assert observed(method, torch.tensor([1.0, torch.nan])).broken
    assert observed(method, torch.tensor([1.0, torch.inf])).broken
    assert not Observer(method).seen and not Observer(method).broken


def test_a_state_fits_any_method_and_goes_on() -> None:
    first = observed("mse", normal())
    second = Observer("percentile")
    second.load_state_dict(first.state_dict())
    second(normal(100, 3) * 5)
    assert int(second.histogram.sum()) == 20100


def test_sixteen_bits_take_the_whole_range() -> None:
    observer = observed("percentile", normal(), percentile=90.0)
    assert observer.reach(65536, True) == float(torch.maximum(-observer.low, observer.high))


def test_percentile_of_a_histogram_with_one_bin() -> None:
    magnitudes = torch.zeros(8)
    magnitudes[2] = 5
    assert percentile_reach(magnitudes, 4.0, 99.0) == 1.5
