"""The backbones by name. Each has `widths` (channels of its maps by name), `blocks` (what freeze_blocks counts) and a
forward pass from pictures [B, in_channels, H, W], H and W multiples of 32, to its maps by name.
"""

from collections.abc import Callable

from tltpy.nn.darknet import Darknet
from tltpy.nn.efficientnet import EfficientNetB0
from tltpy.nn.googlenet import GoogLeNet
from tltpy.nn.layers import Activation, leaky_relu
from tltpy.nn.mobilenet import MobileNetV1, MobileNetV2
from tltpy.nn.resnet import ResNet
from tltpy.nn.squeezenet import SqueezeNet
from tltpy.nn.vgg import Vgg

Backbone = ResNet | Darknet | Vgg | GoogLeNet | MobileNetV1 | MobileNetV2 | SqueezeNet | EfficientNetB0

BUILDERS: dict[str, Callable[[int, int, Activation], Backbone]] = {
    "resnet": lambda layers, channels, leaky: ResNet(layers, in_channels=channels),
    "darknet": lambda layers, channels, leaky: Darknet(layers, in_channels=channels, activation=leaky),
    "vgg": lambda layers, channels, leaky: Vgg(layers, in_channels=channels),
    "googlenet": lambda layers, channels, leaky: GoogLeNet(in_channels=channels),
    "mobilenet_v1": lambda layers, channels, leaky: MobileNetV1(in_channels=channels),
    "mobilenet_v2": lambda layers, channels, leaky: MobileNetV2(in_channels=channels),
    "squeezenet": lambda layers, channels, leaky: SqueezeNet(in_channels=channels),
    "efficientnet_b0": lambda layers, channels, leaky: EfficientNetB0(in_channels=channels),
}


def backbone(name: str, layers: int = 0, *, in_channels: int = 3, leaky: Activation = leaky_relu) -> Backbone:
    """With random weights. `layers` of those that come in several depths; `leaky` stands for LeakyReLU in those that
    were published with it."""
    return BUILDERS[name](layers, in_channels, leaky)
