"""MobileNet V1 (Howard et al. 2017) and V2 (Sandler et al. 2018) as detectors of TLT use them: up to their last layers
of stride 16.
"""

from torch import Tensor, nn

from tltpy.nn.layers import Activation, ConvUnit, relu, relu6

# width and stride of each separable convolution (paper 1, table 1)
SEPARABLE = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5)
# expansion, width and stride of each inverted residual (paper 2, table 2)
INVERTED = (
    (1, 16, 1),
    *((6, 24, 2), (6, 24, 1)),
    *((6, 32, 2), *[(6, 32, 1)] * 2),
    *((6, 64, 2), *[(6, 64, 1)] * 3),
    *[(6, 96, 1)] * 3,
)


class Separable(nn.Module):
    """3x3 for each channel by itself, then 1x1."""

    def __init__(self, in_channels: int, width: int, stride: int, activation: Activation) -> None:
        super().__init__()
        self.depthwise = ConvUnit(
            in_channels, in_channels, kernel=3, stride=stride, groups=in_channels, activation=activation
        )
        self.pointwise = ConvUnit(in_channels, width, kernel=1, activation=activation)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[B, C, H, W] -> the depthwise map [B, C, H / stride, W / stride] and the output [B, width, ...]."""
        inner = self.depthwise(x)
        return inner, self.pointwise(inner)


class MobileNetV1(nn.Module):
    """`blocks` are the parts that freeze_blocks counts: 0 the first convolution, 1-11 the separable ones."""

    def __init__(self, *, in_channels: int = 3, activation: Activation = relu) -> None:
        super().__init__()
        self.conv1 = ConvUnit(in_channels, 32, kernel=3, stride=2, activation=activation)
        self.widths: dict[str, int] = {}
        width_in = 32
        for number, (width, stride) in enumerate(SEPARABLE, 1):
            self.add_module(f"block_{number}", Separable(width_in, width, stride, activation))
            self.widths |= {f"dw_{number}": width_in, f"pw_{number}": width}
            width_in = width

    def blocks(self) -> dict[int, nn.Module]:
        return {0: self.conv1, **{n: getattr(self, f"block_{n}") for n in range(1, len(SEPARABLE) + 1)}}

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """[B, in_channels, H, W] -> dw_1, pw_1 to dw_11, pw_11, the maps behind each depthwise and each 1x1
        convolution (strides 2, 4 from dw_2 on, 8 from dw_4 on, 16 from dw_6 on)."""
        maps = {}
        x = self.conv1(x)
        for number in range(1, len(SEPARABLE) + 1):
            maps[f"dw_{number}"], x = getattr(self, f"block_{number}")(x)
            maps[f"pw_{number}"] = x
        return maps


class InvertedResidual(nn.Module):
    """1x1 to `expansion` times the width, 3x3 for each channel by itself, 1x1 without activation; added to the input
    where it has the same shape."""

    def __init__(self, in_channels: int, expansion: int, width: int, stride: int, activation: Activation) -> None:
        super().__init__()
        inner = in_channels * expansion
        self.expand = ConvUnit(in_channels, inner, kernel=1, activation=activation) if expansion > 1 else nn.Identity()
        self.depthwise = ConvUnit(inner, inner, kernel=3, stride=stride, groups=inner, activation=activation)
        self.project = ConvUnit(inner, width, kernel=1, activation=None)
        self.adds = stride == 1 and in_channels == width

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, width, H / stride, W / stride]."""
        out: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + out if self.adds else out


class MobileNetV2(nn.Module):
    """`blocks` are the parts that freeze_blocks counts: 0 the first convolution, 1-13 the inverted residuals
    (block_0 to block_12)."""

    def __init__(self, *, in_channels: int = 3, activation: Activation = relu6) -> None:
        super().__init__()
        self.conv1 = ConvUnit(in_channels, 32, kernel=3, stride=2, activation=activation)
        self.widths: dict[str, int] = {}
        width_in = 32
        for number, (expansion, width, stride) in enumerate(INVERTED):
            self.add_module(f"block_{number}", InvertedResidual(width_in, expansion, width, stride, activation))
            width_in = self.widths[f"block_{number}"] = width

    def blocks(self) -> dict[int, nn.Module]:
        return {0: self.conv1, **{n + 1: getattr(self, f"block_{n}") for n in range(len(INVERTED))}}

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """[B, in_channels, H, W] -> block_0 to block_12 (strides 2, 4 from block_1 on, 8 from block_3 on, 16 from
        block_6 on)."""
        maps = {}
        x = self.conv1(x)
        for number in range(len(INVERTED)):
            x = maps[f"block_{number}"] = getattr(self, f"block_{number}")(x)
        return maps
