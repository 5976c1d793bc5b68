"""What is accepted: every liberty of the published specs, and those specs themselves."""

from pathlib import Path

import pytest
from google.protobuf import text_format

from tltpy.spec import detection_pb2, yolo_pb2
from tltpy.spec.bind import bind
from tltpy.spec.load import load
from tltpy.spec.parse import parse

DATA = Path(__file__).parent / "data"


def read(text: str) -> yolo_pb2.Experiment:
    message = yolo_pb2.Experiment()
    bound = bind(parse(text), message)
    assert not bound.problems, bound.problems
    return message


# (what it is, the text, the same in plain protobuf text)
LIBERTIES = [
    ("comments", "# a\nrandom_seed: 3 # b: {\n#", "random_seed: 3"),
    ("single quotes", "yolo_config { arch: 'it is \"x\"' }", r'yolo_config { arch: "it is \"x\"" }'),
    ("adjacent strings", "yolo_config { arch: \"a\" 'b'\n  \"c\" }", 'yolo_config { arch: "abc" }'),
    ("no blank after the colon", "random_seed:1", "random_seed: 1"),
    ("blank before the colon", "random_seed : 1", "random_seed: 1"),
    ("colon before a section", "nms_config: { top_k: 2 }", "nms_config { top_k: 2 }"),
    ("pointed brackets", "nms_config < top_k: 2 >", "nms_config { top_k: 2 }"),
    ("commas and semicolons", "nms_config { top_k: 2, force_on_cpu: true; }, ;",
     "nms_config { top_k: 2 force_on_cpu: true }"),
    ("brace on a value line", "nms_config {\n top_k: 2}random_seed: 3", "nms_config { top_k: 2 } random_seed: 3"),
    ("a list", "yolo_config { freeze_blocks: [0, 1,2] }",
     "yolo_config { freeze_blocks: 0 freeze_blocks: 1 freeze_blocks: 2 }"),
    ("an empty list", "yolo_config { freeze_blocks: [] }", "yolo_config { }"),
    ("list and repeats", "yolo_config { freeze_blocks: [0] freeze_blocks: 1 }",
     "yolo_config { freeze_blocks: [0, 1] }"),
    ("a list of sections", 'dataset_config { data_sources: [{ tfrecords_path: "a" }, { root_path: "b" }] }',
     'dataset_config { data_sources { tfrecords_path: "a" } data_sources { root_path: "b" } }'),
    ("a whole number with a point", "random_seed: 14.0", "random_seed: 14"),
    ("a whole number with an exponent", "random_seed: 2e3", "random_seed: 2000"),
    ("hexadecimal", "random_seed: 0x1F", "random_seed: 31"),
    ("octal", "random_seed: 017", "random_seed: 15"),
    ("an integer for a float", "yolo_config { loss_loc_weight: 2 }", "yolo_config { loss_loc_weight: 2.0 }"),
    ("signs and exponents", "yolo_config { loss_loc_weight: -2.5E-3 }", "yolo_config { loss_loc_weight: -0.0025 }"),
    ("a blank after the sign", "yolo_config { loss_loc_weight: - 2.5 }", "yolo_config { loss_loc_weight: -2.5 }"),
    ("points at the ends", "yolo_config { loss_loc_weight: .5 loss_class_weights: 1. }",
     "yolo_config { loss_loc_weight: 0.5 loss_class_weights: 1.0 }"),
    ("the float suffix", "yolo_config { loss_loc_weight: 1.5f }", "yolo_config { loss_loc_weight: 1.5 }"),
    ("infinities", "yolo_config { loss_loc_weight: inf loss_class_weights: -Infinity }",
     "yolo_config { loss_loc_weight: inf loss_class_weights: -inf }"),
    ("an enum by number", "training_config { regularizer { type: 1 } }",
     "training_config { regularizer { type: L1 } }"),
    ("escapes", r'yolo_config { arch: "\x41\101\u00e4\U0001F600\n\t\\\'\"\303\244" }',
     'yolo_config { arch: "AA\u00e4\U0001f600\\n\\t\\\\\'\\"\u00e4" }'),
    ("a byte-order mark", "\ufeffrandom_seed: 3", "random_seed: 3"),
    ("line ends of Windows", "nms_config {\r\n  top_k: 2 # x\r\n}\r\n", "nms_config { top_k: 2 }"),
    ("line ends of old Macs", "nms_config {\r  top_k: 2 # x\r}\r", "nms_config { top_k: 2 }"),
    ("blanks of web pages", "nms_config\u00a0{\u3000top_k:\u00a02 }", "nms_config { top_k: 2 }"),
    ("nothing at all", "", ""),
]  # fmt: skip


@pytest.mark.parametrize(("text", "plain"), [row[1:] for row in LIBERTIES], ids=[row[0] for row in LIBERTIES])
def test_liberty(text: str, plain: str) -> None:
    assert read(text) == text_format.Parse(plain, yolo_pb2.Experiment())


@pytest.mark.parametrize("word", ["true", "True", "TRUE", "t", "1"])
def test_true(word: str) -> None:
    assert read(f"nms_config {{ force_on_cpu: {word} }}").nms_config.force_on_cpu is True


@pytest.mark.parametrize("word", ["false", "False", "f", "0"])
def test_false_is_set(word: str) -> None:
    config = read(f"nms_config {{ force_on_cpu: {word} }}").nms_config
    assert config.HasField("force_on_cpu") and config.force_on_cpu is False


def test_map_entries_are_repeated_sections() -> None:
    entries = 'target_class_mapping { key: "van" value: "car" } target_class_mapping { value: "b", key: "a" }'
    assert dict(read(f"dataset_config {{ {entries} }}").dataset_config.target_class_mapping) == {"van": "car", "a": "b"}


def test_published_tlt2_experiment() -> None:
    spec = load(DATA / "experiment_tlt2.txt", yolo_pb2.Experiment)
    assert spec.warnings == ()
    assert spec.message == text_format.Parse((DATA / "experiment_tlt2.txt").read_text(), yolo_pb2.Experiment())
    assert spec.message.augmentation_config.preprocessing.output_image_width == 1248
    assert spec.message.training_config.learning_rate.soft_start_annealing_schedule.annealing == pytest.approx(0.8)
    assert spec.message.dataset_config.target_class_mapping["person_sitting"] == "pedestrian"
    assert list(spec.message.yolo_config.freeze_blocks) == [0]
    assert spec.message.dataset_config.HasField("validation_fold")


def test_published_tao_experiment() -> None:
    spec = load(DATA / "experiment_tao.txt", yolo_pb2.Experiment)
    assert spec.message == text_format.Parse((DATA / "experiment_tao.txt").read_text(), yolo_pb2.Experiment())
    assert spec.warnings == (
        f'{DATA / "experiment_tao.txt"}:52:17: "force_on_cpu" has no effect: it changes no result',
    )


def test_published_export() -> None:
    spec = load(DATA / "export_tlt2.txt", detection_pb2.DatasetExportConfig)
    assert spec.message.kitti_config.val_split == 14
    assert spec.message.kitti_config.num_shards == 10
    assert spec.message.WhichOneof("convert_config_type") == "kitti_config"


def test_environment_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROOT", "/d a$t")
    monkeypatch.setenv("SUB_2", "x")
    assert read('yolo_config { arch: "${ROOT}/$SUB_2/$$ROOT.$/${}" }').yolo_config.arch == "/d a$t/x/$ROOT.$/${}"
