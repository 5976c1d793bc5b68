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
        "yolov3_config",  # sparse
        "calibration_config",
        "qat_config",
        "quant_config",
    ]


@pytest.mark.parametrize(("name", "message_class"), SPECS, ids=lambda each: getattr(each, "__name__", each))
def test_filled_and_dumped_specs_read_as_the_same(name: str, message_class: type[Message]) -> None:
    spec = load(DATA / name, message_class)
    full = filled(spec.message)
    again = parse_text(dump(full), message_class)
    assert again.message == full
    assert filled(full) == full
    assert dump(again.message) == dump(full)
    assert len(again.warnings) == len(spec.warnings)  # filling in adds no field that has no effect
    assert text_format.Parse(dump(full), message_class()) == full


def test_filling_keeps_what_was_given() -> None:
    message = yolo_pb2.Experiment()
    message.training_config.optimizer.sgd.nesterov = True
    message.dataset_config.data_sources.add(root_path="a")
    before = message.SerializeToString(deterministic=True)
    full = filled(message)
    assert message.SerializeToString(deterministic=True) == before
    assert full.training_config.optimizer.sgd.nesterov is True
    assert full.training_config.optimizer.sgd.HasField("momentum")
    assert full.dataset_config.data_sources[0].HasField("source_weight")
    assert not full.dataset_config.data_sources[0].HasField("tfrecords_path")


@pytest.mark.parametrize("message_class", CLASSES, ids=lambda each: each.DESCRIPTOR.name)
def test_every_default_survives_dump_and_load(message_class: type[Message]) -> None:
    for info in fields(message_class.DESCRIPTOR).values():
        if info.default is None:
            continue
        message = message_class()
        setattr(message, info.name, info.default)
        text = dump(message)
        again = text_format.Parse(text, message_class())
        assert again == message
        if info.kind == "float":
            assert len(text.split(": ")[1].strip()) <= 6, text  # nobody wrote more digits into the schema


def test_dump_is_exact_text() -> None:
    message = yolo_pb2.Experiment(random_seed=7)
    message.dataset_config.target_class_mapping["van"] = "car"
    message.dataset_config.target_class_mapping['a "b"\n'] = "$HOME\\x \u00e4"
    message.dataset_config.sampling_mode = detection_pb2.DatasetConfig.UNIFORM
    message.augmentation_config.hue = 0.2
    message.augmentation_config.image_mean["r"] = 123.68
    message.training_config.optimizer.adam.epsilon = 1e-7
    message.training_config.enable_qat = False
    message.yolo_config.freeze_blocks.extend([0, 1.5])
    message.nms_config.SetInParent()
    assert dump(message) == (
        'dataset_config {\n  target_class_mapping {\n    key: "a \\"b\\"\\n"\n    value: "$$HOME\\\\x \u00e4"\n  }\n'
        '  target_class_mapping {\n    key: "van"\n    value: "car"\n  }\n  sampling_mode: UNIFORM\n}\n'
        'augmentation_config {\n  hue: 0.2\n  image_mean {\n    key: "r"\n    value: 123.68\n  }\n}\n'
        "training_config {\n  optimizer {\n    adam {\n      epsilon: 1e-07\n    }\n  }\n  enable_qat: false\n}\n"
        "nms_config {\n}\nyolo_config {\n  freeze_blocks: 0\n  freeze_blocks: 1.5\n}\nrandom_seed: 7\n"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.2, "0.2"), (100.0, "100"), (5e-5, "5e-05"), (16777216.0, "16777216"), (3.4028235e38, "3.4028235e+38"),
     (1e-45, "1e-45"), (-0.0, "-0"), (float("inf"), "inf"), (1 / 3, "0.33333334")],
)  # fmt: skip
def test_shortest_float32(value: float, text: str) -> None:
    single = struct.unpack("<f", struct.pack("<f", value))[0]
    assert shortest(single, single=True) == text
    assert struct.pack("<f", float(text)) == struct.pack("<f", value)


def test_shortest_float64() -> None:
    assert shortest(0.1 + 0.2, single=False) == "0.30000000000000004"
    assert shortest(20.0, single=False) == "20"
