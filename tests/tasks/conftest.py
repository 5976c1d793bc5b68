"""Small experiments of every task, of which the contract is asked."""

from typing import Any

import pytest

from tltpy import tasks
from tltpy.spec.load import parse_text

SMALL = {
    "yolo": """
        random_seed: 7
        dataset_config {
          data_sources { label_directory_path: "labels" image_directory_path: "images" }
          validation_data_sources { label_directory_path: "labels" image_directory_path: "images" }
          target_class_mapping { key: "Car" value: "car" }
          target_class_mapping { key: "van" value: "car" }
          target_class_mapping { key: "person sitting" value: "pedestrian" }
          target_class_mapping { key: "cyclist" value: "Cyclist" }
        }
        yolo_config {
          arch: "resnet" nlayers: 10 arch_conv_blocks: 0
          big_anchor_shape: "[(60, 70), (90, 60)]"
          mid_anchor_shape: "[(30, 40), (45, 30), (20, 50)]"
          small_anchor_shape: "[(10, 14)]"
        }
        augmentation_config {
          preprocessing { output_image_width: 160 output_image_height: 96 }
          spatial_augmentation { hflip_probability: 0.5 vflip_probability: 0.3 zoom_min: 0.8 zoom_max: 1.4
                                 translate_max_x: 9 translate_max_y: 5 rotate_rad_max: 0.1 }
          color_augmentation { hue_rotation_max: 20 saturation_shift_max: 0.3 contrast_scale_max: 0.2
                               color_shift_stddev: 0.1 }
        }
        nms_config { confidence_threshold: 0.05 clustering_iou_threshold: 0.5 top_k: 40 }
    """,
}


def small(name: str, extra: str = "") -> Any:
    return tasks.canonical(name, parse_text(SMALL[name] + extra, tasks.message(name)).message)


@pytest.fixture(params=[entry.name for entry in tasks.TASKS])
def task_name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    assert name in SMALL, f"the contract wants a small experiment of {name} here"
    return name


@pytest.fixture
def cfg(task_name: str) -> Any:
    return small(task_name)


@pytest.fixture
def yolo_cfg() -> Any:
    return small("yolo")
