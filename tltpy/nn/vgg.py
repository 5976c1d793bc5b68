"""VGG 16, 19 (Simonyan & Zisserman 2015) as detectors of TLT use it: no pooling, the first convolution of blocks 2-5
has stride 2, so that the deepest map has stride 16.
"""

from collections import OrderedDict

from torch import Tensor, nn

from tltpy.nn.layers import Activation, ConvUnit, relu

DEPTHS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
WIDTHS = (64, 128, 256, 512, 512)


class Vgg(nn.Module):
    """`blocks` are the parts that freeze_blocks counts: 1-5."""

    def __init__(self, layers: int, *, in_channels: int = 3, activation: Activation = relu) -> None:
        super().__init__()
        self.layers = layers
        self.widths = {f"block_{number}": width for number, width in enumerate(WIDTHS, 1)}
        width_in = in_channels
        for number, (depth, width) in enumerate(zip(DEPTHS[layers], WIDTHS, strict=True), 1):
            units: OrderedDict[str, nn.Module] = OrderedDict()
            for index in range(depth):
                stride = 2 if number > 1 and index == 0 else 1
                units[f"conv_{index + 1}"] = ConvUnit(width_in, width, kernel=3, stride=stride, activation=activation)
                width_in = width
            self.add_module(f"block_{number}", nn.Sequential(units))

    def blocks(self) -> dict[int, nn.Module]:
        return {number: getattr(self, f"block_{number}") for number in range(1, 6)}

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """[B, in_channels, H, W] -> block_1 to block_5, the outputs of the blocks (strides 1, 2, 4, 8, 16)."""
        maps = {}
        for number, block in self.blocks().items():
            x = maps[f"block_{number}"] = block(x)
        return maps
