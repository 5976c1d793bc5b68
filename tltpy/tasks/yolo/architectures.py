"""What yolo takes from each backbone: the three maps, their strides, the widths of the head, the blocks that can be
frozen. Imports no torch.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tap:
    """One map on its way from the backbone to the neck: enlarged twice, then through a convolution, where told so."""

    source: str  # name of the backbone's map
    width: int  # channels that reach the neck
    kernel: int = 0  # of the convolution; 0: none
    stride: int = 1
    enlarge: bool = False


@dataclass(frozen=True)
class Architecture:
    """`taps` and `strides` are those of the big, mid and small scale."""

    taps: tuple[Tap, Tap, Tap]
    neck_widths: tuple[int, int]
    freezable: range  # what freeze_blocks may name
    strides: tuple[int, int, int] = (32, 16, 8)


RESNET = Architecture(
    (Tap("block_4", 512, 3, stride=2), Tap("block_3", 256), Tap("block_2", 128)), (128, 64), freezable=range(4)
)
# both inner maps have stride 16, as published: the fine one is enlarged
DEEP_RESNET = Architecture(
    (Tap("block_4", 1024, 3, stride=2), Tap("block_4_inner", 512), Tap("block_3_inner", 256, enlarge=True)),
    (256, 128),
    freezable=range(4),
)
DARKNET = Architecture((Tap("b5", 1024), Tap("b4", 512), Tap("b3", 256)), (256, 128), freezable=range(6))
VGG = Architecture(
    (Tap("block_5", 512), Tap("block_4", 512), Tap("block_3", 256)),
    (256, 128),
    freezable=range(1, 6),
    strides=(16, 8, 4),
)
GOOGLENET = Architecture(
    (Tap("5b", 1024, 3, stride=2), Tap("5a", 512, 3), Tap("4e", 256, 3, enlarge=True)),
    (256, 128),
    freezable=range(10),
)
MOBILENET_V1 = Architecture(
    (Tap("pw_11", 512, 3, stride=2), Tap("dw_6", 256), Tap("dw_4", 128)), (128, 64), freezable=range(12)
)
MOBILENET_V2 = Architecture(
    (Tap("block_12", 96, 3, stride=2), Tap("block_9", 64), Tap("block_5", 32)), (32, 16), freezable=range(14)
)
SQUEEZENET = Architecture(
    (Tap("fire9", 128, 3, stride=2), Tap("fire9", 128, 1), Tap("fire8", 128, 1)), (64, 64), freezable=range(9)
)
EFFICIENTNET_B0 = Architecture(
    (Tap("top", 1280), Tap("block6a_expand", 672), Tap("block5a_expand", 256, 3, enlarge=True)),
    (256, 128),
    freezable=range(9),
)

# name -> number of layers -> architecture; 0 where there is one size
ARCHITECTURES: dict[str, dict[int, Architecture]] = {
    "resnet": {10: RESNET, 18: RESNET, 34: RESNET, 50: DEEP_RESNET, 101: DEEP_RESNET},
    "darknet": {19: DARKNET, 53: DARKNET},
    "vgg": {16: VGG, 19: VGG},
    "googlenet": {0: GOOGLENET},
    "mobilenet_v1": {0: MOBILENET_V1},
    "mobilenet_v2": {0: MOBILENET_V2},
    "squeezenet": {0: SQUEEZENET},
    "efficientnet_b0": {0: EFFICIENTNET_B0},
}


def depths(arch: str) -> tuple[int, ...]:
    """The numbers of layers that there are; none where there is one size."""
    return tuple(number for number in ARCHITECTURES.get(arch, ()) if number)


def architecture(arch: str, layers: int) -> Architecture:
    """`layers` is not looked at where there is one size."""
    return ARCHITECTURES[arch][layers if depths(arch) else 0]
