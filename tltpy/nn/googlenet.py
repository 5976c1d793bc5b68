"""GoogLeNet (Szegedy et al. 2015, table 1) with batch normalization, as detectors of TLT use it: no pooling between 4e
and 5a, so that the deepest map has stride 16; neither the classifier nor its auxiliary ones.
"""

import torch
from torch import Tensor, nn

from tltpy.nn.layers import Activation, ConvUnit, relu

# module -> filters of 1x1; of 3x3 behind a reduction; of 5x5 behind a reduction; of 1x1 behind the pooling
MODULES = {
    "3a": (64, (96, 128), (16, 32), 32),
    "3b": (128, (128, 192), (32, 96), 64),
    "4a": (192, (96, 208), (16, 48), 64),
    "4b": (160, (112, 224), (24, 64), 64),
    "4c": (128, (128, 256), (24, 64), 64),
    "4d": (112, (144, 288), (32, 64), 64),
    "4e": (256, (160, 320), (32, 128), 128),
    "5a": (256, (160, 320), (32, 128), 128),
    "5b": (384, (192, 384), (48, 128), 128),
}


class Inception(nn.Module):
    """Four branches side by side, concatenated."""

    def __init__(self, in_channels: int, name: str, activation: Activation) -> None:
        super().__init__()
        one, (reduce_3, three), (reduce_5, five), pooled = MODULES[name]
        self.branch_1 = ConvUnit(in_channels, one, kernel=1, activation=activation)
        self.branch_2 = nn.Sequential(
            ConvUnit(in_channels, reduce_3, kernel=1, activation=activation),
            ConvUnit(reduce_3, three, kernel=3, activation=activation),
        )
        self.branch_3 = nn.Sequential(
            ConvUnit(in_channels, reduce_5, kernel=1, activation=activation),
            ConvUnit(reduce_5, five, kernel=5, activation=activation),
        )
        self.branch_4 = nn.Sequential(
            nn.MaxPool2d(3, stride=1, padding=1), ConvUnit(in_channels, pooled, kernel=1, activation=activation)
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, sum of the branches' filters, H, W]."""
        return torch.cat([self.branch_1(x), self.branch_2(x), self.branch_3(x), self.branch_4(x)], dim=1)


class GoogLeNet(nn.Module):
    """`blocks` are the parts that freeze_blocks counts: 0 the convolutions before 3a, 1-9 the modules 3a to 5b."""

    def __init__(self, *, in_channels: int = 3, activation: Activation = relu) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            ConvUnit(in_channels, 64, kernel=7, stride=2, activation=activation),
            nn.MaxPool2d(3, stride=2, padding=1),
            ConvUnit(64, 64, kernel=1, activation=activation),
            ConvUnit(64, 192, kernel=3, activation=activation),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        self.widths: dict[str, int] = {}
        width = 192
        for name, (one, (_, three), (_, five), pooled) in MODULES.items():
            self.add_module(f"inception_{name}", Inception(width, name, activation))
            width = self.widths[name] = one + three + five + pooled
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)

    def blocks(self) -> dict[int, nn.Module]:
        return {0: self.stem, **{number: getattr(self, f"inception_{name}") for number, name in enumerate(MODULES, 1)}}

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """[B, in_channels, H, W] -> outputs of the modules 3a to 5b (stride 8 up to 3b, then 16)."""
        maps = {}
        x = self.stem(x)
        for name in MODULES:
            if name == "4a":
                x = self.pool(x)
            x = maps[name] = getattr(self, f"inception_{name}")(x)
        return maps
