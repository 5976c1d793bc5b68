"""SqueezeNet 1.0 (Iandola et al. 2016, table 1): no batch normalization, so its convolutions have biases."""

import torch
from torch import Tensor, nn

from tltpy.nn.layers import Activation, ConvUnit, relu

FIRES = {2: (16, 64), 3: (16, 64), 4: (32, 128), 5: (32, 128), 6: (48, 192), 7: (48, 192), 8: (64, 256), 9: (64, 256)}
POOLED = (2, 5, 9)  # a pooling goes before these


class Fire(nn.Module):
    """1x1 to a few channels, then 1x1 and 3x3 side by side, concatenated."""

    def __init__(self, in_channels: int, squeeze: int, expand: int, activation: Activation) -> None:
        super().__init__()
        self.squeeze = ConvUnit(in_channels, squeeze, kernel=1, normalize=False, activation=activation)
        self.expand_1x1 = ConvUnit(squeeze, expand, kernel=1, normalize=False, activation=activation)
        self.expand_3x3 = ConvUnit(squeeze, expand, kernel=3, normalize=False, activation=activation)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, 2 * expand, H, W]."""
        x = self.squeeze(x)
        return torch.cat([self.expand_1x1(x), self.expand_3x3(x)], dim=1)


class SqueezeNet(nn.Module):
    """`blocks` are the parts that freeze_blocks counts: 0 the first convolution, 1-8 the modules fire2 to fire9."""

    def __init__(self, *, in_channels: int = 3, activation: Activation = relu) -> None:
        super().__init__()
        self.conv1 = ConvUnit(in_channels, 96, kernel=7, stride=2, normalize=False, activation=activation)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.widths: dict[str, int] = {}
        width = 96
        for number, (squeeze, expand) in FIRES.items():
            self.add_module(f"fire{number}", Fire(width, squeeze, expand, activation))
            width = self.widths[f"fire{number}"] = 2 * expand

    def blocks(self) -> dict[int, nn.Module]:
        return {0: self.conv1, **{number - 1: getattr(self, f"fire{number}") for number in FIRES}}

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """[B, in_channels, H, W] -> fire2 to fire9 (stride 4, 8 from fire5 on, 16 at fire9)."""
        maps = {}
        x = self.conv1(x)
        for number in FIRES:
            if number in POOLED:
                x = self.pool(x)
            x = maps[f"fire{number}"] = getattr(self, f"fire{number}")(x)
        return maps
