"""TASK: what yolo answers to every clause of the contract."""

from typing import Any

import torch
from torch import Tensor, nn

from tltpy.data.images import to_bgr
from tltpy.data.loader import Draw
from tltpy.detection.draw import draw
from tltpy.detection.records import DetectionRecord
from tltpy.tasks.contract import Graph, Mean, Metric, Presentation, Task
from tltpy.tasks.yolo import data, records
from tltpy.tasks.yolo.architectures import depths
from tltpy.tasks.yolo.decode import CANDIDATES, OUTPUTS, Candidates, Detections, Detector, Postprocess, decode, grid
from tltpy.tasks.yolo.loss import assign, encode, yolo_loss
from tltpy.tasks.yolo.metric import DetectionMetric
from tltpy.tasks.yolo.model import YoloV3
from tltpy.tasks.yolo.settings import settings

SURE = 12.0  # logit of a network that has no doubt
DEEPSTREAM = {  # as published for this network
    "network_type": 0,
    "parser": "NvDsInferParseCustomBatchedNMSTLT",
    "library": "libnvds_infercustomparser_tlt.so",
    "output_blobs": ["BatchedNMS"],
}


def stem(cfg: Any) -> str:
    network = cfg.yolo_config
    return f"yolo_{network.arch}{network.nlayers if depths(network.arch) else ''}"


def sample(record: DetectionRecord, cfg: Any, draw: Draw | None) -> dict[str, Any]:
    return data.sample(record, settings(cfg), draw)


def build(cfg: Any) -> nn.Module:
    plan, network = settings(cfg), cfg.yolo_config
    return YoloV3(
        arch=network.arch,
        layers=network.nlayers,
        conv_blocks=network.arch_conv_blocks,
        anchors=plan.anchors.counts(),
        classes=len(plan.classes),
        in_channels=plan.channels,
        force_relu=network.force_relu,
        freeze_blocks=[int(block) for block in network.freeze_blocks],
        freeze_bn=network.freeze_bn,
        bn_momentum=network.batch_norm_momentum,
    )


def loss(model: nn.Module, batch: dict[str, Any], cfg: Any, mean: Mean) -> dict[str, Tensor]:
    plan = settings(cfg)
    outputs = model(data.inputs(batch, plan))
    return yolo_loss(
        outputs, batch["boxes_yxhw"], batch["labels"], anchors=plan.anchors, weights=plan.weights, mean=mean
    )


def ideal(batch: dict[str, Any], cfg: Any) -> dict[str, Tensor]:
    """The graph's outputs of a network that is sure of every object and of nothing else."""
    plan = settings(cfg)
    sizes = [(plan.input_hw[0] // stride, plan.input_hw[1] // stride) for stride in plan.strides]
    cells = grid(sizes, plan.anchors, torch.device("cpu"))
    batch_size, number, classes = len(batch["labels"]), len(cells), len(plan.classes)
    raw = torch.full((batch_size * number, 5 + classes), -SURE)
    positions, objects = assign(batch["boxes_yxhw"], batch["labels"], sizes, plan.anchors)
    target = encode(batch["boxes_yxhw"].reshape(-1, 4)[objects], cells[positions % number])
    raw[positions, 0:2] = torch.logit(target[:, :2], eps=1e-6)
    raw[positions, 2:4] = target[:, 2:]
    raw[positions, 4] = SURE
    raw[positions, 5 + batch["labels"].flatten()[objects]] = SURE
    maps, start = {}, 0
    for name, (height, width), count in zip(("big", "mid", "small"), sizes, plan.anchors.counts(), strict=True):
        part = raw.view(batch_size, number, -1)[:, start : start + height * width * count]
        part = part.reshape(batch_size, height, width, count * (5 + classes))
        maps[name] = part.permute(0, 3, 1, 2)  # [B, A * (5 + C), H, W]
        start += height * width * count
    found: dict[str, Tensor] = _postprocess(cfg)(maps)
    return found


def decode_batch(
    outputs: dict[str, Tensor], batch: dict[str, Any], state: Any, cfg: Any
) -> tuple[list[Detections], None]:
    return decode(outputs, batch, settings(cfg).input_hw), None


def metric(cfg: Any) -> Metric:
    return DetectionMetric(cfg)


def keep(model: nn.Module) -> list[str]:
    return ["conv_big_object", "conv_mid_object", "conv_sm_object"]


def graphs(model: nn.Module, cfg: Any) -> list[Graph]:
    plan, nms = settings(cfg), cfg.nms_config
    example = {"Input": torch.zeros(2, plan.channels, *plan.input_hw)}
    metadata = {
        "task": "yolo",
        "labels": list(plan.classes),
        "input": {
            "name": "Input",
            "layout": "NCHW",
            "color": "grey" if plan.channels == 1 else "BGR",
            "bits": 16 if plan.deep else 8,
            "mean": list(plan.mean),
            "scale": 1.0,
            "size_hw": list(plan.input_hw),
            "fit": "letterbox",
            "resize": "letterbox: aspect ratio kept, centred, margin filled with the mean, bilinear",
        },
        "nms": {
            "confidence_threshold": nms.confidence_threshold,
            "iou_threshold": nms.clustering_iou_threshold,
            "top_k": nms.top_k,
            "candidates": CANDIDATES * nms.top_k,
            "score_bits": nms.infer_nms_score_bits,
            "score_bits_field": "infer_nms_score_bits",
        },
        "boxes": dict(zip(("count", "boxes", "scores", "classes"), OUTPUTS, strict=True)),
        "deepstream": DEEPSTREAM,
    }
    detector = Detector(model, _postprocess(cfg)).train(model.training)
    return [Graph("yolo", detector, example, OUTPUTS, metadata, Candidates(detector).train(model.training))]


def present(record: DetectionRecord, prediction: Detections, cfg: Any, threshold: float) -> Presentation:
    """A drawing and a label file of 15 KITTI columns and the score, of the boxes above the threshold."""
    names = settings(cfg).classes
    kept = prediction.scores > threshold
    boxes, scores, labels = prediction.boxes_xyxy[kept], prediction.scores[kept], prediction.labels[kept]
    rows = list(zip([names[label] for label in labels], boxes.tolist(), scores.tolist(), strict=True))
    text = "".join(
        f"{name} 0 0 0 {x1:.2f} {y1:.2f} {x2:.2f} {y2:.2f} 0 0 0 0 0 0 0 {score:.4f}\n"
        for name, (x1, y1, x2, y2), score in rows
    )
    found = [{"class": name, "box_xyxy": box, "score": score} for name, box, score in rows]
    picture = draw(to_bgr(record.image()), boxes, labels, scores, names)
    return Presentation({"id": record.id, "image": str(record.image_path), "objects": found}, picture, text)


def _postprocess(cfg: Any) -> Postprocess:
    plan, nms = settings(cfg), cfg.nms_config
    return Postprocess(
        anchors=plan.anchors,
        input_hw=plan.input_hw,
        confidence=nms.confidence_threshold,
        iou=nms.clustering_iou_threshold,
        top_k=nms.top_k,
        strides=plan.strides,
    )


TASK = Task(
    stem=stem,
    read=records.read,
    example=records.example,
    sample=sample,
    collate=data.collate,
    build=build,
    loss=loss,
    ideal=ideal,
    inputs=lambda batch, state, cfg: data.inputs(batch, settings(cfg)),
    decode=decode_batch,
    metric=metric,
    keep=keep,
    graphs=graphs,
    present=present,
)
