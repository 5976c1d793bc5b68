"""A small detection data set with label folders, and an experiment that a CPU trains in seconds."""

from collections.abc import Callable
from pathlib import Path

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
