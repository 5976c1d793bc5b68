"""Whole files in the published forms of every generation: they load, and mean what protobuf's own reader says."""

from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format

from tltpy import tasks
from tltpy.spec import augment_pb2, detection_pb2
from tltpy.spec.load import Spec, load
from tltpy.spec.parse import parse
from tltpy.steps import kinds

DATA = Path(__file__).parent / "data"
EXPERIMENTS = sorted(DATA.glob("experiment_*.txt"))
EXPORTS = sorted(DATA.glob("export_*.txt"))
AUGMENTS = sorted(DATA.glob("augment_*.txt"))
YOLO = tasks.message("yolo")


def experiment(name: str) -> Spec[Any]:
    return load(DATA / f"experiment_{name}.txt", YOLO)


def ignored(spec: Spec[Any]) -> list[str]:
    """The names of the fields that warnings call ignored."""
    assert all("has no effect: " in warning for warning in spec.warnings)
    return [warning.split('"')[1] for warning in spec.warnings]


def test_the_files_are_there() -> None:
    assert len(EXPERIMENTS) >= 7
    assert len(EXPORTS) >= 3
    assert len(AUGMENTS) >= 1


@pytest.mark.parametrize("path", [*EXPERIMENTS, *EXPORTS, *AUGMENTS], ids=lambda path: path.stem)
def test_it_means_what_protobuf_reads(path: Path) -> None:
    kind: Any = kinds.of(parse(path.read_text())).message
    names = {"experiment": "Experiment", "export": "DatasetExportConfig", "augment": "AugmentConfig"}
    assert kind.DESCRIPTOR.name == names[path.stem.partition("_")[0]]
    # Merge is how TLT and TAO read their specs
    text = path.read_text().replace("10000.0", "10000")  # a whole number with a point is a liberty of ours
    assert load(path, kind).message == text_format.Merge(text, kind())


@pytest.mark.parametrize("path", [*EXPERIMENTS, *EXPORTS, *AUGMENTS], ids=lambda path: path.stem)
def test_no_published_file_is_refused(path: Path) -> None:
    kind = kinds.of(parse(path.read_text()))
    spec: Spec[Any] = load(path, kind.message)
    spec.refuse(kind.check(spec.message))


def test_augment() -> None:
    spec = load(DATA / "augment_tlt2.txt", augment_pb2.AugmentConfig)
    assert spec.warnings == ()
    assert list(spec.message.spatial_config.rotation_config.angle) == [5]
    assert list(spec.message.spatial_config.flip_config.flip_horizontal) == [True]


def test_tlt3() -> None:
    spec = experiment("tlt3")
    training = spec.message.training_config
    assert spec.warnings == ()
    assert training.WhichOneof("load_model") == "pruned_model_path"
    assert (training.max_queue_size, training.n_workers, training.use_multiprocessing) == (3, 4, False)
    assert spec.message.augmentation_config.vertical_flip == 0
    assert len(spec.message.dataset_config.validation_data_sources) == 1


@pytest.mark.parametrize(("name", "weight", "least"), [("sota_voc", 100, 1e-6), ("sota_coco", 80, 5e-6)])
def test_sota(name: str, weight: float, least: float) -> None:
    spec = experiment(name)
    assert spec.warnings == ()
    assert spec.message.yolov3_config.loss_neg_obj_weights == weight
    assert spec.message.training_config.learning_rate.soft_start_annealing_schedule.min_learning_rate == pytest.approx(
        least
    )
    assert not spec.message.augmentation_config.HasField("output_channel")
    from tltpy.tasks.yolo.settings import settings

    assert settings(tasks.canonical("yolo", spec.message)).channels == 3


def test_tao_with_everything() -> None:
    spec = experiment("tao5")
    assert ignored(spec) == [
        "wandb_config",
        "clearml_config",
        "cost_scaling",
        "early_stopping",
        "force_on_cpu",
    ]
    training, data = spec.message.training_config, spec.message.dataset_config
    assert training.visualizer.weight_histograms and not training.visualizer.enabled
    assert list(training.visualizer.wandb_config.tags) == ["training", "tao_toolkit"]
    assert training.WhichOneof("load_model") == "resume_model_path"
    assert list(spec.message.yolov3_config.freeze_blocks) == [0, 1]
    assert [source.source_weight for source in data.data_sources] == [2, 1]
    assert spec.message.augmentation_config.output_depth == 16


def test_coco_labels() -> None:
    assert experiment("coco").message.dataset_config.type == "coco"


def test_exports() -> None:
    coco = load(DATA / "export_coco.txt", detection_pb2.DatasetExportConfig).message.coco_config
    assert list(coco.num_shards) == [32, 256]
    assert list(coco.img_dir_names) == ["val2017", "train2017"]
    spec = load(DATA / "export_modifier.txt", detection_pb2.DatasetExportConfig)
    assert ignored(spec) == ["point_clouds_dir", "calibrations_dir"]
    modifier = spec.message.sample_modifier_config
    assert list(modifier.dominant_target_classes) == ["car", "van"]
    assert modifier.max_training_samples == 10000
