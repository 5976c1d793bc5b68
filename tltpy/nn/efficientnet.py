"""EfficientNet-B0 (Tan & Le 2019, table 1) without its classifier and without stochastic depth."""

from torch import Tensor, nn

from tltpy.nn.layers import Activation, ConvUnit, silu

# stage -> expansion, kernel, stride of the first unit, width, units
STAGES = {
    1: (1, 3, 1, 16, 1),
    2: (6, 3, 2, 24, 2),
    3: (6, 5, 2, 40, 2),
    4: (6, 3, 2, 80, 3),
    5: (6, 5, 1, 112, 3),
    6: (6, 5, 2, 192, 4),
    7: (6, 3, 1, 320, 1),
}
TOP = 1280


class Excitation(nn.Module):
    """Squeeze and excitation (Hu et al. 2018): each channel times a factor that all channels' means decide."""

    def __init__(self, channels: int, squeezed: int, activation: Activation) -> None:
        super().__init__()
        self.reduce = ConvUnit(channels, squeezed, kernel=1, normalize=False, activation=activation)
        self.expand = ConvUnit(squeezed, channels, kernel=1, normalize=False, activation=nn.Sigmoid)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> the same shape."""
        out: Tensor = x * self.expand(self.reduce(x.mean(dim=(2, 3), keepdim=True)))
        return out


class MBConv(nn.Module):
    """1x1 to `expansion` times the width, a convolution for each channel by itself, excitation, 1x1 without activation;
    added to the input where it has the same shape. The excitation squeezes to a quarter of the input's width."""

    def __init__(
        self, in_channels: int, *, expansion: int, kernel: int, stride: int, width: int, activation: Activation
    ) -> None:
        super().__init__()
        inner = in_channels * expansion
        self.expand = ConvUnit(in_channels, inner, kernel=1, activation=activation) if expansion > 1 else nn.Identity()
        self.depthwise = ConvUnit(inner, inner, kernel=kernel, stride=stride, groups=inner, activation=activation)
        self.excitation = Excitation(inner, in_channels // 4, activation)
        self.project = ConvUnit(inner, width, kernel=1, activation=None)
        self.adds = stride == 1 and in_channels == width

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[B, C, H, W] -> the expanded map [B, C * expansion, H, W], the output [B, width, H / stride, W / stride]."""
        inner = self.expand(x)
        out: Tensor = self.project(self.excitation(self.depthwise(inner)))
        return inner, x + out if self.adds else out


class EfficientNetB0(nn.Module):
    """`blocks` are the parts that freeze_blocks counts: 0 the first convolution, 1-7 the stages, 8 the last one."""

    def __init__(self, *, in_channels: int = 3, activation: Activation = silu) -> None:
        super().__init__()
        self.stem = ConvUnit(in_channels, 32, kernel=3, stride=2, activation=activation)
        self.widths: dict[str, int] = {}
        width_in = 32
        for number, (expansion, kernel, stride, width, count) in STAGES.items():
            units = nn.ModuleDict()
            for index in range(count):
                units[chr(ord("a") + index)] = MBConv(
                    width_in,
                    expansion=expansion,
                    kernel=kernel,
                    stride=stride if index == 0 else 1,
                    width=width,
                    activation=activation,
                )
                if index == 0:
                    self.widths[f"block{number}a_expand"] = width_in * expansion
                width_in = width
            self.widths[f"block{number}"] = width
            self.add_module(f"block{number}", units)
        self.top = ConvUnit(width_in, TOP, kernel=1, activation=activation)
        self.widths["top"] = TOP

    def blocks(self) -> dict[int, nn.Module]:
        stages = {number: getattr(self, f"block{number}") for number in STAGES}
        return {0: self.stem, **stages, len(STAGES) + 1: self.top}

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """[B, in_channels, H, W] -> block1 to block7 (strides 2, 4, 8, 16, 16, 32, 32), block1a_expand to
        block7a_expand, the expanded maps of their first units (at the stride before), and top (stride 32)."""
        maps = {}
        x = self.stem(x)
        for number in STAGES:
            for name, unit in getattr(self, f"block{number}").items():
                inner, x = unit(x)
                if name == "a":
                    maps[f"block{number}a_expand"] = inner
            maps[f"block{number}"] = x
        maps["top"] = self.top(x)
        return maps
