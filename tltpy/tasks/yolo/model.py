"""The network of YOLOv3: backbone, three taps, a neck from coarse to fine, one 1x1 output convolution a scale.

Inputs  {"Input": float32 [B, 3 or 1, H, W], BGR 0..255 minus mean}, H and W multiples of 32.
Outputs {"big": [B, A*(5+C), H/32, W/32], "mid": [..., H/16, W/16], "small": [..., H/8, W/8]}, raw (strides 16, 8, 4
with vgg); an anchor's values are (ty, tx, th, tw, objectness, class scores), y before x as published.

B batch, A anchors of the scale, C classes.
"""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tltpy.nn.backbones import Backbone, backbone
from tltpy.nn.layers import (
    Activation,
    ConvUnit,
    freeze_convolutions,
    freeze_normalization,
    init_weights,
    leaky_relu,
    relu,
    set_momentum,
)
from tltpy.tasks.yolo.architectures import Tap, architecture

OBJECT_PRIOR = -4.6  # logit of 0.01: at the start hardly any box is an object (Lin et al. 2017, section 4.1)


class Taps(nn.Module):
    """A backbone and the three maps that the neck starts from, big, mid and small."""

    def __init__(self, backbone: Backbone, taps: Sequence[Tap], activation: Activation) -> None:
        super().__init__()
        self.backbone = backbone
        self.taps = tuple(taps)
        for number, tap in enumerate(self.taps, 1):
            width = backbone.widths[tap.source]
            assert tap.kernel or tap.width == width, f"{tap.source} has {width} channels"
            if tap.kernel:
                unit = ConvUnit(width, tap.width, kernel=tap.kernel, stride=tap.stride, activation=activation)
                self.add_module(f"yolo_expand_conv{number}", unit)

    def forward(self, x: Tensor) -> list[Tensor]:
        """[B, in_channels, H, W] -> a map for each tap."""
        maps = self.backbone(x)
        found = []
        for number, tap in enumerate(self.taps, 1):
            y = maps[tap.source]
            if tap.enlarge:
                y = F.interpolate(y, scale_factor=2.0, mode="nearest")
            found.append(getattr(self, f"yolo_expand_conv{number}")(y) if tap.kernel else y)
        return found


class YoloV3(nn.Module):
    """Backbone, neck and output convolutions. `anchors` counts those of the big, mid and small scale."""

    def __init__(
        self,
        *,
        arch: str,
        layers: int,
        conv_blocks: int,
        anchors: Sequence[int],
        classes: int,
        in_channels: int = 3,
        force_relu: bool = False,
        freeze_blocks: Sequence[int] = (),
        freeze_bn: bool = False,
        bn_momentum: float = 0.99,
    ) -> None:
        super().__init__()
        act = relu if force_relu else leaky_relu
        plan = architecture(arch, layers)
        self.taps = Taps(backbone(arch, layers, in_channels=in_channels, leaky=act), plan.taps, act)
        width0, width1 = plan.neck_widths
        big, mid, small = (tap.width for tap in plan.taps)
        outputs = [count * (5 + classes) for count in anchors]
        self.yolo_conv1 = branch(big, 2 * width0, conv_blocks, act)
        self.yolo_conv1_6 = ConvUnit(2 * width0, 4 * width0, kernel=3, activation=act)
        self.conv_big_object = nn.Conv2d(4 * width0, outputs[0], 1)
        self.yolo_conv2 = ConvUnit(2 * width0, width0, kernel=1, activation=act)
        self.yolo_conv3 = branch(width0 + mid, width0, conv_blocks, act)
        self.yolo_conv3_6 = ConvUnit(width0, 2 * width0, kernel=3, activation=act)
        self.conv_mid_object = nn.Conv2d(2 * width0, outputs[1], 1)
        self.yolo_conv4 = ConvUnit(width0, width1, kernel=1, activation=act)
        self.yolo_conv5 = branch(width1 + small, width1, conv_blocks, act)
        self.yolo_conv5_6 = ConvUnit(width1, 2 * width1, kernel=3, activation=act)
        self.conv_sm_object = nn.Conv2d(2 * width1, outputs[2], 1)
        self.freeze_bn = freeze_bn
        self._start(anchors, classes)
        set_momentum(self, 1.0 - bn_momentum)
        for block in freeze_blocks:
            freeze_convolutions(self.taps.backbone.blocks()[block])
        if freeze_bn:
            freeze_normalization(self.taps.backbone)

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        big, mid, small = self.taps(inputs["Input"])
        x = self.yolo_conv1(big)
        out_big = self.conv_big_object(self.yolo_conv1_6(x))
        x = F.interpolate(self.yolo_conv2(x), scale_factor=2.0, mode="nearest")
        x = self.yolo_conv3(torch.cat([x, mid], dim=1))
        out_mid = self.conv_mid_object(self.yolo_conv3_6(x))
        x = F.interpolate(self.yolo_conv4(x), scale_factor=2.0, mode="nearest")
        x = self.yolo_conv5(torch.cat([x, small], dim=1))
        return {"big": out_big, "mid": out_mid, "small": self.conv_sm_object(self.yolo_conv5_6(x))}

    def train(self, mode: bool = True) -> "YoloV3":
        super().train(mode)
        if self.freeze_bn:
            freeze_normalization(self.taps.backbone)
        return self

    def _start(self, anchors: Sequence[int], classes: int) -> None:
        init_weights(self)
        for conv, count in zip(output_convolutions(self), anchors, strict=True):
            nn.init.normal_(conv.weight, std=0.01)
            assert conv.bias is not None
            with torch.no_grad():
                conv.bias.view(count, 5 + classes)[:, 4] = OBJECT_PRIOR


def branch(width_in: int, width: int, conv_blocks: int, activation: Activation) -> nn.Sequential:
    """1x1 to `width`, then `conv_blocks` times 3x3 to twice the width and 1x1 back."""
    units: OrderedDict[str, nn.Module] = OrderedDict()
    units["conv_1"] = ConvUnit(width_in, width, kernel=1, activation=activation)
    for block in range(conv_blocks):
        units[f"conv_{2 * block + 2}"] = ConvUnit(width, 2 * width, kernel=3, activation=activation)
        units[f"conv_{2 * block + 3}"] = ConvUnit(2 * width, width, kernel=1, activation=activation)
    return nn.Sequential(units)


def output_convolutions(model: YoloV3) -> list[nn.Conv2d]:
    return [model.conv_big_object, model.conv_mid_object, model.conv_sm_object]
