"""Shapes, strides and parameter counts of the network; freezing; decoding against a slow implementation."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from tltpy.nn.layers import ConvUnit
from tltpy.tasks.yolo.decode import OUTPUTS, Anchors, Postprocess
from tltpy.tasks.yolo.model import YoloV3

ALL = [
    ("resnet", 10),
    ("resnet", 18),
    ("resnet", 34),
    ("resnet", 50),
    ("resnet", 101),
    ("darknet", 19),
    ("darknet", 53),
]


def network(arch: str = "resnet", layers: int = 10, blocks: int = 2, **more: object) -> YoloV3:
    return YoloV3(arch=arch, layers=layers, conv_blocks=blocks, anchors=[3, 2, 1], classes=4, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(("arch", "layers"), ALL)
def test_maps_have_strides_32_16_8(arch: str, layers: int) -> None:
    with torch.device("meta"):
        outputs = network(arch, layers)({"Input": torch.empty(2, 3, 64, 96)})
    assert {name: tuple(value.shape) for name, value in outputs.items()} == {
        "big": (2, 27, 2, 3),
        "mid": (2, 18, 4, 6),
        "small": (2, 9, 8, 12),
    }


def unit(inside: int, outside: int, kernel: int) -> int:
    return inside * outside * kernel**2 + 2 * outside  # convolution, then scale and shift


def head(big: int, mid: int, small: int, c0: int, c1: int, blocks: int) -> int:
    def branch(width_in: int, width: int) -> int:
        pair = unit(width, 2 * width, 3) + unit(2 * width, width, 1)
        return unit(width_in, width, 1) + blocks * pair + unit(width, 2 * width, 3)

    total = branch(big, 2 * c0) + unit(2 * c0, c0, 1) + branch(c0 + mid, c0) + unit(c0, c1, 1) + branch(c1 + small, c1)
    return total + sum((width + 1) * 9 * count for width, count in ((4 * c0, 3), (2 * c0, 2), (2 * c1, 1)))


def resnet(depths: tuple[int, ...], bottleneck: bool) -> int:
    total, width_in = unit(3, 64, 7), 64
    for depth, width in zip(depths, (64, 128, 256, 512), strict=True):
        for _ in range(depth):
            out = 4 * width if bottleneck else width
            inner = (
                (unit(width_in, width, 1) + unit(width, width, 3) + unit(width, out, 1))
                if bottleneck
                else (unit(width_in, width, 3) + unit(width, width, 3))
            )
            total += inner + unit(width_in, out, 1)
            width_in = out
    return total


def darknet53() -> int:
    total, width_in = unit(3, 32, 3), 32
    for width, repeats in zip((64, 128, 256, 512, 1024), (1, 2, 8, 8, 4), strict=True):
        total += unit(width_in, width, 3) + repeats * (unit(width, width // 2, 1) + unit(width // 2, width, 3))
        width_in = width
    return total


def darknet19() -> int:
    widths = [3, 32, 64, 128, 64, 128, 256, 128, 256, 512, 256, 512, 256, 512, 1024, 512, 1024, 512, 1024]
    kernels = [3, 3, 3, 1, 3, 3, 1, 3, 3, 1, 3, 1, 3, 3, 1, 3, 1, 3]
    return sum(unit(a, b, k) for a, b, k in zip(widths[:-1], widths[1:], kernels, strict=True))


@pytest.mark.parametrize("blocks", [0, 1, 2])
@pytest.mark.parametrize(("arch", "layers", "backbone", "taps", "neck"), [
    ("resnet", 10, resnet((1, 1, 1, 1), False) + unit(512, 512, 3), (512, 256, 128), (128, 64)),
    ("resnet", 18, resnet((2, 2, 2, 2), False) + unit(512, 512, 3), (512, 256, 128), (128, 64)),
    ("resnet", 34, resnet((3, 4, 6, 3), False) + unit(512, 512, 3), (512, 256, 128), (128, 64)),
    ("resnet", 50, resnet((3, 4, 6, 3), True) + unit(2048, 1024, 3), (1024, 512, 256), (256, 128)),
    ("resnet", 101, resnet((3, 4, 23, 3), True) + unit(2048, 1024, 3), (1024, 512, 256), (256, 128)),
    ("darknet", 19, darknet19(), (1024, 512, 256), (256, 128)),
    ("darknet", 53, darknet53(), (1024, 512, 256), (256, 128)),
])  # fmt: skip
def test_parameters_follow_from_the_published_widths(
    arch: str, layers: int, backbone: int, taps: tuple[int, int, int], neck: tuple[int, int], blocks: int
) -> None:
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in network(arch, layers, blocks).parameters())
    assert count == backbone + head(*taps, *neck, blocks)


def test_darknet53_with_a_full_head_is_the_paper_s_network() -> None:
    """61,949,149 parameters: the published yolov3.weights of 80 classes and 3 anchors a scale, without running
    statistics."""
    with torch.device("meta"):
        model = YoloV3(arch="darknet", layers=53, conv_blocks=2, anchors=[3, 3, 3], classes=80)
    assert sum(parameter.numel() for parameter in model.parameters()) == 61_949_149


def test_frozen_blocks_have_no_gradient_and_their_normalization_has() -> None:
    model = network(freeze_blocks=(0, 2))
    blocks = model.taps.backbone.blocks()
    trained = [
        {type(layer) for layer in block.modules() if any(p.requires_grad for p in layer.parameters(recurse=False))}
        for block in blocks
    ]
    both, frozen = {nn.Conv2d, nn.BatchNorm2d}, {nn.BatchNorm2d}
    assert trained == [frozen, both, frozen, both, both]


def test_frozen_normalization_of_the_backbone_stays_as_it_is_and_the_head_s_moves() -> None:
    torch.manual_seed(0)
    model = network(freeze_bn=True).train()
    before = {name: value.clone() for name, value in model.state_dict().items() if "running_mean" in name}
    model({"Input": torch.randn(2, 3, 64, 96)})
    moved = {
        name
        for name, value in model.state_dict().items()
        if "running_mean" in name and not torch.equal(value, before[name])
    }
    assert moved == {name for name in before if not name.startswith("taps.backbone")}


def test_force_relu_leaves_no_leaky_unit() -> None:
    for arch, layers in (("resnet", 18), ("darknet", 19)):
        kinds = {
            force: {type(layer) for layer in network(arch, layers, force_relu=force).modules()}
            for force in (False, True)
        }
        assert nn.LeakyReLU in kinds[False] and nn.LeakyReLU not in kinds[True]


def test_one_channel_pictures_need_a_first_layer_of_one_channel() -> None:
    first = next(layer for layer in network(in_channels=1).modules() if isinstance(layer, ConvUnit))
    assert first.conv.in_channels == 1


def slow_boxes(
    raw: np.ndarray, sizes: list[tuple[int, int]], anchors: Anchors
) -> list[tuple[list[float], list[float]]]:
    """Corners and class scores of one picture's maps, by the published formulas."""
    found = []
    for values, (height, width), scale in zip(raw, sizes, anchors.scales, strict=True):
        grid = values.reshape(len(scale), -1, height, width)
        for row in range(height):
            for column in range(width):
                for index, (ah, aw) in enumerate(scale):
                    ty, tx, th, tw, objectness, *classes = grid[index, :, row, column].tolist()
                    sigma = [1 / (1 + math.exp(-v)) for v in (ty, tx, objectness, *classes)]
                    y, x = (row + sigma[0]) / height, (column + sigma[1]) / width
                    h, w = ah * math.exp(th), aw * math.exp(tw)
                    found.append(([x - w / 2, y - h / 2, x + w / 2, y + h / 2], [sigma[2] * s for s in sigma[3:]]))
    return found


def slow_nms(
    found: list[tuple[list[float], list[float]]], threshold: float, limit: float, most: int
) -> list[tuple[float, ...]]:
    rows: list[tuple[float, ...]] = []
    for label in range(len(found[0][1])):
        kept: list[tuple[list[float], float]] = []
        for box, scores in sorted(found, key=lambda pair: -pair[1][label])[: 2 * most]:
            if scores[label] > threshold and all(overlap(box, other) <= limit for other, _ in kept):
                kept.append((box, scores[label]))
        rows += [(score, float(label), *(min(max(v, 0.0), 1.0) for v in box)) for box, score in kept]
    return sorted(rows, reverse=True)[:most]


def overlap(a: list[float], b: list[float]) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


@pytest.mark.parametrize(("top_k", "threshold"), [(5, 0.1), (60, 0.3), (2000, 0.05), (7, 0.999)])
def test_postprocess_is_the_published_one(top_k: int, threshold: float) -> None:
    anchors = Anchors((((0.5, 0.4),), ((0.3, 0.2), (0.2, 0.3)), ((0.1, 0.15),)))
    rng = np.random.default_rng(top_k)
    sizes = [(2, 3), (4, 6), (8, 12)]
    raw = [
        [
            rng.normal(0, 1.5, (len(scale) * 7, *size)).astype(np.float32)
            for scale, size in zip(anchors.scales, sizes, strict=True)
        ]
        for _ in range(3)
    ]
    maps = {name: torch.from_numpy(np.stack([one[i] for one in raw])) for i, name in enumerate(("big", "mid", "small"))}
    post = Postprocess(anchors=anchors, input_hw=(64, 96), confidence=threshold, iou=0.45, top_k=top_k)
    outputs = post(maps)
    assert tuple(outputs) == OUTPUTS and outputs["BatchedNMS"].dtype == torch.int32
    for picture in range(3):
        expected = slow_nms(slow_boxes(raw[picture], sizes, anchors), threshold, 0.45, top_k)
        count = int(outputs["BatchedNMS"][picture])
        found = [outputs[name][picture].tolist() for name in OUTPUTS[1:]]
        assert count == len(expected) and all(len(column) == top_k for column in found)
        for row, box, score, label in zip(expected, *found, strict=False):
            assert [score, label, *box] == pytest.approx(list(row), abs=2e-5)
        assert not np.any(outputs["BatchedNMS_1"][picture, count:].numpy()) and not any(found[1][count:])
