"""Differences of meaning: what is found, what is none."""

from pathlib import Path

from tltpy.spec import fill
from tltpy.spec.compare import Difference, differences
from tltpy.spec.load import load, parse_text
from tltpy.steps import kinds

DATA = Path(__file__).parent / "data"
YOLO = kinds.kind("yolo")
BASE = """dataset_config {
  data_sources { tfrecords_path: "a" image_directory_path: "b" }
  target_class_mapping { key: "car" value: "car" }
  target_class_mapping { key: "van" value: "car" }
}
augmentation_config { output_width: 64 output_height: 32 }
"""


def found(first: str, second: str) -> list[Difference]:
    a, b = (fill.filled(YOLO.canonical(parse_text(text, YOLO.message).message)) for text in (first, second))
    assert [(each.path, each.second, each.first) for each in differences(b, a)] == [
        (each.path, each.first, each.second) for each in sorted_as(differences(b, a), differences(a, b))
    ]
    return differences(a, b)


def sorted_as(order: list[Difference], given: list[Difference]) -> list[Difference]:
    places = [each.path for each in order]
    return sorted(given, key=lambda each: places.index(each.path))


def test_the_same_in_other_words() -> None:
    assert found(BASE, BASE.replace(":", ": ") + "random_seed: 42 # as it is\n") == []
    assert found(BASE + "yolo_config { nlayers: 34 }", BASE + "yolov3_config { nlayers: 34.0 }") == []
    assert found(BASE, BASE + "training_config { optimizer { adam { beta1: 0.9 } } }") == []
    assert found(BASE, BASE + "nms_config { force_on_cpu: true }") == []  # it has no effect
    source = 'validation_data_source { tfrecords_path: "v" image_directory_path: "i" }'
    single = BASE.replace("target", f"{source} target", 1)
    assert found(single, single.replace("data_source {", "data_sources {")) == []


def test_values() -> None:
    other = BASE.replace("64", "96").replace('"van" value: "car"', '"bus" value: "car"') + "random_seed: 7"
    assert found(BASE, other) == [
        Difference('dataset_config.target_class_mapping["van"]', '"car"', None),
        Difference('dataset_config.target_class_mapping["bus"]', None, '"car"'),
        Difference("augmentation_config.output_width", "64", "96"),
        Difference("random_seed", "42", "7"),
    ]


def test_sections_and_lists() -> None:
    other = BASE + "training_config { optimizer { sgd { } } }\nyolo_config { freeze_blocks: [0, 1] }"
    path = "training_config.optimizer"
    assert found(BASE + "yolo_config { freeze_blocks: 1 }", other) == [
        Difference(f"{path}.adam", "{ epsilon: 1e-07 beta1: 0.9 beta2: 0.999 amsgrad: false }", None),
        Difference(f"{path}.sgd", None, "{ momentum: 0.9 nesterov: false }"),
        Difference("yolo_config.freeze_blocks[0]", "1", "0"),
        Difference("yolo_config.freeze_blocks[1]", None, "1"),
    ]


def test_published_files_of_two_generations() -> None:
    a, b = (fill.filled(YOLO.canonical(load(DATA / f"experiment_{name}.txt", YOLO.message).message))
            for name in ("sota_voc", "sota_coco"))  # fmt: skip
    values = {each.path: (each.first, each.second) for each in differences(a, b)}
    assert values["yolo_config.loss_neg_obj_weights"] == ("100", "80")
    assert values["training_config.num_epochs"] == ("180", "200")
    assert values["dataset_config.data_sources[1]"][1] is None
    assert "yolo_config.arch" not in values
