"""The published rules against a slow second telling of them, on plain lists."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
from topologies import build, inputs

from tltpy import prune
from tltpy.prune import score

GROUPS = [["a.0", "c"], ["b.0"], ["b2.0"], ["d.0", "e"]]  # of the network "residual"


def slow(
    kernels: list[list[list[float]]], normalizer: str, criterion: str, threshold: float, minimum: int, step: int
) -> list[int]:
    """Indices that stay, of layers given as lists of filters given as lists of numbers."""
    table = []
    for kernel in kernels:
        norms = [math.sqrt(math.fsum(number * number for number in numbers)) for numbers in kernel]
        if normalizer == "max":
            table.append([norm / max(norms) for norm in norms])
        else:
            whole = math.sqrt(math.fsum(norm * norm for norm in norms))
            table.append([norm / whole * len(norms) for norm in norms])
    merged = []
    for column in zip(*table, strict=True):
        if criterion == "union":
            merged.append(max(column))
        elif criterion == "intersection":
            merged.append(min(column))
        elif criterion == "arithmetic_mean":
            merged.append(sum(column) / len(column))
        else:
            merged.append(math.exp(sum(math.log(value) for value in column) / len(column)))
    depth = len(merged)
    count = max(sum(value > threshold for value in merged), min(minimum, depth))
    while count % step:
        count += 1
    count = min(count, depth)
    return sorted(sorted(range(depth), key=lambda index: -merged[index])[:count])


@pytest.mark.parametrize("normalizer", score.NORMALIZERS)
@pytest.mark.parametrize("criterion", score.CRITERIA)
def test_plans_are_those_of_the_published_algorithm(normalizer: str, criterion: str) -> None:
    network = build("residual")
    with torch.no_grad():
        for index, parameter in enumerate(network.parameters()):  # spread the norms
            if parameter.dim() == 4:
                spread = torch.rand(len(parameter), generator=torch.Generator().manual_seed(index)) + 0.05
                parameter *= spread[:, None, None, None]
    pruned = set()
    scale = 1.0 if normalizer == "max" else 5.0
    found = prune.survey(network, inputs(), prune.Settings(normalizer, criterion))
    for threshold, minimum, step in itertools.product((0.1, 0.4, 0.75), (1, 10, 100), (1, 3, 8)):
        settings = prune.Settings(normalizer, criterion, step, threshold * scale, minimum)
        cuts = prune.choose(dataclasses.replace(found, settings=settings), settings.threshold)
        for layers in GROUPS:
            kernels = [network.get_parameter(f"{name}.weight").double().flatten(1).tolist() for name in layers]
            expected = slow(kernels, normalizer, criterion, threshold * scale, minimum, step)
            for name in layers:
                everything = np.arange(len(kernels[0]))
                assert cuts.keep.get((f"{name}.weight", 0), everything).tolist() == expected
            pruned.add(len(expected))
    assert len(pruned) > 10


def test_the_threshold_is_strict() -> None:
    values = np.array([0.5, 1.0, 0.5, 0.25, 0.75])
    assert score.keep(values, 0.5, 1, 1).tolist() == [1, 4]
    assert score.keep(values, np.nextafter(0.5, 0), 1, 1).tolist() == [0, 1, 2, 4]


def test_counts_are_rounded_up_and_capped() -> None:
    values = np.linspace(1.0, 0.1, 10)
    assert len(score.keep(values, 0.55, 1, 1)) == 5
    assert len(score.keep(values, 0.55, 1, 4)) == 8
    assert len(score.keep(values, 0.55, 1, 7)) == 7
    assert len(score.keep(values, 0.55, 9, 4)) == 10
    assert len(score.keep(values, 5.0, 16, 8)) == 10
    assert len(score.keep(values, 5.0, 3, 1)) == 3


def test_equal_filters_stay_in_order_and_a_dead_layer_keeps_its_minimum() -> None:
    assert score.keep(np.ones(6), 2.0, 4, 1).tolist() == [0, 1, 2, 3]
    assert score.keep(score.normalize(np.zeros(6), "max"), 0.1, 1, 2).tolist() == [0, 1]
    assert score.normalize(np.zeros(6), "L2").tolist() == [0.0] * 6


def test_norms_run_over_all_but_the_filters() -> None:
    weight = torch.arange(24.0).reshape(2, 3, 4)
    assert score.norms(weight, 1) == pytest.approx(np.sqrt((weight.numpy() ** 2).sum(axis=(0, 2))))


def test_the_l2_normalizer_counts_filters() -> None:
    assert score.normalize(np.array([3.0, 4.0]), "L2") == pytest.approx([1.2, 1.6])
    assert score.normalize(np.array([3.0, 4.0]), "max") == pytest.approx([0.75, 1.0])


def test_union_keeps_most_and_intersection_least() -> None:
    network = build("residual chain")
    kept = {}
    for criterion in score.CRITERIA:
        settings = prune.Settings(equalization=criterion, granularity=1, min_num_filters=1, threshold=0.8)
        kept[criterion] = {row.layer: row.after for row in prune.plan(network, inputs(), settings).rows}["stem.0"]
    means = kept["geometric_mean"], kept["arithmetic_mean"]
    assert kept["union"] > kept["intersection"]
    assert kept["union"] >= max(means) and min(means) >= kept["intersection"]


def test_zero_in_a_geometric_mean() -> None:
    assert score.equalize(np.array([[0.0, 1.0], [1.0, 4.0]]), "geometric_mean") == pytest.approx([0.0, 2.0])
