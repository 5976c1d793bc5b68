"""Darknet-19 (Redmon & Farhadi 2017) and Darknet-53 (Redmon & Farhadi 2018), without their classifiers."""

from torch import Tensor, nn

from tltpy.nn.layers import Activation, ConvUnit, leaky_relu

STAGES_19 = ((64,), (128, 64, 128), (256, 128, 256), (512, 256, 512, 256, 512), (1024, 512, 1024, 512, 1024))
REPEATS_53 = (1, 2, 8, 8, 4)
WIDTHS = (64, 128, 256, 512, 1024)


class Residual(nn.Module):
    """1x1 to half the width, 3x3 back, added to the input."""

    def __init__(self, width: int, activation: Activation) -> None:
        super().__init__()
        self.conv_1 = ConvUnit(width, width // 2, kernel=1, activation=activation)
        self.conv_2 = ConvUnit(width // 2, width, kernel=3, activation=activation)

    def forward(self, x: Tensor) -> Tensor:
        """[B, width, H, W] -> the same shape."""
        out: Tensor = x + self.conv_2(self.conv_1(x))
        return out


class Darknet(nn.Module):
    """`blocks` are the parts that freeze_blocks counts: 0 the first convolution, 1-5 the stages."""

    def __init__(self, layers: int, *, in_channels: int = 3, activation: Activation = leaky_relu) -> None:
        super().__init__()
        self.layers = layers
        self.widths = {f"b{number}": width for number, width in enumerate(WIDTHS, 1)}
        self.conv1 = ConvUnit(in_channels, 32, kernel=3, activation=activation)
        width_in = 32
        for number, width in enumerate(WIDTHS):
            stage = _stage_19(width_in, number, activation) if layers == 19 else _stage_53(width_in, number, activation)
            self.add_module(f"b{number + 1}", stage)
            width_in = width

    def blocks(self) -> dict[int, nn.Module]:
        return {0: self.conv1, **{number: getattr(self, f"b{number}") for number in range(1, 6)}}

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """[B, in_channels, H, W] -> b1 to b5, the outputs of the stages (strides 2, 4, 8, 16, 32)."""
        maps = {}
        x = self.conv1(x)
        for number in range(1, 6):
            x = maps[f"b{number}"] = getattr(self, f"b{number}")(x)
        return maps


def _stage_19(width_in: int, number: int, activation: Activation) -> nn.Sequential:
    stage = nn.Sequential()
    stage.add_module("pool", nn.MaxPool2d(2))
    for index, width in enumerate(STAGES_19[number]):
        stage.add_module(
            f"conv{index + 1}", ConvUnit(width_in, width, kernel=3 if index % 2 == 0 else 1, activation=activation)
        )
        width_in = width
    return stage


def _stage_53(width_in: int, number: int, activation: Activation) -> nn.Sequential:
    stage = nn.Sequential()
    stage.add_module("down", ConvUnit(width_in, WIDTHS[number], kernel=3, stride=2, activation=activation))
    for index in range(REPEATS_53[number]):
        stage.add_module(f"unit{index + 1}", Residual(WIDTHS[number], activation))
    return stage
