"""A small detection data set with label folders, an experiment that a CPU trains in seconds, and what it trained."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

SPEC = """
random_seed: 5
dataset_config {{
  data_sources {{ label_directory_path: "{root}/labels" image_directory_path: "{root}/images" }}
  validation_data_sources {{ label_directory_path: "{root}/labels" image_directory_path: "{root}/images" }}
  target_class_mapping {{ key: "disc" value: "disc" }}
  target_class_mapping {{ key: "bar" value: "bar" }}
}}
yolo_config {{
  arch: "resnet" nlayers: 10 arch_conv_blocks: 0 {network}
  big_anchor_shape: "[(40, 40)]" mid_anchor_shape: "[(24, 24), (40, 12)]" small_anchor_shape: "[(12, 12)]"
}}
augmentation_config {{
  preprocessing {{ output_image_width: 96 output_image_height: 64 }}
  spatial_augmentation {{ hflip_probability: 0.5 zoom_min: 0.9 zoom_max: 1.1 }}
  color_augmentation {{ hue_rotation_max: 10 contrast_scale_max: 0.1 }}
}}
training_config {{
  batch_size_per_gpu: 4 num_epochs: {epochs} checkpoint_interval: 1 n_workers: 1
  learning_rate {{ soft_start_annealing_schedule {{ min_learning_rate: 1e-4 max_learning_rate: 2e-3 soft_start: 0.1
  annealing: 0.6 }} }} visualizer {{ enabled: false }}
  {training}
}}
eval_config {{ batch_size: 4 validation_period_during_training: {period} }}
nms_config {{ confidence_threshold: 0.05 top_k: 20 }}
"""

KEY = "key"
FAST = "batch_norm_momentum: 0.8"  # for few steps
FORMS = ("yolo.tlt", "yolo.etlt", "yolo.onnx", "yolo.engine")
WriteSpec = Callable[..., Path]


def make_data(root: Path, count: int = 10) -> None:
    """Pictures of 120x72 with discs and bars, and their KITTI labels."""
    rng = np.random.default_rng(0)
    (root / "images").mkdir(parents=True)
    (root / "labels").mkdir()
    for number in range(count):
        image = rng.integers(90, 130, (72, 120, 3)).astype(np.uint8)
        x, y = int(rng.integers(15, 40)), int(rng.integers(20, 50))
        cv2.circle(image, (x, y), 12, (40, 60, 230), -1)
        left, top = int(rng.integers(62, 75)), int(rng.integers(10, 50))
        cv2.rectangle(image, (left, top), (left + 39, top + 11), (230, 90, 30), -1)
        cv2.imwrite(str(root / f"images/{number:03d}.png"), image)
        rows = [("disc", x - 12, y - 12, x + 13, y + 13), ("bar", left, top, left + 40, top + 12)]
        text = "".join(f"{name} 0 0 0 {a} {b} {c} {d} 0 0 0 0 0 0 0\n" for name, a, b, c, d in rows)
        (root / f"labels/{number:03d}.txt").write_text(text)


@dataclass(frozen=True)
class Trained:
    """A sealed model that finds most of the shapes, the spec it was trained with, and its data (images/, labels/)."""

    model: Path
    spec: Path
    data: Path
    mAP: float


@pytest.fixture(scope="session")
def trained(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The key is KEY."""
    import torch

    from tltpy import tasks
    from tltpy.log import Log
    from tltpy.spec.load import load
    from tltpy.steps import train

    folder = tmp_path_factory.mktemp("trained")
    spec = folder / "spec.txt"
    text = SPEC.format(root=shapes, epochs=25, network=FAST, training="", period=25)
    spec.write_text(text.replace("checkpoint_interval: 1", "checkpoint_interval: 25"))
    torch.set_num_threads(1)
    cfg = tasks.canonical("yolo", load(spec, tasks.message("yolo")).message)
    request = train.TrainRequest(task="yolo", cfg=cfg, results_dir=folder / "out", key=KEY)
    result = train.run(request, Log("tlt-train", quiet=True))
    return Trained(Path(result["best"]), spec, shapes, result["best_value"])


@pytest.fixture(scope="session")
def forms(trained: Trained, here: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the trained model in all its forms: FORMS."""
    from tltpy import artifact

    folder = tmp_path_factory.mktemp("forms")
    model, graph, plain, engine = (folder / name for name in FORMS)
    model.write_bytes(trained.model.read_bytes())
    here("tlt-export", "yolo", "-m", model, "-k", KEY, "-o", graph, "-q", check=0)
    plain.write_bytes(artifact.load_graph(graph, KEY).onnx)
    here("tlt-convert", "-k", KEY, "-e", engine, graph, "-q", check=0)
    return folder


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("shapes")
    make_data(root)
    return root


@pytest.fixture
def write_spec(shapes: Path, tmp_path: Path) -> WriteSpec:
    """write_spec(epochs=2, network="freeze_bn: true") -> path of a spec."""

    def write(
        name: str = "spec.txt", *, epochs: int = 2, network: str = "", training: str = "", period: int = 1
    ) -> Path:
        path = tmp_path / name
        path.write_text(SPEC.format(root=shapes, epochs=epochs, network=network, training=training, period=period))
        return path

    return write
