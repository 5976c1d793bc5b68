"""ResNet 10, 18, 34, 50, 101 (He et al. 2016) as detectors of TLT use it: no pooling, a projection on every shortcut,
strides 2, 2, 2, 1 of the four blocks, so that the deepest map has stride 16.
"""

from torch import Tensor, nn

from tltpy.nn.layers import Activation, ConvUnit, relu

DEPTHS = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
BOTTLENECK = (50, 101)
WIDTHS = (64, 128, 256, 512)
STRIDES = (2, 2, 2, 1)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a projected shortcut."""

    def __init__(self, in_channels: int, width: int, stride: int, activation: Activation) -> None:
        super().__init__()
        self.conv_1 = ConvUnit(in_channels, width, kernel=3, stride=stride, activation=activation)
        self.conv_2 = ConvUnit(width, width, kernel=3, activation=None)
        self.shortcut = ConvUnit(in_channels, width, kernel=1, stride=stride, activation=None)
        self.act = activation()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[B, C, H, W] -> inner activation and output, both [B, width, H / stride, W / stride]."""
        inner = self.conv_1(x)
        return inner, self.act(self.conv_2(inner) + self.shortcut(x))


class Bottleneck(nn.Module):
    """1x1, 3x3 (which carries the stride), 1x1 to four times the width, and a projected shortcut."""

    def __init__(self, in_channels: int, width: int, stride: int, activation: Activation) -> None:
        super().__init__()
        self.conv_1 = ConvUnit(in_channels, width, kernel=1, activation=activation)
        self.conv_2 = ConvUnit(width, width, kernel=3, stride=stride, activation=activation)
        self.conv_3 = ConvUnit(width, 4 * width, kernel=1, activation=None)
        self.shortcut = ConvUnit(in_channels, 4 * width, kernel=1, stride=stride, activation=None)
        self.act = activation()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[B, C, H, W] -> activation after the 3x3 convolution [B, width, ...] and output [B, 4 * width, ...]."""
        inner = self.conv_2(self.conv_1(x))
        return inner, self.act(self.conv_3(inner) + self.shortcut(x))


class ResNet(nn.Module):
    """`blocks` are the parts that freeze_blocks counts: 0 the first convolution, 1-4 the residual blocks."""

    def __init__(self, layers: int, *, in_channels: int = 3, activation: Activation = relu) -> None:
        super().__init__()
        self.layers = layers
        block = Bottleneck if layers in BOTTLENECK else BasicBlock
        expansion = 4 if layers in BOTTLENECK else 1
        self.conv1 = ConvUnit(in_channels, 64, kernel=7, stride=2, activation=activation)
        width_in = 64
        for number, (depth, width, stride) in enumerate(zip(DEPTHS[layers], WIDTHS, STRIDES, strict=True), 1):
            units = nn.ModuleDict()
            for index in range(depth):
                units[chr(ord("a") + index)] = block(width_in, width, stride if index == 0 else 1, activation)
                width_in = width * expansion
            self.add_module(f"block_{number}", units)
        self.widths = {
            name: size
            for number, width in enumerate(WIDTHS, 1)
            for name, size in ((f"block_{number}_inner", width), (f"block_{number}", width * expansion))
        }

    def blocks(self) -> dict[int, nn.Module]:
        return {0: self.conv1, **{number: getattr(self, f"block_{number}") for number in range(1, 5)}}

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """[B, in_channels, H, W] -> block_1 to block_4, the outputs of the blocks (strides 4, 8, 16, 16), and
        block_1_inner to block_4_inner, the activations within their last units."""
        maps = {}
        x = self.conv1(x)
        for number in range(1, 5):
            for unit in getattr(self, f"block_{number}").values():
                maps[f"block_{number}_inner"], x = unit(x)
            maps[f"block_{number}"] = x
        return maps
