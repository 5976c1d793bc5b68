"""Small networks, one for each way in which layers share channels; and what must hold of each."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Tensors = dict[str, Tensor]


def conv(width_in: int, width: int, kernel: int = 3, **options: int) -> nn.Conv2d:
    return nn.Conv2d(width_in, width, kernel, padding=kernel // 2, **options)


def unit(width_in: int, width: int, kernel: int = 3, **options: int) -> nn.Sequential:
    return nn.Sequential(conv(width_in, width, kernel, **options), nn.BatchNorm2d(width), nn.LeakyReLU(0.1))


class Chain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.out = unit(3, 24), unit(24, 40, stride=2), conv(40, 5, 1)

    def forward(self, inputs: Tensors) -> Tensors:
        return {"y": self.out(self.b(self.a(inputs["x"])))}


class Residual(nn.Module):
    """Two blocks: one with an identity, one with a projection; so a, c form one group, d, e another."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = unit(3, 24), unit(24, 32), conv(32, 24)
        self.b2, self.d, self.e = unit(24, 32), nn.Sequential(conv(32, 40), nn.BatchNorm2d(40)), conv(24, 40, 1)
        self.out = conv(40, 5, 1)

    def forward(self, inputs: Tensors) -> Tensors:
        x = self.a(inputs["x"])
        x = (x + self.c(self.b(x))).relu()
        x = (self.d(self.b2(x)) + self.e(x)).relu()
        return {"y": self.out(x)}


class ResidualChain(nn.Module):
    """Identities all the way: every c and the stem are one group."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = unit(3, 24)
        self.b = nn.ModuleList(unit(24, 16 + 8 * index) for index in range(3))
        self.c = nn.ModuleList(conv(16 + 8 * index, 24) for index in range(3))
        self.out = conv(24, 5, 1)

    def forward(self, inputs: Tensors) -> Tensors:
        x = self.stem(inputs["x"])
        for inner, outer in zip(self.b, self.c, strict=True):
            x = F.relu(x + outer(inner(x)), inplace=True)
        return {"y": self.out(x)}


class Concat(nn.Module):
    """A concatenation within a concatenation, with the picture itself in front, and one part twice."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = unit(3, 24), unit(24, 16), unit(24, 32)
        self.norm, self.out = nn.BatchNorm2d(3 + 24 + 16 + 32 + 24), conv(3 + 24 + 16 + 32 + 24, 5)

    def forward(self, inputs: Tensors) -> Tensors:
        a = self.a(inputs["x"])
        inner = torch.cat([self.b(a), self.c(a)], dim=1)
        return {"y": self.out(self.norm(torch.cat([inputs["x"], a, inner, a], dim=1)))}


class ResidualConcat(nn.Module):
    """The branch of a residual is a concatenation: a's first 16 filters meet b's, the rest meet c's."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = unit(3, 40), conv(40, 16), conv(40, 24)
        self.out = conv(40, 5)

    def forward(self, inputs: Tensors) -> Tensors:
        a = self.a(inputs["x"])
        return {"y": self.out((a + torch.cat([self.b(a), self.c(a)], dim=1)).relu())}


class Depthwise(nn.Module):
    """Depthwise separable convolutions, squeeze and excitation, a scale for each channel."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.dw, self.pw = unit(3, 24), unit(24, 24, groups=24), unit(24, 32, 1)
        self.squeeze, self.excite = conv(32, 16, 1), conv(16, 32, 1)
        self.act, self.scale = nn.PReLU(32), nn.Parameter(torch.rand(32, 1, 1) + 0.5)
        self.out = conv(32, 5)

    def forward(self, inputs: Tensors) -> Tensors:
        x = self.act(self.pw(self.dw(self.a(inputs["x"])))) * self.scale
        gate = self.excite(self.squeeze(x.mean(dim=(2, 3), keepdim=True)).relu()).sigmoid()
        return {"y": self.out(x * gate)}


class InvertedResidual(nn.Module):
    """1x1 up, depthwise, gate, 1x1 down, added to the input; the expanded map is an output's input, too."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.expand, self.dw = unit(3, 16), unit(16, 48, 1), unit(48, 48, 5, groups=48)
        self.squeeze, self.excite = conv(48, 8, 1), conv(8, 48, 1)
        self.project = nn.Sequential(conv(48, 16, 1), nn.BatchNorm2d(16))
        self.fine, self.out = conv(48, 7, 1), conv(16, 5)

    def forward(self, inputs: Tensors) -> Tensors:
        x = self.stem(inputs["x"])
        inner = self.expand(x)
        y = self.dw(inner)
        y = y * self.excite(F.silu(self.squeeze(y.mean(dim=(2, 3), keepdim=True)))).sigmoid()
        up = F.interpolate(inner, scale_factor=2.0, mode="nearest")
        return {"fine": self.fine(up), "y": self.out(x + self.project(y))}


class Inception(nn.Module):
    """Branches of several kernel sizes and a pooling, concatenated and pooled; then a fire module."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.one = unit(3, 24), unit(24, 16, 1)
        self.three = nn.Sequential(unit(24, 16, 1), unit(16, 24))
        self.pooled = nn.Sequential(nn.MaxPool2d(3, 1, 1), unit(24, 8, 1))
        self.squeeze, self.wide, self.narrow = conv(48, 16, 1), conv(16, 24), conv(16, 24, 1)
        self.out = conv(48, 5, 1)

    def forward(self, inputs: Tensors) -> Tensors:
        x = self.stem(inputs["x"])
        x = F.max_pool2d(torch.cat([self.one(x), self.three(x), self.pooled(x)], dim=1), 3, 2, 1)
        x = self.squeeze(x).relu()
        return {"y": self.out(torch.cat([self.narrow(x), self.wide(x)], dim=1).relu())}


class Shared(nn.Module):
    """One convolution used on two maps, another that shares its weight with a third; two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.both = unit(3, 24), unit(24, 24, stride=2), unit(24, 32)
        self.p, self.q = conv(32, 32), conv(32, 32)
        self.q.weight = self.p.weight
        self.out1, self.out2 = conv(32, 5, 1), conv(32, 7, 1)

    def forward(self, inputs: Tensors) -> Tensors:
        fine = self.a(inputs["x"])
        coarse = self.b(fine)
        return {"fine": self.out1(self.p(self.both(fine))), "coarse": self.out2(self.q(self.both(coarse)).relu())}


class Neck(nn.Module):
    """The way of a detector's neck: two scales, upsampled and concatenated, an output for each."""

    def __init__(self) -> None:
        super().__init__()
        self.fine, self.coarse = unit(3, 24, stride=2), unit(24, 40, stride=2)
        self.lateral, self.merged = unit(40, 16, 1), unit(40, 32)
        self.big, self.small = conv(40, 7, 1), conv(32, 5, 1)

    def forward(self, inputs: Tensors) -> Tensors:
        fine = self.fine(inputs["x"])
        coarse = F.max_pool2d(self.coarse(fine), 3, 1, 1)
        up = F.interpolate(self.lateral(coarse), scale_factor=2.0, mode="nearest")
        return {"big": self.big(coarse), "small": self.small(self.merged(torch.cat([up, fine], dim=1)))}


class Flatten(nn.Module):
    """Convolution, flattening, two linear layers; a transposed convolution on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.up = unit(3, 24), nn.ConvTranspose2d(24, 32, 2, stride=2)
        self.hidden, self.norm, self.out = nn.Linear(32 * 6, 40), nn.BatchNorm1d(40), nn.Linear(40, 5)

    def forward(self, inputs: Tensors) -> Tensors:
        x = F.adaptive_avg_pool2d(self.up(self.a(inputs["x"])).relu(), (2, 3)).flatten(1)
        return {"y": self.out(self.norm(self.hidden(x)).relu())}


class Tokens(nn.Module):
    """Maps as sequences: flattened pixels, linear layers on the last dimension, back to a map."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.expand, self.reduce = unit(3, 24), nn.Linear(24, 40), nn.Linear(40, 24)
        self.out = conv(24, 5)

    def forward(self, inputs: Tensors) -> Tensors:
        x = self.a(inputs["x"])
        tokens = x.flatten(2).transpose(1, 2)  # [B, H * W, C]
        tokens = tokens + self.reduce(F.gelu(self.expand(tokens)))
        return {"y": self.out(tokens.permute(0, 2, 1).unflatten(2, x.shape[2:]))}


class Correlation(nn.Module):
    """A sum over channels of the product of two maps: both keep the same channels, the sum needs none of them."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = unit(3, 24), unit(3, 24), unit(25, 16)
        self.out = conv(16, 2)

    def forward(self, inputs: Tensors) -> Tensors:
        a, b = self.a(inputs["x"]), self.b(inputs["x"].flip(3))
        return {"y": self.out(self.c(torch.cat([(a * b).sum(dim=1, keepdim=True), a], dim=1)))}


@dataclass(frozen=True)
class Case:
    build: Callable[[], nn.Module]
    groups: frozenset[tuple[str, ...]]  # the layers that are pruned together, worked out by hand


def case(build: Callable[[], nn.Module], *groups: str) -> Case:
    return Case(build, frozenset(tuple(group.split()) for group in groups))


CASES = {
    "chain": case(Chain, "a.0", "b.0"),
    "residual": case(Residual, "a.0 c", "b.0", "b2.0", "d.0 e"),
    "residual chain": case(ResidualChain, "stem.0 c.0 c.1 c.2", "b.0.0", "b.1.0", "b.2.0"),
    "concat": case(Concat, "a.0", "b.0", "c.0"),
    "residual concat": case(ResidualConcat, "a.0 b", "a.0 c"),
    "depthwise": case(Depthwise, "a.0", "pw.0 excite", "squeeze"),
    "inverted residual": case(InvertedResidual, "stem.0 project.0", "expand.0 excite", "squeeze"),
    "inception": case(
        Inception, "stem.0", "one.0", "three.0.0", "three.1.0", "pooled.1.0", "squeeze", "wide", "narrow"
    ),
    "shared": case(Shared, "a.0 b.0", "both.0", "p"),
    "neck": case(Neck, "fine.0", "coarse.0", "lateral.0", "merged.0"),
    "flatten": case(Flatten, "a.0", "up", "hidden"),
    "tokens": case(Tokens, "a.0 reduce", "expand"),
    "correlation": case(Correlation, "a.0 b.0", "c.0"),
}


def build(name: str, seed: int = 0) -> nn.Module:
    """The network in eval mode, with normalization layers that do something."""
    torch.manual_seed(seed)
    network = CASES[name].build()
    vary(network)
    return network.eval()


def vary(network: nn.Module) -> None:
    """Statistics and affine parts that are not the identity."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                nn.init.uniform_(tensor, 0.5, 1.5)


def inputs(seed: int = 1) -> Tensors:
    return {"x": torch.randn(2, 3, 16, 24, generator=torch.Generator().manual_seed(seed))}
