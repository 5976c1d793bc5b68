"""The penalty's gradients against autograd of its value, and which parameters it concerns."""

import pytest
import torch
from torch import Tensor, nn

from tltpy.optim.penalty import Penalty, kernels


def network() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(2, 5, 3), nn.BatchNorm2d(5), nn.ConvTranspose2d(5, 3, 2), nn.Flatten(), nn.Linear(12, 7)
    )


def written_out(weights: list[Tensor], norm: int, weight: float) -> Tensor:
    return sum(((w.abs() if norm == 1 else w * w).sum() * weight for w in weights), torch.zeros(()))


@pytest.mark.parametrize("norm", [1, 2])
def test_value_and_gradients_are_those_of_the_formula(norm: int) -> None:
    weights = kernels(network())
    with torch.no_grad():
        weights[0][0] = 0.0  # where |w| has a corner, both take 0
    expected = written_out(weights, norm, 3e-4)
    gradients = torch.autograd.grad(expected, weights)
    penalty = Penalty(weights, norm, 3e-4)
    assert penalty.value() == pytest.approx(expected.item(), rel=1e-5)
    before = [torch.randn_like(weight) for weight in weights]
    for weight, gradient in zip(weights, before, strict=True):
        weight.grad = gradient.clone()
    penalty.add_gradients()
    for weight, first, added in zip(weights, before, gradients, strict=True):
        torch.testing.assert_close(weight.grad, first + added)


def test_kernels_are_all_convolutions_and_linear_layers_but_no_bias_and_no_normalization() -> None:
    net = network()
    assert [tuple(weight.shape) for weight in kernels(net)] == [(5, 2, 3, 3), (5, 3, 2, 2), (7, 12)]
    assert {id(weight) for weight in kernels(net)} == {id(net[place].weight) for place in (0, 2, 4)}


def test_frozen_kernels_have_no_part() -> None:
    net = network()
    net[0].weight.requires_grad_(False)
    assert [tuple(weight.shape) for weight in kernels(net)] == [(5, 3, 2, 2), (7, 12)]


def test_a_shared_layer_counts_once() -> None:
    layer = nn.Linear(3, 3)
    assert len(kernels(nn.Sequential(layer, nn.ReLU(), layer))) == 1


def test_parameters_without_a_gradient_are_left_alone() -> None:
    weights = kernels(network())
    weights[1].grad = torch.zeros_like(weights[1])
    Penalty(weights, 2, 0.5).add_gradients()
    assert weights[0].grad is None and weights[2].grad is None
    torch.testing.assert_close(weights[1].grad, weights[1].detach())


@pytest.mark.parametrize("empty", [True, False])
def test_no_penalty_is_nought(empty: bool) -> None:
    weights = [] if empty else kernels(network())
    for weight in weights:
        weight.grad = torch.ones_like(weight)
    penalty = Penalty(weights, 2 if empty else 0, 0.5)
    penalty.add_gradients()
    assert penalty.value() == 0.0
    assert all(weight.grad is not None and bool((weight.grad == 1).all()) for weight in weights)
