"""What yolo finds wrong in a spec, and that a spec with its defaults written out says the same."""

from pathlib import Path
from typing import Any

import pytest

from tltpy import tasks
from tltpy.errors import SpecError
from tltpy.spec import fill
from tltpy.spec.load import Spec, load, parse_text
from tltpy.tasks.yolo import check, parse_anchors

SPECS = sorted((Path(__file__).resolve().parents[2] / "specs/yolo").glob("*.txt"))
MESSAGE = tasks.message("yolo")

RECORDS = 'tfrecords_path: "t/*" image_directory_path: "i"'
FOLDERS = 'label_directory_path: "l" image_directory_path: "i"'
MAPPING = 'target_class_mapping { key: "car" value: "car" }'
SIZE = "output_image_width: 160 output_image_height: 96"
PRE = f"preprocessing {{ {SIZE} }}"
FLAT = "output_width: 160 output_height: 96"
TLT2 = {
    "dataset_config": f"data_sources {{ {RECORDS} }} {MAPPING}",
    "augmentation_config": PRE,
    "yolo_config": 'arch: "resnet" nlayers: 18',
    "training_config": "num_epochs: 3",
}
TLT3 = {name: text for name, text in TLT2.items() if name != "yolo_config"} | {
    "augmentation_config": FLAT,
    "yolov3_config": 'arch: "resnet" nlayers: 18',
}


def parsed(base: dict[str, str], **sections: str) -> Spec[Any]:
    text = "\n".join(f"{name} {{\n  {body}\n}}" for name, body in (base | sections).items())
    return parse_text(text, MESSAGE)


def data(text: str, mapping: str = MAPPING) -> dict[str, str]:
    return {"dataset_config": f"{text} {mapping}"}


def augmentation(text: str) -> dict[str, str]:
    return {"augmentation_config": text}


def training(text: str) -> dict[str, str]:
    return {"training_config": text}


SOFT = "learning_rate { soft_start_annealing_schedule { %s } }"
SOFT_PATH = "training_config.learning_rate.soft_start_annealing_schedule"
COSINE = "learning_rate { soft_start_cosine_annealing_schedule { %s } }"
COSINE_PATH = "training_config.learning_rate.soft_start_cosine_annealing_schedule"
SOURCES = f"data_sources {{ {RECORDS} }}"
VALIDATION = f"validation_data_sources {{ {RECORDS} }}"

# sections in place of TLT2's -> path and a part of the message
ERRORS: list[tuple[dict[str, str], str, str]] = [
    ({"yolov3_config": "nlayers: 18"}, "yolov3_config", "are both there"),
    ({"yolo_config": 'big_anchor_shape: ""'}, "yolo_config.big_anchor_shape", "expected a list"),
    ({"yolo_config": 'mid_anchor_shape: "[]"'}, "yolo_config.mid_anchor_shape", "at least one pair"),
    ({"yolo_config": 'small_anchor_shape: "[(1, -2)]"'}, "yolo_config.small_anchor_shape", "all sides above 0"),
    ({"yolo_config": 'arch: "resnet" nlayers: 53'}, "yolo_config.nlayers", "resnet has no 53 layers"),
    ({"yolo_config": 'arch: "darknet" nlayers: 18'}, "yolo_config.nlayers", "darknet has no 18 layers"),
    ({"yolo_config": 'arch: "vgg" nlayers: 18'}, "yolo_config.nlayers", "vgg has no 18 layers"),
    ({"yolo_config": 'arch: "vgg"'}, "yolo_config.nlayers", "nlayers is missing"),
    ({"yolo_config": 'arch: "vgg" nlayers: 16 freeze_blocks: 0'}, "yolo_config.freeze_blocks[0]", "no block 0"),
    ({"yolo_config": 'arch: "googlenet" freeze_blocks: 10'}, "yolo_config.freeze_blocks[0]", "no block 10"),
    ({"yolo_config": 'arch: "mobilenet_v1" freeze_blocks: 12'}, "yolo_config.freeze_blocks[0]", "no block 12"),
    ({"yolo_config": 'arch: "mobilenet_v2" freeze_blocks: 14'}, "yolo_config.freeze_blocks[0]", "no block 14"),
    ({"yolo_config": 'arch: "squeezenet" freeze_blocks: 9'}, "yolo_config.freeze_blocks[0]", "no block 9"),
    ({"yolo_config": 'arch: "efficientnet_b0" freeze_blocks: 9'}, "yolo_config.freeze_blocks[0]", "no block 9"),
    ({"yolo_config": "freeze_blocks: 0 freeze_blocks: 4"}, "yolo_config.freeze_blocks[1]", "no block 4"),
    (
        {"yolo_config": 'arch: "darknet" nlayers: 53 freeze_blocks: 6'},
        "yolo_config.freeze_blocks[0]",
        "no block 6",
    ),
    (augmentation("hue: 0.1"), "augmentation_config", "input is missing"),
    (augmentation(f"{PRE} {FLAT}"), "augmentation_config.output_width", "both published forms"),
    (augmentation("output_width: 160"), "augmentation_config", "output_height is missing"),
    (augmentation("output_height: 96"), "augmentation_config", "output_width is missing"),
    (
        augmentation(f"preprocessing {{ {SIZE} crop_left: 9 crop_right: 8 }}"),
        "augmentation_config.preprocessing.crop_left",
        "crop_left 9 is greater than crop_right 8",
    ),
    (
        augmentation(f"preprocessing {{ {SIZE} crop_top: 5 crop_right: 8 }}"),
        "augmentation_config.preprocessing.crop_top",
        "crop_top 5 is greater than crop_bottom 0",
    ),
    (
        augmentation(f"{PRE} spatial_augmentation {{ zoom_min: 1.5 zoom_max: 1.25 }}"),
        "augmentation_config.spatial_augmentation.zoom_min",
        "zoom_min 1.5 is greater than zoom_max 1.25",
    ),
    (augmentation(f"{FLAT} output_depth: 16"), "augmentation_config.output_depth", "16 bits"),
    (
        {**data(f"{SOURCES} is_monochrome: true"), **augmentation(f"{FLAT} output_channel: 3")},
        "dataset_config.is_monochrome",
        "the input has 3 channels",
    ),
    (
        augmentation(f'{PRE} image_mean {{ key: "l" value: 3 }}'),
        "augmentation_config.image_mean",
        "3 channels needs the keys b, g, r",
    ),
    (
        augmentation(f'preprocessing {{ {SIZE} output_image_channel: 1 }} image_mean {{ key: "b" value: 3 }}'),
        "augmentation_config.image_mean",
        "1 channel needs the keys l",
    ),
    (
        augmentation(f'{FLAT} output_channel: 1 image_mean {{ key: "b" value: 3 }}'),
        "augmentation_config.image_mean",
        "1 channel needs the keys l",
    ),
    (data('data_sources { image_directory_path: "i" }'), "dataset_config.data_sources[0]", "names no labels"),
    (
        data(f'{SOURCES} data_sources {{ tfrecords_path: "t" }}'),
        "dataset_config.data_sources[1]",
        "image_directory_path is missing",
    ),
    (
        data(f'{SOURCES} {VALIDATION} validation_data_sources {{ image_directory_path: "i" }}'),
        "dataset_config.validation_data_sources[1]",
        "names no labels",
    ),
    (
        data(f'{SOURCES} validation_data_source {{ image_directory_path: "i" }}'),
        "dataset_config.validation_data_source",
        "names no labels",
    ),
    (
        data(f'{SOURCES} validation_data_source {{ tfrecords_path: "t" }}'),
        "dataset_config.validation_data_source",
        "image_directory_path is missing",
    ),
    (
        data(f"{SOURCES} data_sources {{ {FOLDERS} }} {VALIDATION}"),
        "dataset_config.data_sources",
        "some sources hold TFRecords and some label folders",
    ),
    (data(f"data_sources {{ {FOLDERS} }}"), "dataset_config", "no folds to validate on"),
    (training(SOFT % "soft_start: 0.5 annealing: 0.5"), f"{SOFT_PATH}.soft_start", "0.5 must be less than annealing"),
    (training(SOFT % "soft_start: 0.9"), f"{SOFT_PATH}.soft_start", "0.9 must be less than annealing 0.8"),
    (
        training(SOFT % "min_learning_rate: 0.1 max_learning_rate: 0.01"),
        f"{SOFT_PATH}.min_learning_rate",
        "min_learning_rate 0.1 is greater than max_learning_rate 0.01",
    ),
    (training(COSINE % "min_learning_rate: 0.1"), f"{COSINE_PATH}.min_learning_rate", "greater than"),
    (training("regularizer { type: L2 }"), "training_config.regularizer.weight", "weight above 0"),
    (
        training("optimizer { sgd { momentum: 0 nesterov: true } }"),
        "training_config.optimizer.sgd.nesterov",
        "momentum above 0",
    ),
]

BESIDE = "no effect beside preprocessing"
ONE = "no effect on a picture of one channel"
WARNINGS: list[tuple[dict[str, str], str, str]] = [
    *(
        (augmentation(f"{PRE} {name}: {value}"), f"augmentation_config.{name}", BESIDE)
        for name, value in {
            "hue": "0.1",
            "saturation": "1.5",
            "exposure": "1.5",
            "vertical_flip": "0.5",
            "horizontal_flip": "0.5",
            "jitter": "0.3",
            "output_channel": "1",
        }.items()
    ),
    *(
        (augmentation(f"{FLAT} {name} {{ }}"), f"augmentation_config.{name}", "no effect beside output_width")
        for name in ("spatial_augmentation", "color_augmentation")
    ),
    (
        augmentation(
            f"preprocessing {{ {SIZE} output_image_channel: 1 }} color_augmentation {{ hue_rotation_max: 5 }}"
        ),
        "augmentation_config.color_augmentation.hue_rotation_max",
        ONE,
    ),
    (augmentation(f"{FLAT} output_channel: 1 hue: 0.1 exposure: 1"), "augmentation_config.hue", ONE),
    (augmentation(f"{FLAT} output_channel: 1 saturation: 1.5"), "augmentation_config.saturation", ONE),
    (data(f"{SOURCES} {VALIDATION} validation_fold: 1"), "dataset_config.validation_fold", "no effect"),
    (
        data(f"{SOURCES} validation_data_source {{ {RECORDS} }} validation_fold: 1"),
        "dataset_config.validation_fold",
        "no effect",
    ),
    ({"yolo_config": 'arch: "googlenet" nlayers: 18'}, "yolo_config.nlayers", "googlenet comes in one size"),
    (training("enable_qat: true"), "training_config.enable_qat", "no effect"),
]


@pytest.mark.parametrize("base", [TLT2, TLT3], ids=["TLT2", "TLT3"])
def test_nothing_is_wrong_in_either_generation(base: dict[str, str]) -> None:
    spec = parsed(base)
    assert spec.warnings == () and check(spec.message) == []


@pytest.mark.parametrize(("sections", "path", "message"), ERRORS)
def test_error(sections: dict[str, str], path: str, message: str) -> None:
    spec = parsed(TLT2, **sections)
    (finding,) = check(spec.message)
    assert (finding.path, finding.warning) == (path, False) and message in finding.message
    with pytest.raises(SpecError, match="^<text>:[0-9]+:[0-9]+: "):  # it has a place in the file
        spec.refuse([finding])


@pytest.mark.parametrize(("sections", "path", "message"), WARNINGS)
def test_warning(sections: dict[str, str], path: str, message: str) -> None:
    spec = parsed(TLT2, **sections)
    (finding,) = check(spec.message)
    assert (finding.path, finding.warning) == (path, True) and message in finding.message
    assert spec.locate(path).startswith("<text>:")


@pytest.mark.parametrize(
    ("section", "path"),
    [
        ('arch: "darknet" nlayers: 10', "nlayers"),
        ('big_anchor_shape: "x"', "big_anchor_shape"),
        ("freeze_blocks: 5", "freeze_blocks[0]"),
    ],
)
def test_paths_are_those_of_the_section_in_the_file(section: str, path: str) -> None:
    (finding,) = check(parsed(TLT3, yolov3_config=section).message)
    assert finding.path == f"yolov3_config.{path}"


def test_all_problems_come_at_once() -> None:
    spec = parsed(TLT2, **training("regularizer { type: L1 }"), yolo_config="nlayers: 53", **augmentation("hue: 0.1"))
    assert [finding.path for finding in check(spec.message)] == [
        "yolo_config.nlayers",
        "augmentation_config",
        "training_config.regularizer.weight",
    ]


def test_both_names_of_the_network_section_mean_the_same() -> None:
    network = 'arch: "darknet" nlayers: 53 freeze_blocks: 2 big_anchor_shape: "[(50, 60)]"'
    rest = {name: text for name, text in TLT2.items() if name != "yolo_config"}
    first, second = (parsed({**rest, name: network}).message for name in ("yolo_config", "yolov3_config"))
    assert first != second and tasks.canonical("yolo", first) == tasks.canonical("yolo", second)
    assert second.HasField("yolov3_config")  # the message itself stays


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("[(114.94, 60.67), (159.06, 114.59)]", [(114.94, 60.67), (159.06, 114.59)]),
        (" [[10,13],\n (16, 30.5),] ", [(10, 13), (16, 30.5)]),
        ("(1, 2), (3, 4)", [(1, 2), (3, 4)]),
    ],
)
def test_anchors(text: str, pairs: list[tuple[float, float]]) -> None:
    assert parse_anchors(text) == pairs


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "()", "x", "12", "[1, 2]", "(10, 13)", "[(1, 2, 3)]", "[(1, 2), (3)]", "[(1, 0)]", "[(-1, 2)]",
        "[(1e999, 2)]", f"[({10**400}, 2)]", "['12']", "[('1', '2')]", "[(1, 2j)]", "[(1, None)]", "[(1, 2)", "[(1 2)]",
        "{1: 2}", "__import__('os')", "[(1, 2) (3, 4)]", "[" * 5000, "-" * 20_000 + "1", "[(1, 2)]\0",
    ],
    ids=lambda text: text[:16],
)  # fmt: skip
def test_anchors_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_anchors(text)


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TLT_OUT", "TLT_DATA"):
        monkeypatch.setenv(name, f"/{name.lower()}")


@pytest.mark.usefixtures("places")
@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_a_spec_of_this_project_says_the_same_with_its_defaults_written_out(path: Path) -> None:
    spec = load(path, MESSAGE)
    assert spec.warnings == () and check(spec.message) == []
    whole = fill.filled(tasks.canonical("yolo", spec.message))
    again = parse_text(fill.dump(whole), MESSAGE)
    assert again.message == whole and tasks.canonical("yolo", again.message) == whole
    assert again.warnings == () and check(again.message) == []


@pytest.mark.parametrize(
    ("network", "layers", "stem"),
    [
        ("", 18, "yolo_resnet18"),
        ('arch: "vgg" nlayers: 19', 19, "yolo_vgg19"),
        ('arch: "mobilenet_v2"', None, "yolo_mobilenet_v2"),
        ('arch: "squeezenet" nlayers: 18', None, "yolo_squeezenet"),
    ],
)
def test_the_number_of_layers_is_written_out_where_it_means_something(
    network: str, layers: int | None, stem: str
) -> None:
    whole = fill.filled(tasks.canonical("yolo", parsed(TLT2, yolo_config=network).message))
    section = whole.yolo_config
    assert (section.nlayers if section.HasField("nlayers") else None) == layers
    assert tasks.load("yolo").stem(whole) == stem and check(whole) == []


@pytest.mark.parametrize("base", [TLT2, TLT3], ids=["TLT2", "TLT3"])
def test_defaults_written_out_change_no_meaning(base: dict[str, str]) -> None:
    from tltpy.tasks.yolo.settings import settings

    cfg = tasks.canonical("yolo", parsed(base).message)
    whole = fill.filled(cfg)
    assert whole != cfg and settings(whole) == settings(cfg)
    again = parse_text(fill.dump(whole), MESSAGE)
    assert again.message == whole and again.warnings == () and check(again.message) == []


def test_there_are_specs() -> None:
    assert len(SPECS) >= 9


@pytest.mark.parametrize("name", ["experiment_tlt2.txt", "experiment_tao.txt"])
def test_nothing_is_wrong_in_a_published_spec(name: str) -> None:
    from tltpy.tasks.yolo.settings import settings

    spec = load(Path(__file__).resolve().parents[1] / "spec/data" / name, MESSAGE)
    assert [finding for finding in check(spec.message) if not finding.warning] == []
    plan = settings(tasks.canonical("yolo", spec.message))
    assert plan.input_hw == (384, 1248) and plan.anchors.counts() == [3, 3, 3]
