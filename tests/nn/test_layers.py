"""The unit of all networks against PyTorch's functions, and what freezing leaves alone."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tltpy.nn import layers
from tltpy.nn.layers import ConvUnit


def seeded(unit: ConvUnit) -> ConvUnit:
    """Statistics and affine parts that are not the identity."""
    generator = torch.Generator().manual_seed(5)
    for layer in unit.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for values in (layer.weight.data, layer.bias.data, layer.running_mean, layer.running_var):
                assert isinstance(values, Tensor)
                values.uniform_(0.2, 1.5, generator=generator)
    return unit


@pytest.mark.parametrize(("kernel", "stride", "groups"), [(1, 1, 1), (3, 1, 1), (3, 2, 1), (7, 2, 1), (3, 2, 2)])
def test_unit_is_convolution_then_normalization_then_leaky_relu(kernel: int, stride: int, groups: int) -> None:
    torch.manual_seed(2)
    unit = seeded(ConvUnit(4, 6, kernel=kernel, stride=stride, groups=groups)).eval()
    x = torch.randn(3, 4, 9, 14)
    norm = unit.norm
    assert isinstance(norm, nn.BatchNorm2d) and isinstance(unit.conv, nn.Conv2d)
    assert norm.running_mean is not None and norm.running_var is not None
    convolved = functional.conv2d(x, unit.conv.weight, stride=stride, padding=kernel // 2, groups=groups)
    scale = norm.weight / (norm.running_var + 1e-3).sqrt()
    expected = (convolved - norm.running_mean[:, None, None]) * scale[:, None, None] + norm.bias[:, None, None]
    out = unit(x)
    torch.testing.assert_close(out, torch.where(expected > 0, expected, 0.1 * expected), rtol=1e-4, atol=1e-5)
    assert out.shape == (3, 6, math.ceil(9 / stride), math.ceil(14 / stride))


def test_statistics_follow_with_a_hundredth_of_each_batch_or_the_share_that_is_set() -> None:
    for share in (0.01, 0.25):
        unit = ConvUnit(2, 3, kernel=1, activation=None)
        if share != 0.01:
            layers.set_momentum(unit, share)
        x = torch.randn(4, 2, 5, 7)
        convolved = unit.conv(x)
        unit(x)
        torch.testing.assert_close(unit.norm.running_mean, share * convolved.mean(dim=(0, 2, 3)))


def test_a_unit_without_activation_has_negative_outputs_and_relu_has_none() -> None:
    x = torch.randn(2, 3, 5, 7)
    assert ConvUnit(3, 8, kernel=3, activation=None)(x).min() < -0.5
    assert ConvUnit(3, 8, kernel=3, activation=layers.relu)(x).min() == 0


def test_first_weights_keep_the_spread_of_the_activations() -> None:
    torch.manual_seed(0)
    unit = seeded(ConvUnit(64, 96, kernel=3))
    layers.init_weights(unit)
    assert unit.conv.weight.std().item() == pytest.approx(math.sqrt(2 / (64 * 9)), rel=0.02)
    assert bool((unit.norm.weight == 1).all()) and bool((unit.norm.bias == 0).all())
    head = nn.Conv2d(4, 5, 1)
    layers.init_weights(head)
    assert head.bias is not None and bool((head.bias == 0).all())


def test_frozen_convolutions_still_normalize() -> None:
    unit = ConvUnit(3, 4, kernel=3)
    layers.freeze_convolutions(unit)
    assert [name for name, value in unit.named_parameters() if value.requires_grad] == ["norm.weight", "norm.bias"]


def test_frozen_normalization_keeps_its_statistics() -> None:
    unit = seeded(ConvUnit(3, 4, kernel=3)).train()
    layers.freeze_normalization(unit)
    before = {name: value.clone() for name, value in unit.norm.state_dict().items()}
    unit(torch.randn(2, 3, 5, 7))
    assert all(torch.equal(value, before[name]) for name, value in unit.norm.state_dict().items())
    assert [name for name, value in unit.named_parameters() if value.requires_grad] == ["conv.weight"]
