"""YOLOv3 in integers: every raw output of the engine is that of the fixed-point network."""

from pathlib import Path

import pytest
import torch
from quantizing import Engine, calibrated, exported, steps_apart
from torch import Tensor, nn
from torch.nn import functional as F

from tltpy.quant.fixed import to_fixed_point
from tltpy.tasks.yolo.model import YoloV3

SIZE_HW = (64, 96)


def pictures(seed: int, count: int) -> list[dict[str, Tensor]]:
    """Batches of two, smooth, about -110 to 140."""
    found = []
    for number in range(count):
        generator = torch.Generator().manual_seed(100 * seed + number)
        coarse = torch.rand(2, 3, 6, 10, generator=generator) * 250 - 110
        found.append({"Input": F.interpolate(coarse, size=SIZE_HW, mode="bilinear", align_corners=False)})
    return found


def network() -> nn.Module:
    """Random weights, statistics that are not the initial ones."""
    torch.manual_seed(0)
    found = YoloV3(arch="resnet", layers=10, conv_blocks=1, anchors=(2, 3, 1), classes=3)
    for layer in found.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 0.3
            nn.init.uniform_(layer.weight, 0.5, 1.5)
    with torch.no_grad():
        for batch in pictures(0, 4):
            found(batch)
    return found.eval()


@pytest.mark.slow
def test_the_engine_has_the_same_codes(tmp_path: Path) -> None:
    fixed = to_fixed_point(calibrated(network(), pictures(1, 2), observer="mse"))
    batch = pictures(2, 2)
    engine = Engine(exported(fixed, batch[0]), tmp_path)
    assert steps_apart(fixed, engine, batch) == (0, 0)
    left = {"QLinearConv", "QLinearAdd", "QLinearLeakyRelu", "QLinearConcat", "Resize", "Transpose"}
    assert set(engine.operators) == left | {"QuantizeLinear", "DequantizeLinear"}
    assert (engine.operators["QuantizeLinear"], engine.operators["DequantizeLinear"]) == (1, 3)
    assert (engine.operators["QLinearConv"], engine.operators["QLinearAdd"]) == (31, 4)
