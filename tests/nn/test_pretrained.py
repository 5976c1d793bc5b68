"""torchvision's weights in our backbones: the same maps of the same pictures, where strides and poolings are alike."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

from tltpy.errors import ModelFileError
from tltpy.nn import pretrained
from tltpy.nn.backbones import backbone
from tltpy.nn.layers import ConvUnit

MEAN_BGR = (103.939, 116.779, 123.68)  # that of yolo
SAME_MEAN = tuple(255 * value for value in (0.406, 0.456, 0.485))
HALF = (127.5, 127.5, 127.5)
RGB = torch.randint(0, 256, (2, 3, 32, 64), generator=torch.Generator().manual_seed(1)).double()


def theirs(name: str, seed: int = 0, **more: Any) -> nn.Module:
    """Random weights, normalizations that do something, some of them with a variance below the difference of the
    epsilons."""
    torch.manual_seed(seed)
    if name == "googlenet":
        more = {"aux_logits": False, "init_weights": False, "transform_input": True, **more}
    with torch.device("meta" if name.startswith("vgg") else "cpu"):
        network = torchvision.models.get_model(name, weights=None, **more)
    if name.startswith("vgg"):
        network.classifier = nn.Identity()  # most of its weights
        for layer in network.to_empty(device="cpu").features:
            layer.reset_parameters() if isinstance(layer, nn.Conv2d | nn.BatchNorm2d) else None
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for tensor in (layer.weight, layer.bias, layer.running_var):
                nn.init.uniform_(tensor, 0.5, 1.5)
            nn.init.uniform_(layer.running_mean, -0.2, 0.2)
            layer.running_var[:2] *= 1e-3
        elif isinstance(layer, nn.Conv2d) and layer.bias is not None:
            nn.init.uniform_(layer.bias, -0.2, 0.2)
    return network.eval().double()


def normalized(rgb: Tensor) -> Tensor:
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (rgb / 255 - mean.double()[:, None, None]) / deviation.double()[:, None, None]


def ours(rgb: Tensor, mean_bgr: tuple[float, ...]) -> Tensor:
    return rgb.flip(1) - torch.tensor(mean_bgr).double()[:, None, None]


def like_our_resnet(network: Any) -> dict[str, nn.Module]:
    network.maxpool = nn.Identity()
    first, last = network.layer1[0], network.layer4[0]
    basic = first.downsample is None
    for unit, stride in ((first, 2), (last, 1)):
        (unit.conv1 if basic else unit.conv2).stride = (stride, stride)
    last.downsample[0].stride = (1, 1)
    if basic:
        first.downsample = nn.AvgPool2d(1, stride=2)  # every second pixel
    else:
        first.downsample[0].stride = (2, 2)
    return {f"block_{number}": getattr(network, f"layer{number}") for number in range(1, 5)}


def like_our_vgg(network: Any) -> dict[str, nn.Module]:
    maps: dict[str, nn.Module] = {}
    layers = network.features
    pools = [index for index, layer in enumerate(layers) if isinstance(layer, nn.MaxPool2d)]
    for number, index in enumerate(pools, 1):
        layers[index] = maps[f"block_{number}"] = nn.Identity()
        if number < 5:
            layers[index + 1].stride = (2, 2)
    return maps


def like_our_googlenet(network: Any) -> dict[str, nn.Module]:
    for number in (1, 2, 3):
        setattr(network, f"maxpool{number}", nn.MaxPool2d(3, 2, padding=1))
    network.maxpool4 = nn.Identity()
    return {name: getattr(network, f"inception{name}") for name in ("3a", "4a", "4e", "5a", "5b")}


def like_our_squeezenet(network: Any) -> dict[str, nn.Module]:
    network.features[0].padding = (3, 3)
    for index in (2, 6, 11):
        network.features[index] = nn.MaxPool2d(3, 2, padding=1)
    return {"fire2": network.features[3], "fire8": network.features[10], "fire9": network.features[12]}


def like_our_mobilenet(network: Any) -> dict[str, nn.Module]:
    return {f"block_{number}": network.features[number + 1] for number in (0, 5, 9, 12)}


def like_our_efficientnet(network: Any) -> dict[str, nn.Module]:
    return {
        "block1": network.features[1],
        "block5a_expand": network.features[5][0].block[0],
        "block6a_expand": network.features[6][0].block[0],
        "top": network.features[8],
    }


# torchvision's name -> our name and depth, what is made alike, the mean of our pictures at which borders agree
NETWORKS: dict[str, tuple[str, int, Callable[[Any], dict[str, nn.Module]], tuple[float, ...]]] = {
    "resnet18": ("resnet", 18, like_our_resnet, SAME_MEAN),
    "resnet50": ("resnet", 50, like_our_resnet, SAME_MEAN),
    "vgg16_bn": ("vgg", 16, like_our_vgg, SAME_MEAN),
    "vgg19": ("vgg", 19, like_our_vgg, SAME_MEAN),
    "googlenet": ("googlenet", 0, like_our_googlenet, HALF),
    "mobilenet_v2": ("mobilenet_v2", 0, like_our_mobilenet, SAME_MEAN),
    "squeezenet1_0": ("squeezenet", 0, like_our_squeezenet, SAME_MEAN),
    "efficientnet_b0": ("efficientnet_b0", 0, like_our_efficientnet, SAME_MEAN),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_maps_are_those_of_torchvision(name: str) -> None:
    arch, layers, alike, mean = NETWORKS[name]
    source, network = theirs(name), backbone(arch, layers).eval().double()
    loaded = pretrained.load_torchvision(network, source.state_dict(), mean=mean)
    assert loaded.other_shape == ()
    units = {unit for unit, layer in network.named_modules() if isinstance(layer, ConvUnit)}
    assert set(loaded.taken) | set(loaded.identity) == units
    assert all("shortcut" in unit for unit in loaded.identity)
    wanted: dict[str, Tensor] = {}
    for key, layer in alike(source).items():
        layer.register_forward_hook(lambda _, __, out, key=key: wanted.update({key: out}))
    with torch.no_grad():
        source(normalized(RGB))
        found = network(ours(RGB, mean))
    assert len(wanted) >= 3
    for key, value in wanted.items():
        torch.testing.assert_close(found[key], value, rtol=1e-4, atol=1e-5 * float(value.abs().max()))
        assert float(value.abs().max()) > 0 and value.shape[-2:] == found[key].shape[-2:]


def first_unit(network: nn.Module) -> ConvUnit:
    return next(layer for layer in network.modules() if isinstance(layer, ConvUnit))


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("resnet18", ("conv1", "bn1")),
        ("squeezenet1_0", ("features.0",)),
        ("googlenet", ("conv1",)),
        ("vgg16", ("features.0",)),
    ],
)
def test_the_first_layer_answers_alike_within_the_picture(name: str, first: tuple[str, ...]) -> None:
    """Whatever the mean; in reach of the border the colour of the padding differs."""
    arch, layers, *_ = NETWORKS.get(name, ("vgg", 16))
    assert isinstance(arch, str) and isinstance(layers, int)
    source, network = theirs(name), backbone(arch, layers).eval().double()
    pretrained.load_torchvision(network, source.state_dict(), mean=MEAN_BGR)
    unit = first_unit(network)
    margin = 1 if name == "vgg16" else 3
    if name == "squeezenet1_0":
        source.get_submodule("features.0").padding = (3, 3)
    with torch.no_grad():
        x = normalized(RGB)
        wanted = source._transform_input(x) if name == "googlenet" else x  # type: ignore[operator]
        for part in first:
            wanted = source.get_submodule(part)(wanted)
        found = unit.norm(unit.conv(ours(RGB, MEAN_BGR)))
    inside = (..., slice(margin, -margin), slice(margin, -margin))
    wanted = wanted.relu()
    torch.testing.assert_close(found.relu()[inside], wanted[inside], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(found.relu(), wanted, rtol=1e-4, atol=1e-4)  # the border


def test_a_grey_picture_is_a_coloured_one_without_colour() -> None:
    source = theirs("mobilenet_v2")
    colour, grey = (backbone("mobilenet_v2", in_channels=channels).eval().double() for channels in (3, 1))
    pretrained.load_torchvision(colour, source.state_dict(), mean=(117.0,) * 3)
    pretrained.load_torchvision(grey, source.state_dict(), mean=(117.0,))
    x = RGB[:, :1]
    with torch.no_grad():
        torch.testing.assert_close(grey(x - 117.0)["block_12"], colour(x.expand(-1, 3, -1, -1) - 117.0)["block_12"])


def test_shortcuts_that_torchvision_has_not_are_the_identity() -> None:
    network = backbone("resnet", 18).eval()
    loaded = pretrained.load_torchvision(network, theirs("resnet18").state_dict(), mean=MEAN_BGR)
    places = ("1.a", "1.b", "2.b", "3.b", "4.b")
    assert set(loaded.identity) == {f"block_{place}.shortcut" for place in places}
    x = torch.randn(2, 64, 6, 10)
    torch.testing.assert_close(network.get_submodule("block_1.b.shortcut")(x), x)
    torch.testing.assert_close(network.get_submodule("block_1.a.shortcut")(x), x[:, :, ::2, ::2])


def test_what_is_not_used_is_said() -> None:
    state = theirs("googlenet", aux_logits=True).state_dict()
    loaded = pretrained.load_torchvision(backbone("googlenet"), state, mean=MEAN_BGR)
    assert {name.split(".")[0] for name in loaded.unused} == {"aux1", "aux2", "fc"} and loaded.source == "googlenet"
    state = theirs("mobilenet_v2").state_dict()
    loaded = pretrained.load_torchvision(backbone("mobilenet_v2"), state, mean=MEAN_BGR)
    assert {name.rsplit(".", 1)[0] for name in loaded.unused} >= {"features.18.0", "classifier.1"}


def test_a_layer_of_another_shape_is_left_as_it_was() -> None:
    state = theirs("resnet18").state_dict()
    state["layer3.1.conv2.weight"] = torch.zeros(256, 128, 3, 3)
    network = backbone("resnet", 18)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    loaded = pretrained.load_torchvision(network, state, mean=MEAN_BGR)
    assert loaded.other_shape == ("block_3.b.conv_2",)
    same = {name for name, value in network.state_dict().items() if torch.equal(value, before[name])}
    assert {name for name in same if not name.endswith("num_batches_tracked")} >= {
        f"block_3.b.conv_2.{part}" for part in ("conv.weight", "norm.weight", "norm.running_mean", "norm.running_var")
    }
    assert "block_3.b.conv_1.conv.weight" not in same


WRONG = {
    "resnet50 for resnet18": ("resnet", 18, "resnet50", {}),
    "resnet34 for resnet18": ("resnet", 18, "resnet34", {}),
    "resnet18 for resnet34": ("resnet", 34, "resnet18", {}),
    "wide resnet": ("resnet", 50, "wide_resnet50_2", {}),
    "vgg16 for vgg19": ("vgg", 19, "vgg16_bn", {}),
    "squeezenet 1.1": ("squeezenet", 0, "squeezenet1_1", {}),
    "narrow mobilenet": ("mobilenet_v2", 0, "mobilenet_v2", {"width_mult": 0.5}),
    "efficientnet_b1": ("efficientnet_b0", 0, "efficientnet_b1", {}),
    "mobilenet for squeezenet": ("squeezenet", 0, "mobilenet_v2", {}),
}


@pytest.mark.parametrize("case", WRONG)
def test_another_network_is_refused_and_nothing_is_changed(case: str) -> None:
    arch, layers, name, more = WRONG[case]
    network = backbone(arch, layers)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with torch.device("meta"):
        state = torchvision.models.get_model(name, weights=None, **more).state_dict()
    state = {key: torch.zeros(value.shape, dtype=value.dtype) for key, value in state.items()}
    with pytest.raises(ModelFileError, match="^not .* of torchvision: "):
        pretrained.load_torchvision(network, state, mean=MEAN_BGR)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_values_that_are_not_finite_are_refused() -> None:
    state = theirs("squeezenet1_0").state_dict()
    state["features.3.squeeze.bias"][1] = float("nan")
    with pytest.raises(ModelFileError, match=r"features\.3\.squeeze\.bias holds values that are not finite"):
        pretrained.load_torchvision(backbone("squeezenet"), state, mean=MEAN_BGR)


def test_where_there_is_a_source() -> None:
    with torch.device("meta"):
        for arch, layers in (("darknet", 53), ("mobilenet_v1", 0), ("resnet", 10)):
            assert pretrained.find(nn.Sequential(backbone(arch, layers))) is None
        for arch, layers, _, _ in NETWORKS.values():
            network = backbone(arch, layers)
            assert pretrained.find(nn.Sequential(nn.Conv2d(3, 4, 1), network)) is network
    names = {name.removesuffix("_bn") for name in NETWORKS} | {"resnet34", "resnet101"}
    assert names == set(pretrained.NAMES)
