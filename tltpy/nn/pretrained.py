"""Weights that torchvision publishes, as those of our backbones.

The layers are the same; three things around them are not, and are folded into the weights, so that the network answers
as torchvision's does, up to the strides and poolings that differ (they stand in the files of the backbones):

- its pictures are RGB 0..1 less a mean, divided by a deviation; ours are BGR 0..255 less a mean: the first convolution
  takes over the order and the scale. What the means differ by is a constant of each filter and goes into the running
  mean of its normalization, or its bias. Only within reach of the border, where zeros stand for the mean colour, do the
  answers then differ, by as much as the two mean colours do;
- its batch normalization adds 1e-5 to the variance (googlenet 1e-3), ours 1e-3: the running variance takes over the
  difference, the scale takes over what would make the variance negative;
- a shortcut of ours that it has not, and a normalization of ours that it has not (plain vgg), starts as the identity.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tltpy.errors import ModelFileError
from tltpy.nn.efficientnet import STAGES, EfficientNetB0
from tltpy.nn.googlenet import MODULES, GoogLeNet
from tltpy.nn.layers import BN_EPSILON, ConvUnit
from tltpy.nn.mobilenet import INVERTED, MobileNetV2
from tltpy.nn.resnet import BOTTLENECK, ResNet
from tltpy.nn.squeezenet import FIRES, POOLED, SqueezeNet
from tltpy.nn.vgg import Vgg

Tensors = Mapping[str, Tensor]
STATISTICS = ("weight", "bias", "running_mean", "running_var")


NAMES = (*(f"resnet{n}" for n in (18, 34, 50, 101)), "vgg16", "vgg19", "googlenet", "mobilenet_v2", "squeezenet1_0",
         "efficientnet_b0")  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """A unit of ours and the names of the layers of torchvision's; none where it has no such layer."""

    unit: ConvUnit
    convolution: str | None
    normalization: str | None = None


@dataclass(frozen=True)
class Source:
    """What torchvision's network is called, which of its layers are ours, in order, and what it has besides."""

    name: str
    pairs: Callable[[Any, Tensors], Iterator[Pair]]
    ignored: tuple[str, ...]  # its names begin so
    mean_rgb: tuple[float, float, float] = (0.485, 0.456, 0.406)
    deviation_rgb: tuple[float, float, float] = (0.229, 0.224, 0.225)
    epsilon: float = 1e-5


@dataclass(frozen=True)
class Loaded:
    """Names of our units by what became of them, and the tensors of the file that have no place here."""

    source: str
    taken: tuple[str, ...]
    other_shape: tuple[str, ...]  # left as they were
    identity: tuple[str, ...]
    unused: tuple[str, ...]


def source(backbone: nn.Module) -> Source | None:
    """Where the weights of a backbone can come from; None where torchvision has no such network."""
    if isinstance(backbone, ResNet):
        name = f"resnet{backbone.layers}"
        return Source(name, _resnet, ("fc.",)) if name in NAMES else None
    if isinstance(backbone, Vgg):
        name = f"vgg{backbone.layers}"
        return Source(f"{name}_bn or {name}", _vgg, ("classifier.",))
    return next((found for kind, found in SOURCES.items() if isinstance(backbone, kind)), None)


def find(network: nn.Module) -> nn.Module | None:
    """The first part of a network that has a source."""
    return next((module for module in network.modules() if source(module)), None)


def load_torchvision(backbone: nn.Module, tensors: Tensors, *, mean: Sequence[float]) -> Loaded:
    """Fills a backbone that has a source. `mean` is what is taken off our pictures, 0..255: (B, G, R) or (grey,).

    ModelFileError, with nothing changed, where the tensors are of another network: one is missing, one has no place, or
    most have other shapes. The layers of other shapes are left as they are.
    """
    origin = source(backbone)
    assert origin is not None
    names = {module: name for name, module in backbone.named_modules()}
    pairs = list(origin.pairs(backbone, tensors))
    unused = _refuse_strangers(pairs, tensors, origin)
    first = pairs[0].unit
    weights = {pair.unit: _weight(pair, tensors, grey=pair.unit is first and len(mean) == 1) for pair in pairs}
    given = [pair for pair in pairs if pair.convolution]
    fitting = [pair for pair in given if weights[pair.unit] is not None]
    if len(fitting) * 2 <= len(given):
        pair = next(pair for pair in given if weights[pair.unit] is None)
        found, wanted = tensors[f"{pair.convolution}.weight"].shape, _convolution(pair.unit).weight.shape
        raise ModelFileError(
            f"not {origin.name} of torchvision: {pair.convolution}.weight is {list(found)}, not {list(wanted)}"
        )
    with torch.no_grad():
        for pair in pairs:
            weight = weights[pair.unit]
            if pair.convolution is None:
                _convolution(pair.unit).weight.copy_(torch.eye(len(_convolution(pair.unit).weight))[..., None, None])
                _normalize(pair.unit, None, tensors, torch.zeros(()), origin.epsilon)
            elif weight is not None:
                shift = tensors.get(f"{pair.convolution}.bias", torch.zeros(len(weight))).double()
                if pair.unit is first:
                    weight, constant = _fold_colours(weight, origin, mean)
                    shift = shift + constant
                _convolution(pair.unit).weight.copy_(weight)
                _normalize(pair.unit, pair.normalization, tensors, shift, origin.epsilon)
    return Loaded(
        source=origin.name,
        taken=tuple(names[pair.unit] for pair in fitting),
        other_shape=tuple(names[pair.unit] for pair in given if weights[pair.unit] is None),
        identity=tuple(names[pair.unit] for pair in pairs if not pair.convolution),
        unused=tuple(unused),
    )


def _refuse_strangers(pairs: Sequence[Pair], tensors: Tensors, origin: Source) -> list[str]:
    """The tensors that are ignored; ModelFileError where the file's layers are not those of the source."""
    wanted, layers = set(), set()
    for pair in pairs:
        if pair.convolution:
            own_bias = _convolution(pair.unit).bias is not None
            wanted |= {f"{pair.convolution}.weight"} | ({f"{pair.convolution}.bias"} if own_bias else set())
            layers.add(pair.convolution)
        if pair.normalization:
            wanted |= {f"{pair.normalization}.{part}" for part in STATISTICS}
            layers.add(pair.normalization)
    missing = sorted(wanted - set(tensors))
    if missing:
        raise ModelFileError(f"not {origin.name} of torchvision: it has no {missing[0]}")
    unused = [name for name in tensors if name.rpartition(".")[0] not in layers]
    strange = [name for name in unused if not name.startswith(origin.ignored)]
    if strange:
        raise ModelFileError(f"not {origin.name} of torchvision: {strange[0]} has no place there")
    broken = [name for name in sorted(wanted) if not tensors[name].isfinite().all()]
    if broken:
        raise ModelFileError(f"{broken[0]} holds values that are not finite")
    return unused


def _weight(pair: Pair, tensors: Tensors, grey: bool) -> Tensor | None:
    """The source's kernel as large as ours, a smaller one in the middle; None where the shapes disagree."""
    if pair.convolution is None:
        return None
    own, found = _convolution(pair.unit).weight.shape, tensors[f"{pair.convolution}.weight"].double()
    channels = 3 if grey else own[1]
    parts = [tensors[f"{pair.normalization}.{part}"] for part in STATISTICS] if pair.normalization else []
    if found.shape[:2] != (own[0], channels) or any(part.shape != own[:1] for part in parts):
        return None
    margins = [ours - theirs for ours, theirs in zip(own[2:], found.shape[2:], strict=True)]
    if any(margin < 0 or margin % 2 for margin in margins):
        return None
    return F.pad(found, (margins[1] // 2, margins[1] // 2, margins[0] // 2, margins[0] // 2))


def _fold_colours(weight: Tensor, origin: Source, mean: Sequence[float]) -> tuple[Tensor, Tensor]:
    """[O, 3, K, K] for RGB, normalised -> for our pictures, and what is to be added to the answers [O]."""
    ours = torch.tensor(mean[::-1] if len(mean) == 3 else [*mean] * 3, dtype=torch.float64)  # R, G, B
    theirs = 255.0 * torch.tensor(origin.mean_rgb, dtype=torch.float64)
    scaled = weight / (255.0 * torch.tensor(origin.deviation_rgb, dtype=torch.float64))[:, None, None]
    constant = scaled.sum(dim=(2, 3)) @ (ours - theirs)
    return scaled.sum(dim=1, keepdim=True) if len(mean) == 1 else scaled.flip(1), constant


def _normalize(unit: ConvUnit, name: str | None, tensors: Tensors, shift: Tensor, epsilon: float) -> None:
    """The source's normalization `name`, or none of that name the identity, of the convolution's answers + `shift`."""
    if not isinstance(unit.norm, nn.BatchNorm2d):
        bias = _convolution(unit).bias
        assert bias is not None
        bias.copy_(shift)
        return
    norm, count = unit.norm, unit.norm.num_features
    assert norm.running_mean is not None and norm.running_var is not None
    ones, zeros = torch.ones(count, dtype=torch.float64), torch.zeros(count, dtype=torch.float64)
    scale, offset, average, variance = ones, zeros, zeros, ones - epsilon
    if name:
        scale, offset, average, variance = (tensors[f"{name}.{part}"].double() for part in STATISTICS)
    moved = (variance + epsilon - BN_EPSILON).clamp(min=0.0)
    norm.weight.copy_(scale * ((moved + BN_EPSILON) / (variance + epsilon)).sqrt())
    norm.bias.copy_(offset)
    norm.running_mean.copy_(average - shift)
    norm.running_var.copy_(moved)


def _convolution(unit: ConvUnit) -> nn.Conv2d:
    return unit.conv


def _resnet(backbone: ResNet, tensors: Tensors) -> Iterator[Pair]:
    yield Pair(backbone.conv1, "conv1", "bn1")
    for number in range(1, 5):
        for index, unit in enumerate(getattr(backbone, f"block_{number}").values()):
            place = f"layer{number}.{index}"
            for part in range(1, 4 if backbone.layers in BOTTLENECK else 3):
                yield Pair(getattr(unit, f"conv_{part}"), f"{place}.conv{part}", f"{place}.bn{part}")
            there = index == 0 and (number > 1 or backbone.layers in BOTTLENECK)
            names = (f"{place}.downsample.0", f"{place}.downsample.1") if there else (None, None)
            yield Pair(unit.shortcut, *names)


def _vgg(backbone: Vgg, tensors: Tensors) -> Iterator[Pair]:
    normalized = any(name.startswith("features.") and name.endswith("running_mean") for name in tensors)
    index = 0
    for block in backbone.blocks().values():
        for unit in block.children():
            assert isinstance(unit, ConvUnit)
            yield Pair(unit, f"features.{index}", f"features.{index + 1}" if normalized else None)
            index += 3 if normalized else 2
        index += 1  # the pooling


def _googlenet(backbone: GoogLeNet, tensors: Tensors) -> Iterator[Pair]:
    def pair(unit: Any, place: str) -> Pair:
        return Pair(unit, f"{place}.conv", f"{place}.bn")

    yield pair(backbone.stem[0], "conv1")
    yield pair(backbone.stem[2], "conv2")
    yield pair(backbone.stem[3], "conv3")
    for name in MODULES:
        module, place = getattr(backbone, f"inception_{name}"), f"inception{name}"
        yield pair(module.branch_1, f"{place}.branch1")
        for branch, theirs in ((module.branch_2, "branch2"), (module.branch_3, "branch3")):
            yield pair(branch[0], f"{place}.{theirs}.0")
            yield pair(branch[1], f"{place}.{theirs}.1")
        yield pair(module.branch_4[1], f"{place}.branch4.1")


def _mobilenet_v2(backbone: MobileNetV2, tensors: Tensors) -> Iterator[Pair]:
    yield Pair(backbone.conv1, "features.0.0", "features.0.1")
    for number, (expansion, _, _) in enumerate(INVERTED):
        unit, place = getattr(backbone, f"block_{number}"), f"features.{number + 1}.conv"
        if expansion > 1:
            yield Pair(unit.expand, f"{place}.0.0", f"{place}.0.1")
        last = 1 if expansion > 1 else 0
        yield Pair(unit.depthwise, f"{place}.{last}.0", f"{place}.{last}.1")
        yield Pair(unit.project, f"{place}.{last + 1}", f"{place}.{last + 2}")


def _squeezenet(backbone: SqueezeNet, tensors: Tensors) -> Iterator[Pair]:
    yield Pair(backbone.conv1, "features.0")
    index = 1
    for number in FIRES:
        index += 2 if number in POOLED else 1
        fire, place = getattr(backbone, f"fire{number}"), f"features.{index}"
        yield Pair(fire.squeeze, f"{place}.squeeze")
        yield Pair(fire.expand_1x1, f"{place}.expand1x1")
        yield Pair(fire.expand_3x3, f"{place}.expand3x3")


def _efficientnet(backbone: EfficientNetB0, tensors: Tensors) -> Iterator[Pair]:
    yield Pair(backbone.stem, "features.0.0", "features.0.1")
    for number, (expansion, *_) in STAGES.items():
        for index, unit in enumerate(getattr(backbone, f"block{number}").values()):
            place = f"features.{number}.{index}.block"
            if expansion > 1:
                yield Pair(unit.expand, f"{place}.0.0", f"{place}.0.1")
            at = 1 if expansion > 1 else 0
            yield Pair(unit.depthwise, f"{place}.{at}.0", f"{place}.{at}.1")
            yield Pair(unit.excitation.reduce, f"{place}.{at + 1}.fc1")
            yield Pair(unit.excitation.expand, f"{place}.{at + 1}.fc2")
            yield Pair(unit.project, f"{place}.{at + 2}.0", f"{place}.{at + 2}.1")
    yield Pair(backbone.top, "features.8.0", "features.8.1")


SOURCES: dict[type[nn.Module], Source] = {
    GoogLeNet: Source(
        "googlenet",
        _googlenet,
        ("aux1.", "aux2.", "fc."),
        # its weights come from TensorFlow: torchvision's `transform_input` leads to this range
        mean_rgb=(0.5, 0.5, 0.5),
        deviation_rgb=(0.5, 0.5, 0.5),
        epsilon=1e-3,
    ),
    MobileNetV2: Source(
        "mobilenet_v2", _mobilenet_v2, (*(f"features.{number}." for number in range(14, 19)), "classifier.")
    ),
    SqueezeNet: Source("squeezenet1_0", _squeezenet, ("classifier.",)),
    EfficientNetB0: Source("efficientnet_b0", _efficientnet, ("classifier.",)),
}
