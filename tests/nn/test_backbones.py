"""The backbones: layers as their names count them, sizes and widths of their outputs, shortcuts."""

import pytest
import torch
from torch import nn

from tltpy.nn import darknet, layers, resnet
from tltpy.nn.darknet import Darknet
from tltpy.nn.resnet import ResNet

SIZE_HW = (64, 96)


def convolutions(network: nn.Module) -> int:
    """Without those of the shortcuts."""
    named = network.named_modules()
    return sum(isinstance(layer, nn.Conv2d) and "shortcut" not in name for name, layer in named)


@pytest.mark.parametrize("count", sorted(resnet.DEPTHS))
def test_a_resnet_has_the_layers_of_its_name_but_the_classifier(count: int) -> None:
    with torch.device("meta"):
        network = ResNet(count)
    assert convolutions(network) == count - 1
    assert len(network.blocks()) == 5


@pytest.mark.parametrize("count", [19, 53])
def test_a_darknet_has_the_layers_of_its_name_but_the_classifier(count: int) -> None:
    with torch.device("meta"):
        network = Darknet(count)
    assert convolutions(network) == count - 1
    assert len(network.blocks()) == 6


@pytest.mark.parametrize(("count", "in_channels"), [(10, 1), (18, 3), (50, 3)])
def test_resnet_outputs_have_strides_4_8_16_16(count: int, in_channels: int) -> None:
    with torch.device("meta"):
        network = ResNet(count, in_channels=in_channels)
        inners, outputs = network(torch.zeros(2, in_channels, *SIZE_HW))
    for maps, widths in ((inners, network.inner_widths), (outputs, network.widths)):
        assert [tuple(one.shape) for one in maps] == [
            (2, width, SIZE_HW[0] // stride, SIZE_HW[1] // stride)
            for width, stride in zip(widths, (4, 8, 16, 16), strict=True)
        ]
    assert network.widths[-1] == (2048 if count == 50 else 512)


@pytest.mark.parametrize("count", [19, 53])
def test_darknet_outputs_halve_from_stage_to_stage(count: int) -> None:
    with torch.device("meta"):
        outputs = Darknet(count, in_channels=1)(torch.zeros(2, 1, *SIZE_HW))
    assert [tuple(one.shape) for one in outputs] == [
        (2, width, SIZE_HW[0] >> stage, SIZE_HW[1] >> stage) for stage, width in enumerate(darknet.WIDTHS, 1)
    ]


def test_darknet53_has_the_published_number_of_parameters() -> None:
    """41.6 million with the classifier of 1024 x 1000 weights and 1000 biases (Redmon's darknet53 weight file)."""
    with torch.device("meta"):
        network = Darknet(53)
    total = sum(parameter.numel() for parameter in network.parameters()) + 1024 * 1000 + 1000
    assert total == pytest.approx(41.6e6, rel=0.002)


def test_a_residual_that_adds_nothing_is_the_identity() -> None:
    unit = darknet.Residual(6, layers.leaky_relu).eval()
    nn.init.zeros_(unit.conv_2.conv.weight)
    x = torch.randn(2, 6, 5, 7)
    assert torch.equal(unit(x), x)


@pytest.mark.parametrize("block", [resnet.BasicBlock, resnet.Bottleneck])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_resnet_unit_is_the_rectified_sum_of_its_branch_and_its_shortcut(
    block: type[resnet.BasicBlock] | type[resnet.Bottleneck], stride: int
) -> None:
    torch.manual_seed(1)
    unit = block(6, 8, stride, layers.relu).eval()
    x = torch.randn(2, 6, 6, 10)
    inner, out = unit(x)
    last = unit.conv_3 if isinstance(unit, resnet.Bottleneck) else unit.conv_2
    torch.testing.assert_close(out, (last(inner) + unit.shortcut(x)).relu())
    assert inner.min() == 0 and inner.shape == (2, 8, 6 // stride, 10 // stride)
    assert out.shape[1] == (32 if isinstance(unit, resnet.Bottleneck) else 8)
