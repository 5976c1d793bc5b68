"""Shapes, strides and parameter counts of the network; freezing; decoding against a slow implementation."""

import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from parameter_counts import BACKBONES, unit
from torch import nn

from tltpy import tasks
from tltpy.nn import cost
from tltpy.nn.layers import ConvUnit
from tltpy.tasks.yolo.architectures import ARCHITECTURES, architecture
from tltpy.tasks.yolo.decode import OUTPUTS, Anchors, Postprocess
from tltpy.tasks.yolo.model import YoloV3


def network(arch: str = "resnet", layers: int = 10, blocks: int = 2, **more: object) -> YoloV3:
    return YoloV3(arch=arch, layers=layers, conv_blocks=blocks, anchors=[3, 2, 1], classes=4, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(("arch", "layers"), BACKBONES)
def test_maps_have_strides_32_16_8_and_those_of_vgg_16_8_4(arch: str, layers: int) -> None:
    with torch.device("meta"):
        outputs = network(arch, layers)({"Input": torch.empty(2, 3, 64, 96)})
    strides = (16, 8, 4) if arch == "vgg" else (32, 16, 8)
    assert architecture(arch, layers).strides == strides
    assert {name: tuple(value.shape) for name, value in outputs.items()} == {
        name: (2, width, 64 // stride, 96 // stride)
        for name, width, stride in zip(("big", "mid", "small"), (27, 18, 9), strides, strict=True)
    }


def head(big: int, mid: int, small: int, c0: int, c1: int, blocks: int) -> int:
    def branch(width_in: int, width: int) -> int:
        pair = unit(width, 2 * width, 3) + unit(2 * width, width, 1)
        return unit(width_in, width, 1) + blocks * pair + unit(width, 2 * width, 3)

    total = branch(big, 2 * c0) + unit(2 * c0, c0, 1) + branch(c0 + mid, c0) + unit(c0, c1, 1) + branch(c1 + small, c1)
    return total + sum((width + 1) * 9 * count for width, count in ((4 * c0, 3), (2 * c0, 2), (2 * c1, 1)))


# the convolutions between backbone and neck; widths of the big, mid and small map at the neck; of the head
SMALL_RESNET = (unit(512, 512, 3), (512, 256, 128), (128, 64))
DEEP_RESNET = (unit(2048, 1024, 3), (1024, 512, 256), (256, 128))
PUBLISHED = {
    ("resnet", 10): SMALL_RESNET,
    ("resnet", 18): SMALL_RESNET,
    ("resnet", 34): SMALL_RESNET,
    ("resnet", 50): DEEP_RESNET,
    ("resnet", 101): DEEP_RESNET,
    ("darknet", 19): (0, (1024, 512, 256), (256, 128)),
    ("darknet", 53): (0, (1024, 512, 256), (256, 128)),
    ("vgg", 16): (0, (512, 512, 256), (256, 128)),
    ("vgg", 19): (0, (512, 512, 256), (256, 128)),
    ("googlenet", 0): (unit(1024, 1024, 3) + unit(832, 512, 3) + unit(832, 256, 3), (1024, 512, 256), (256, 128)),
    ("mobilenet_v1", 0): (unit(512, 512, 3), (512, 256, 128), (128, 64)),
    ("mobilenet_v2", 0): (unit(96, 96, 3), (96, 64, 32), (32, 16)),
    ("squeezenet", 0): (unit(512, 128, 3) + 2 * unit(512, 128, 1), (128, 128, 128), (64, 64)),
    ("efficientnet_b0", 0): (unit(480, 256, 3), (1280, 672, 256), (256, 128)),
}


@pytest.mark.parametrize("blocks", [0, 1, 2])
@pytest.mark.parametrize(("arch", "layers"), BACKBONES)
def test_parameters_follow_from_the_published_widths(arch: str, layers: int, blocks: int) -> None:
    between, taps, neck = PUBLISHED[arch, layers]
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in network(arch, layers, blocks).parameters())
    assert count == BACKBONES[arch, layers] + between + head(*taps, *neck, blocks)


def test_every_architecture_is_asked() -> None:
    assert {(arch, layers) for arch, sizes in ARCHITECTURES.items() for layers in sizes} == set(BACKBONES)


def test_the_table_of_the_document_is_right() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs/tasks/yolo.md").read_text()
    rows = re.findall(r"^\| (\w*) ?\| (\d*) ?\|.*\| ([\d.]+) M, ([\d.]+) M \| ([\d.]+) \|$", text, re.MULTILINE)
    seen, arch = set(), ""
    for name, layers, backbone, whole, flops in rows:
        arch = name or arch
        with torch.device("meta"):
            model = YoloV3(arch=arch, layers=int(layers or 0), conv_blocks=2, anchors=[3, 3, 3], classes=3)
            operations = cost.flops(model, {"Input": torch.empty(1, 3, 384, 1248)})
        counted = (cost.parameters(model.taps.backbone) / 1e6, cost.parameters(model) / 1e6)
        assert (f"{counted[0]:.2f}", f"{counted[1]:.2f}", f"{operations / 1e9:.1f}") == (backbone, whole, flops)
        seen.add((arch, int(layers or 0)))
    assert seen == set(BACKBONES)


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
        for block in blocks.values()
    ]
    both, frozen = {nn.Conv2d, nn.BatchNorm2d}, {nn.BatchNorm2d}
    assert trained == [frozen, both, frozen, both, both]


@pytest.mark.parametrize(("arch", "layers"), [(arch, next(iter(sizes))) for arch, sizes in ARCHITECTURES.items()])
def test_every_block_that_a_spec_may_name_is_frozen(arch: str, layers: int) -> None:
    named = architecture(arch, layers).freezable
    with torch.device("meta"):
        model = network(arch, layers, freeze_blocks=named)
    for number, block in model.taps.backbone.blocks().items():
        convolutions = [layer for layer in block.modules() if isinstance(layer, nn.Conv2d)]
        trained = [p.requires_grad for layer in convolutions for p in layer.parameters()]
        assert trained and set(trained) == {number not in named}
    outside = [p for name, p in model.named_parameters() if not name.startswith("taps.backbone")]
    assert all(parameter.requires_grad for parameter in outside)


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


def test_force_relu_replaces_leaky_units_and_no_others() -> None:
    others = {"mobilenet_v2": nn.ReLU6, "efficientnet_b0": nn.SiLU}
    for arch, sizes in ARCHITECTURES.items():
        with torch.device("meta"):
            models = [network(arch, next(iter(sizes)), force_relu=force) for force in (False, True)]
        plain, forced = (Counter(type(layer) for layer in model.modules()) for model in models)
        assert plain[nn.LeakyReLU] > 0 and forced[nn.LeakyReLU] == 0
        assert forced[nn.ReLU] == plain[nn.ReLU] + plain[nn.LeakyReLU]
        kind = others.get(arch, nn.Sigmoid)
        assert forced[kind] == plain[kind] and (arch not in others or plain[kind] > 20)


def test_the_truth_is_found_again_at_the_strides_of_vgg(yolo_cfg: Any) -> None:
    yolo_cfg.yolo_config.arch, yolo_cfg.yolo_config.nlayers = "vgg", 16
    task = tasks.load("yolo")
    records = [task.example(yolo_cfg, np.random.default_rng(seed)) for seed in range(3)]
    batch = task.collate([task.sample(record, yolo_cfg, None) for record in records])
    predictions, _ = task.decode(task.ideal(batch, yolo_cfg), batch, None, yolo_cfg)
    metric = task.metric(yolo_cfg)
    metric.update(predictions, batch)
    present = [name for name, count in metric.result()["truths"].items() if count]
    assert present and all(metric.result()["AP"][name] == pytest.approx(1.0) for name in present)


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
