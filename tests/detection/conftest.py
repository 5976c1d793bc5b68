"""One small data set in four layouts: the same three pictures, none of them square, the same boxes."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from google.protobuf import text_format

from tltpy.spec.detection_pb2 import DatasetConfig, DatasetExportConfig

NAMES = ("car", "person", "traffic light")
# file stem -> (height, width), [(class, difficult, x1, y1, x2, y2)]
PICTURES = {
    "000000": ((40, 72), [("car", 0, 3, 5, 20, 19), ("person", 1, 30, 1, 41, 33)]),
    "000001": ((36, 50), [("car", 0, 0, 0, 50, 36)]),
    "000002": ((48, 30), [("person", 0, 2, 4, 9, 31), ("car", 1, 11, 12, 28, 25), ("car", 0, 1, 30, 17, 47)]),
}


@dataclass(frozen=True)
class Layouts:
    """root/<layout>; the first picture is the validation set in all of them."""

    root: Path

    def config(self, layout: str) -> Any:
        text = {
            "kitti": 'image_dir_name: "images" label_dir_name: "labels" partition_mode: "random" val_split: 34',
            "voc": 'image_dir_name: "images" image_extension: ".png"',
            "coco": 'img_dir_names: ["images", "images"] annotation_files: ["val.json", "train.json"]',
            "yolo_txt": 'validation_images: "val/images" training_images: "train/images"',
        }[layout]
        root = f'root_directory_path: "{self.root / layout}" num_shards: 2'
        return text_format.Parse(f"{layout}_config {{ {root} {text} }}", DatasetExportConfig())


@pytest.fixture
def layouts(tmp_path: Path) -> Layouts:
    """The data set written in all four layouts."""
    root = tmp_path / "layouts"
    for layout, write in (
        ("kitti", _write_kitti),
        ("voc", _write_voc),
        ("coco", _write_coco),
        ("yolo_txt", _write_yolo),
    ):
        write(root / layout)
    return Layouts(root)


@pytest.fixture
def dataset_config() -> Callable[..., Any]:
    """dataset_config(text, **mapping) -> DatasetConfig."""

    def make(text: str, **mapping: str) -> Any:
        config = text_format.Parse(text, DatasetConfig())
        config.target_class_mapping.update({key.replace("_", " "): value for key, value in mapping.items()})
        return config

    return make


def write_picture(path: Path, size_hw: tuple[int, int], seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size_hw, 3), np.uint8)
    assert cv2.imwrite(str(path), pixels)


def _write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _write_kitti(folder: Path) -> None:
    for stem, (size_hw, boxes) in PICTURES.items():
        write_picture(folder / "images" / f"{stem}.png", size_hw)
        rows = [
            f"{name} 0 {difficult} 0 {x1}.00 {y1} {x2} {y2} 0 0 0 0 0 0 0" for name, difficult, x1, y1, x2, y2 in boxes
        ]
        _write_text(folder / "labels" / f"{stem}.txt", "\n".join(rows) + "\n")


def _write_voc(folder: Path) -> None:
    for stem, (size_hw, boxes) in PICTURES.items():
        write_picture(folder / "images" / f"{stem}.png", size_hw)
        objects = [
            f"<object>\n<name>{name}</name><difficult>{difficult}</difficult><truncated>0</truncated>"
            f"<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>\n<bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin>"
            f"<xmax>{x2}</xmax>\n<ymax>{y2}</ymax></bndbox></object>"
            for name, difficult, x1, y1, x2, y2 in boxes
        ]
        _write_text(folder / "Annotations" / f"{stem}.xml", f"<annotation>\n{''.join(objects)}</annotation>")
    stems = list(PICTURES)
    _write_text(folder / "ImageSets/Main/val.txt", stems[0] + "\n")
    _write_text(folder / "ImageSets/Main/train.txt", "  1\n".join(stems[1:]) + "  -1\n")


def _write_coco(folder: Path) -> None:
    for split, stems in (("val", list(PICTURES)[:1]), ("train", list(PICTURES)[1:])):
        content: dict[str, list[dict[str, Any]]] = {"info": [], "images": [], "annotations": [], "categories": []}
        content["categories"] = [{"id": 10 + number, "name": name} for number, name in enumerate(NAMES)]
        for number, stem in enumerate(stems):
            size_hw, boxes = PICTURES[stem]
            write_picture(folder / "images" / f"{stem}.png", size_hw)
            content["images"].append(
                {"id": number, "file_name": f"{stem}.png", "height": size_hw[0], "width": size_hw[1]}
            )
            for name, _, x1, y1, x2, y2 in boxes:
                box = {"bbox": [x1, y1, x2 - x1, y2 - y1], "category_id": 10 + NAMES.index(name), "image_id": number}
                content["annotations"].append({"id": len(content["annotations"]), **box})
        _write_text(folder / f"{split}.json", json.dumps(content, indent=1))


def _write_yolo(folder: Path) -> None:
    _write_text(folder / "classes.txt", "\n".join(NAMES) + "\n")
    for number, (stem, ((height, width), boxes)) in enumerate(PICTURES.items()):
        split = "val" if number == 0 else "train"
        write_picture(folder / split / "images" / f"{stem}.png", (height, width))
        rows = [
            f"{NAMES.index(name)} {(x1 + x2) / 2 / width} {(y1 + y2) / 2 / height} "
            f"{(x2 - x1) / width} {(y2 - y1) / height}"
            for name, _, x1, y1, x2, y2 in boxes
        ]
        _write_text(folder / split / "labels" / f"{stem}.txt", "\n".join(rows) + "\n")
