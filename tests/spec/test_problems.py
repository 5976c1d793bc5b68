"""What is refused, and in which words: the exact lines a user reads."""

import pytest
from google.protobuf import text_format

from tltpy.errors import SpecError
from tltpy.spec import detection_pb2, yolo_pb2
from tltpy.spec.load import parse_text

# a whole spec but for the section that the case brings
DATASET = 'dataset_config { data_sources { tfrecords_path: "a" } target_class_mapping { key: "a" value: "b" } }\n'
AUGMENTATION = "augmentation_config { output_width: 64 output_height: 32 }\n"


def answer(text: str, message_class: type = yolo_pb2.Experiment) -> list[str]:
    with pytest.raises(SpecError) as caught:
        parse_text(text, message_class, "s.txt")
    assert caught.value.exit_code == 3
    return [line if kind == "error" else f"-> {line}" for kind, line in caught.value.lines()]


CASES = [
    ("training_config { num_epoch: 80 }",
     's.txt:1:19: unknown field "num_epoch" in TrainingConfig',
     '-> did you mean "num_epochs"?'),
    ("top_k: 3",
     's.txt:1:1: unknown field "top_k" in Experiment',
     '-> "top_k" belongs in nms_config'),
    ("eval_config { zzz: 1 xxx: 2 }",
     's.txt:1:15: unknown field "zzz" in EvalConfig',
     "-> EvalConfig has validation_period_during_training, average_precision_mode, batch_size, matching_iou_threshold, "
     "visualize_pr_curve",
     's.txt:1:22: unknown field "xxx" in EvalConfig'),
    ('training_config { num_epochs: "80" }',
     's.txt:1:31: "num_epochs" must be a whole number, not "80"',
     "-> write it without quotes: 80"),
    ("training_config { num_epochs: abc }",
     's.txt:1:31: "num_epochs" must be a whole number, not abc'),
    ("training_config {\n  num_epochs: 0.5\n  batch_size_per_gpu: 0\n}",
     's.txt:2:15: "num_epochs" must be a whole number, not 0.5',
     's.txt:3:23: "batch_size_per_gpu" must be at least 1, not 0'),
    ("random_seed: 08",
     's.txt:1:14: "random_seed" must be a whole number, not 08'),
    ("random_seed: -1",
     's.txt:1:14: "random_seed" must be from 0 to 4294967295, not -1'),
    ("random_seed: 1e12",
     's.txt:1:14: "random_seed" must be from 0 to 4294967295, not 1e12'),
    ("nms_config { confidence_threshold: 1e60 }",
     's.txt:1:36: "confidence_threshold" must be a number that a 32-bit float holds, not 1e60'),
    ("nms_config { clustering_iou_threshold: nan }",
     's.txt:1:40: "clustering_iou_threshold" must be above 0 and at most 1, not nan'),
    ("eval_config { average_precision_mode: sample }",
     's.txt:1:39: "average_precision_mode" must be SAMPLE or INTEGRATE, not sample',
     "-> write SAMPLE"),
    ('eval_config { average_precision_mode: "SAMPLE" }',
     's.txt:1:39: "average_precision_mode" must be SAMPLE or INTEGRATE, not "SAMPLE"',
     "-> write it without quotes: SAMPLE"),
    ("training_config { regularizer { type: 7 } }",
     's.txt:1:39: "type" must be NO_REG, L1 or L2, not 7'),
    ("nms_config { force_on_cpu: yes }",
     's.txt:1:28: "force_on_cpu" must be true or false, not yes',
     "-> write true"),
    ("yolo_config { arch: resnet }",
     's.txt:1:21: "arch" must be text in quotes, not resnet',
     '-> write "resnet"'),
    ('yolo_config { arch: "Resnet" }',
     's.txt:1:21: "arch" must be resnet, vgg, darknet, googlenet, mobilenet_v1, mobilenet_v2, squeezenet or '
     'efficientnet_b0, not "Resnet"',
     '-> did you mean "resnet"?'),
    ("yolo_config { freeze_blocks: [0, 1.5, -1] }",
     's.txt:1:34: "freeze_blocks" must be at least 0 and a whole number, not 1.5',
     's.txt:1:39: "freeze_blocks" must be at least 0 and a whole number, not -1'),
    ("nms_config: 3",
     's.txt:1:13: "nms_config" must be a section, not 3',
     "-> write nms_config { ... }"),
    ("nms_config { top_k { } }",
     's.txt:1:14: "top_k" must be a whole number, not a section'),
    ("nms_config { top_k: [1] }",
     's.txt:1:14: "top_k" takes one value, not a list'),
    ('yolo_config { arch: "a\\qb" }',
     's.txt:1:23: the escape `\\q` stands for no character',
     "-> a backslash itself is written \\\\"),
    ('training_config { pruned_model_path: "${NO_SUCH_NAME}/m" }',
     's.txt:1:38: the environment variable NO_SUCH_NAME in "pruned_model_path" is not set',
     "-> export NO_SUCH_NAME=..., or write $$ for a plain dollar sign"),
    # the language itself
    ("random_seed = 3",
     's.txt:1:13: expected `:` after "random_seed", found `=`'),
    ("random_seed 3",
     's.txt:1:13: expected `:` between "random_seed" and its value'),
    ("random_seed:",
     's.txt:1:1: "random_seed" has no value'),
    ("eval_config:\n  batch_size: 3\nnms_config { }",
     's.txt:1:1: "eval_config" has no value',
     "-> a section is written eval_config { ... }",
     's.txt:2:3: unknown field "batch_size" in Experiment',
     '-> "batch_size" belongs in eval_config or calibration_config'),
    ("yolo_config { big_anchor_shape: /a/b.c }",
     's.txt:1:33: the value of "big_anchor_shape" must be in quotes: `/a/b.c`',
     '-> write "/a/b.c"'),
    ("yolo_config { arch: \u201cresnet\u201d }",
     's.txt:1:21: the value of "arch" must be in quotes: `\u201cresnet\u201d`',
     '-> a plain " is needed: this character comes from a word processor or a web page'),
    ('yolo_config {\n  arch: "resnet\n  nlayers: 20\n}',
     's.txt:2:9: the closing quote of "arch" is missing',
     's.txt:3:12: "nlayers" must be 10, 16, 18, 19, 34, 50, 53 or 101, not 20'),
    ("nms_config { top_k: 0 } }",
     's.txt:1:21: "top_k" must be at least 1, not 0',
     "s.txt:1:25: a `}` too many: no section is open here"),
    ("nms_config < top_k: 3 }",
     "s.txt:1:23: expected `>` to close the `<` at 1:12, found `}`"),
    ("yolo_config { freeze_blocks: [1, 2 }",
     's.txt:1:36: expected a value or `]` in the list "freeze_blocks", found `}`'),
    ("// hi\nrandom_seed: 3",
     "s.txt:1:1: expected a field name, found `/`",
     "-> comments start with #"),
    ('"random_seed": 3',
     's.txt:1:1: expected a field name, found `"random_seed"`',
     "-> field names are written without quotes"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[case[0][:40] for case in CASES])
def test_transcript(case: tuple[str, ...]) -> None:
    text, *expected = case
    assert answer(text + "\n" + DATASET + AUGMENTATION) == expected


def test_every_problem_at_once_in_the_order_of_the_file() -> None:
    text = "training_config {\n  num_epochs: -1\n  batch: 2\n}\nyolo_config {\n  nlayers: 17\n  arch: }\n"
    text += "eval_config { batch_size: 0 }\n"
    assert answer(text + DATASET) == [
        's.txt:2:15: "num_epochs" must be from 0 to 4294967295, not -1',
        's.txt:3:3: unknown field "batch" in TrainingConfig',
        "-> TrainingConfig has "
        + ", ".join(field.name for field in yolo_pb2.Experiment().training_config.DESCRIPTOR.fields),
        's.txt:6:12: "nlayers" must be 10, 16, 18, 19, 34, 50, 53 or 101, not 17',
        's.txt:7:3: "arch" has no value',
        's.txt:8:27: "batch_size" must be at least 1, not 0',
    ]


def test_missing_brace_is_one_problem() -> None:
    text = "training_config {\n  num_epochs: 80\n\neval_config {\n  batch_size: 3\n}\nnms_config { top_k: 1 }\n"
    assert answer(text + DATASET + AUGMENTATION) == [
        's.txt:1:17: the `{` of "training_config" is never closed: a `}` is missing',
        '-> it seems to be missing before "eval_config" at 4:1',
    ]


def test_missing_brace_in_a_map_entry() -> None:
    text = """dataset_config {
  target_class_mapping {
    key: "a"
    value: "b"
  target_class_mapping { key: "c" value: "d" }
  data_sources { }
}
"""
    assert answer(text + AUGMENTATION) == [
        's.txt:1:16: the `{` of "dataset_config" is never closed: a `}` is missing',
        '-> it seems to be missing before "target_class_mapping" at 5:3',
    ]


def test_required() -> None:
    assert answer(
        "augmentation_config { preprocessing { output_image_width: 64 } }\ndataset_config {\n  data_sources { }\n}"
    ) == [
        's.txt:1:23: "output_image_height" is required in augmentation_config.preprocessing',
        "-> write output_image_height: ... (at least 32 and a multiple of 32)",
        's.txt:2:1: "target_class_mapping" is required in dataset_config',
        "-> write target_class_mapping { key: ... value: ... }",
    ]
    assert answer("random_seed: 3\n" + AUGMENTATION) == [
        's.txt: "dataset_config" is required',
        "-> write dataset_config { ... }",
    ]


def test_a_mistyped_field_is_not_called_missing_as_well() -> None:
    text = "augmentation_config { preprocessing { output_image_widht: 64 output_image_height: x } }\n"
    assert answer(text + DATASET) == [
        's.txt:1:39: unknown field "output_image_widht" in Preprocessing',
        '-> did you mean "output_image_width"?',
        's.txt:1:83: "output_image_height" must be a whole number, not x',
    ]


def test_map_entries() -> None:
    text = """dataset_config {
  data_sources { }
  target_class_mapping { key: "a" }
  target_class_mapping { key: "a" valu: "b" }
  target_class_mapping { key: "a" value: 3 }
  target_class_mapping { key: "a" value: "b" value: "c" }
  target_class_mapping: "car"
}
"""
    assert answer(text + AUGMENTATION) == [
        's.txt:3:24: the entry of "target_class_mapping" has no value',
        's.txt:4:35: unknown field "valu" in an entry of "target_class_mapping"',
        '-> did you mean "value"?',
        's.txt:5:42: "target_class_mapping" must be text in quotes, not 3',
        '-> write "3"',
        's.txt:6:46: "value" is given twice: at 6:35 and here',
        "-> each entry is a section target_class_mapping { ... } of its own",
        's.txt:7:25: "target_class_mapping" must be a section with a key and a value, not "car"',
        "-> write target_class_mapping { key: ... value: ... }",
    ]


def test_a_key_given_twice_warns_and_the_last_counts() -> None:
    entries = ' target_class_mapping { key: "a" value: "b" }\n target_class_mapping { key: "a" value: "c" }\n'
    text = "dataset_config {\n data_sources { }\n" + entries + "}\n"
    spec = parse_text(text + AUGMENTATION, yolo_pb2.Experiment, "s.txt")
    assert spec.warnings == (
        's.txt:4:2: the key "a" of "target_class_mapping" is given twice, at 3:2 and here: the last one counts',
    )
    assert dict(spec.message.dataset_config.target_class_mapping) == {"a": "c"}


def test_a_section_of_another_task_beside_ours_is_an_unknown_field() -> None:
    assert (
        answer("ssd_config { }\nyolo_config { }\n" + DATASET + AUGMENTATION)[0]
        == 's.txt:1:1: unknown field "ssd_config" in Experiment'
    )
    assert answer("train_config { }\n" + DATASET + AUGMENTATION) == [
        's.txt:1:1: unknown field "train_config" in Experiment',
        '-> did you mean "training_config"?',
    ]


DOUBLES = [
    ("random_seed: 1\nrandom_seed: 2", 's.txt:2:1: "random_seed" is given twice, at 1:1 and here: the last one counts'),
    ("nms_config { top_k: 1 }\nnms_config { force_on_cpu: true top_k: 2 }",
     's.txt:2:1: "nms_config" is given twice, at 1:1 and here: they are read as one'),
    ('training_config {\n  pretrain_model_path: "a"\n  pruned_model_path: "b"\n}',
     's.txt:3:3: "pruned_model_path" and "pretrain_model_path" (at 2:3) exclude each other: the last one counts'),
]  # fmt: skip


@pytest.mark.parametrize(("text", "warning"), DOUBLES)
def test_what_is_given_twice_is_merged_as_tlt_did(text: str, warning: str) -> None:
    whole = text + "\n" + DATASET + AUGMENTATION
    spec = parse_text(whole, yolo_pb2.Experiment, "s.txt")
    assert spec.message == text_format.Merge(whole, yolo_pb2.Experiment())
    assert spec.warnings[0] == warning


def test_the_place_of_a_double_is_that_of_the_value_that_counts() -> None:
    text = "nms_config { top_k: 1 }\nnms_config { top_k: 0 }\n"
    assert answer(text + DATASET + AUGMENTATION) == ['s.txt:2:21: "top_k" must be at least 1, not 0']


def test_export_and_experiment_confused() -> None:
    assert answer('kitti_config { root_directory_path: "a" }\nimage_directory_path: "b"') == [
        "s.txt: this is a dataset export spec, not an experiment spec",
        '-> "kitti_config" belongs in the file for -d of tlt-dataset-convert',
    ]
    assert answer("spatial_config { }\ndataset_config { }\noutput_image_width: 64") == [
        "s.txt: this is an augment spec, not an experiment spec",
        '-> "spatial_config" belongs in the file for -a of tlt-augment',
    ]
    assert answer(DATASET + AUGMENTATION, detection_pb2.DatasetExportConfig) == [
        "s.txt: this is an experiment spec, not a dataset export spec",
        '-> "dataset_config" belongs in the file for -e of tlt-train',
    ]


OTHER_TEXTS = [
    ('{"dataset_config": {}}', "this looks like JSON: a spec is protobuf text"),
    ("<annotation><folder>x</folder></annotation>", "this looks like XML: a spec is protobuf text"),
    ("train:\n  num_epochs: 3\nmodel:\n  arch: resnet\n",
     "this looks like YAML, as newer tools of TAO read it: a spec is protobuf text"),
    ('import torch\nfrom hat.data import x\ntask_name = "a"\nmodel = dict(\n    type="A",\n    n=3,\n)\n',
     "this looks like Python, as the configs of HAT are: a spec is protobuf text"),
    ("encryption_key: tlt_encode\nresults_dir: ???\n# {\ndataset:\n  a: {b: 1}\n  list:\n    - x\n",
     "this looks like YAML, as newer tools of TAO read it: a spec is protobuf text"),
    ("hello world this is\nprose, and no spec.", "this is not an experiment spec: it has hello, this, prose, and, ..."),
    ("foo { a: 1 }\nbar { b: 2 }", "this is not an experiment spec: it has foo, bar"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), OTHER_TEXTS)
def test_another_language_is_one_problem(text: str, message: str) -> None:
    lines = answer(text)
    assert lines[0] == f"s.txt: {message}"
    assert [line for line in lines[1:] if not line.startswith("-> ")] == []


def test_too_many_errors_stop_the_reading() -> None:
    lines = answer("random_seed: 1\n" + "!\n" * 1000)
    assert len(lines) < 30
    assert lines[-1].endswith("the rest of the file was not read: there are too many errors")


def test_deep_nesting_is_no_crash() -> None:
    assert answer("nms_config { " * 5000)[-1].endswith("sections are nested more than 60 deep")
