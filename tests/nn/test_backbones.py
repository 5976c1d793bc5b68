"""The backbones: layers as their names count them, maps, shortcuts, and parameters by hand and by torchvision."""

import pytest
import torch
import torchvision
from parameter_counts import BACKBONES
from torch import nn

from tltpy.nn import darknet, efficientnet, layers, mobilenet, resnet
from tltpy.nn.backbones import BUILDERS, Backbone, backbone
from tltpy.nn.cost import parameters

SIZE_HW = (64, 96)


def meta(name: str, count: int = 0, in_channels: int = 3) -> Backbone:
    with torch.device("meta"):
        return backbone(name, count, in_channels=in_channels)


def convolutions(network: nn.Module) -> int:
    """Without those of the shortcuts."""
    named = network.named_modules()
    return sum(isinstance(layer, nn.Conv2d) and "shortcut" not in name for name, layer in named)


@pytest.mark.parametrize("count", sorted(resnet.DEPTHS))
def test_a_resnet_has_the_layers_of_its_name_but_the_classifier(count: int) -> None:
    assert convolutions(meta("resnet", count)) == count - 1


@pytest.mark.parametrize("count", [19, 53])
def test_a_darknet_has_the_layers_of_its_name_but_the_classifier(count: int) -> None:
    assert convolutions(meta("darknet", count)) == count - 1


@pytest.mark.parametrize("count", [16, 19])
def test_a_vgg_has_the_layers_of_its_name_but_the_three_linear_ones(count: int) -> None:
    network = meta("vgg", count)
    assert convolutions(network) == count - 3
    assert not [layer for layer in network.modules() if isinstance(layer, nn.MaxPool2d | nn.AvgPool2d)]


def numbered(prefix: str, strides: tuple[int, ...], first: int = 1) -> dict[str, int]:
    return {f"{prefix}{number}": stride for number, stride in enumerate(strides, first)}


RESNET = {f"block_{number}{part}": s for number, s in enumerate((4, 8, 16, 16), 1) for part in ("", "_inner")}
# the strides of all maps, from the published tables
MAPS = {
    ("resnet", 18): RESNET,
    ("resnet", 50): RESNET,
    ("darknet", 19): numbered("b", (2, 4, 8, 16, 32)),
    ("darknet", 53): numbered("b", (2, 4, 8, 16, 32)),
    ("vgg", 16): numbered("block_", (1, 2, 4, 8, 16)),
    ("vgg", 19): numbered("block_", (1, 2, 4, 8, 16)),
    ("googlenet", 0): dict.fromkeys(("3a", "3b"), 8) | dict.fromkeys(("4a", "4b", "4c", "4d", "4e", "5a", "5b"), 16),
    ("mobilenet_v1", 0): numbered("dw_", (2, 4, 4, 8, 8, *[16] * 6)) | numbered("pw_", (2, 4, 4, 8, 8, *[16] * 6)),
    ("mobilenet_v2", 0): numbered("block_", (2, 4, 4, 8, 8, 8, *[16] * 7), 0),
    ("squeezenet", 0): numbered("fire", (4, 4, 4, 8, 8, 8, 8, 16), 2),
    ("efficientnet_b0", 0): numbered("block", (2, 4, 8, 16, 16, 32, 32))
    | {f"block{n}a_expand": s for n, s in enumerate((2, 2, 4, 8, 16, 16, 32), 1)}
    | {"top": 32},
}  # fmt: skip
# widths that the published taps name
WIDTHS = {
    ("resnet", 18): {"block_4": 512, "block_3": 256, "block_2": 128},
    ("resnet", 50): {"block_4": 2048, "block_4_inner": 512, "block_3_inner": 256},
    ("darknet", 53): {"b5": 1024, "b4": 512, "b3": 256},
    ("vgg", 16): {"block_5": 512, "block_4": 512, "block_3": 256},
    ("googlenet", 0): {"5b": 1024, "5a": 832, "4e": 832},
    ("mobilenet_v1", 0): {"pw_11": 512, "dw_6": 256, "dw_4": 128},
    ("mobilenet_v2", 0): {"block_12": 96, "block_9": 64, "block_5": 32},
    ("squeezenet", 0): {"fire9": 512, "fire8": 512},
    ("efficientnet_b0", 0): {"top": 1280, "block6a_expand": 672, "block5a_expand": 480},
}


@pytest.mark.parametrize("in_channels", [1, 3])
@pytest.mark.parametrize(("name", "count"), MAPS)
def test_maps_have_the_published_strides_and_the_widths_that_are_said(name: str, count: int, in_channels: int) -> None:
    network = meta(name, count, in_channels)
    maps = network(torch.zeros(2, in_channels, *SIZE_HW, device="meta"))
    wanted = {
        key: (2, network.widths[key], SIZE_HW[0] // stride, SIZE_HW[1] // stride)
        for key, stride in MAPS[name, count].items()
    }
    assert {key: tuple(value.shape) for key, value in maps.items()} == wanted
    assert WIDTHS.get((name, count), {}).items() <= network.widths.items()


# the numbers that the guides of TLT and TAO list
FREEZABLE = {"resnet": range(5), "darknet": range(6), "vgg": range(1, 6), "googlenet": range(10),
             "mobilenet_v1": range(12), "mobilenet_v2": range(14), "squeezenet": range(9),
             "efficientnet_b0": range(9)}  # fmt: skip


@pytest.mark.parametrize(("name", "count"), MAPS)
def test_every_parameter_lies_in_one_block(name: str, count: int) -> None:
    network = meta(name, count)
    blocks = network.blocks()
    assert list(blocks) == list(FREEZABLE[name])
    parts = [id(parameter) for block in blocks.values() for parameter in block.parameters()]
    assert sorted(parts) == sorted(map(id, network.parameters()))


@pytest.mark.parametrize(("name", "count"), BACKBONES)
def test_parameters_follow_from_the_published_widths(name: str, count: int) -> None:
    assert parameters(meta(name, count)) == BACKBONES[name, count]


def test_every_backbone_is_asked() -> None:
    assert {name for name, _ in BACKBONES} == {name for name, _ in MAPS} == set(BUILDERS)


def known(name: str) -> nn.Module:
    with torch.device("meta"):
        more = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
        return torchvision.models.get_model(name, weights=None, **more)


def test_parameters_are_those_of_torchvision() -> None:
    """Up to the classifiers, and to the differences that are spelled out."""
    biases = sum(layer.out_channels for layer in known("vgg16_bn").features if isinstance(layer, nn.Conv2d))
    assert parameters(meta("vgg", 16)) == parameters(known("vgg16_bn").features) - biases
    biases = sum(layer.out_channels for layer in known("vgg19_bn").features if isinstance(layer, nn.Conv2d))
    assert parameters(meta("vgg", 19)) == parameters(known("vgg19_bn").features) - biases
    assert parameters(meta("mobilenet_v2")) == parameters(known("mobilenet_v2").features[:14])
    assert parameters(meta("squeezenet")) == parameters(known("squeezenet1_0").features)
    assert parameters(meta("efficientnet_b0")) == parameters(known("efficientnet_b0").features)
    # its 5x5 branches have 3x3 kernels
    branches = ((16, 32), (32, 96), (16, 48), (24, 64), (24, 64), (32, 64), (32, 128), (32, 128), (48, 128))
    wider = sum((25 - 9) * reduced * width for reduced, width in branches)
    theirs = known("googlenet")
    assert parameters(meta("googlenet")) == parameters(theirs) - parameters(theirs.fc) + wider


@pytest.mark.parametrize("count", [18, 34, 50, 101])
def test_a_resnet_is_torchvision_s_and_a_projection_on_every_shortcut(count: int) -> None:
    theirs = known(f"resnet{count}")
    new = 0
    for number, depth in enumerate(resnet.DEPTHS[count], 1):
        width = resnet.WIDTHS[number - 1] * (4 if count in resnet.BOTTLENECK else 1)
        there = 0 if number == 1 and count not in resnet.BOTTLENECK else 1
        new += (depth - there) * (width * width + 2 * width)
    assert parameters(meta("resnet", count)) == parameters(theirs) - parameters(theirs.fc) + new


def test_darknet53_has_the_published_number_of_parameters() -> None:
    """41.6 million with the classifier of 1024 x 1000 weights and 1000 biases (Redmon's darknet53 weight file)."""
    total = parameters(meta("darknet", 53)) + 1024 * 1000 + 1000
    assert total == pytest.approx(41.6e6, rel=0.002)


def test_only_darknet_has_leaky_activations() -> None:
    leaky = {name for name, count in MAPS for layer in meta(name, count).modules() if isinstance(layer, nn.LeakyReLU)}
    assert leaky == {"darknet"}


def test_squeezenet_has_biases_in_place_of_normalization() -> None:
    for name, count in MAPS:
        network = meta(name, count)
        normalized = any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())
        assert normalized == (name != "squeezenet")
    assert all(layer.bias is not None for layer in meta("squeezenet").modules() if isinstance(layer, nn.Conv2d))


def test_a_residual_that_adds_nothing_is_the_identity() -> None:
    unit = darknet.Residual(6, layers.leaky_relu).eval()
    nn.init.zeros_(unit.conv_2.conv.weight)
    x = torch.randn(2, 6, 5, 7)
    assert torch.equal(unit(x), x)


def test_an_inverted_residual_adds_where_nothing_changes_shape() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 6, 6, 10)
    for width, stride in ((6, 1), (8, 1), (6, 2)):
        small = mobilenet.InvertedResidual(6, 3, width, stride, layers.relu6).eval()
        large = efficientnet.MBConv(6, expansion=3, kernel=5, stride=stride, width=width, activation=layers.silu).eval()
        for unit in (small, large):
            nn.init.zeros_(unit.project.conv.weight)
        kept = x if (width, stride) == (6, 1) else torch.zeros(2, width, 6 // stride, 10 // stride)
        assert torch.equal(small(x), kept) and torch.equal(large(x)[1], kept)


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
