"""The filled-in spec: complete, readable, and read again as the same message."""

import struct
from pathlib import Path

import pytest
from google.protobuf import text_format
from google.protobuf.message import Message

from tltpy.spec import detection_pb2, training_pb2, yolo_pb2
from tltpy.spec.fill import dump, filled
from tltpy.spec.load import load, parse_text
from tltpy.spec.schema import fields
from tltpy.spec.values import shortest

DATA = Path(__file__).parent / "data"
CLASSES = [
    getattr(module, name)
    for module in (detection_pb2, training_pb2, yolo_pb2)
    for name in module.DESCRIPTOR.message_types_by_name
]
SPECS = [
    ("experiment_tlt2.txt", yolo_pb2.Experiment),
    ("experiment_tao.txt", yolo_pb2.Experiment),
    ("export_tlt2.txt", detection_pb2.DatasetExportConfig),
]


def unset(message: Message, path: str = "") -> list[str]:
    """Fields with a default that are not set, in the sections that are."""
    found = []
    for info in fields(message.DESCRIPTOR).values():
        if info.repeated:
            continue
        if not message.HasField(info.name):
            found += [path + info.name] if info.default is not None or info.kind == "section" else []
        elif info.kind == "section":
            found += unset(getattr(message, info.name), f"{path}{info.name}.")
    return found


def test_every_default_is_filled_in() -> None:
    message = load(DATA / "experiment_tlt2.txt", yolo_pb2.Experiment).message
    assert "training_config.visualizer" in unset(message)
    assert unset(filled(message)) == [
        "dataset_config.validation_data_source",  # sparse
        "augmentation_config.preprocessing.enable_auto_resize",  # without effect
        "training_config.learning_rate.soft_start_cosine_annealing_schedule",  # the other member of a oneof
        "training_config.optimizer.adam",  # a oneof of which none is set
        "training_config.optimizer.sgd",
        "training_config.optimizer.rmsprop",
        "training_config.cost_scaling",  # without effect
        "training_config.visualizer.wandb_config",
        "training_config.visualizer.clearml_config",
        "training_config.early_stopping",
        "nms_config.force_on_cpu",  # without effect
