"""Recognises a file that is no spec of the wanted kind, so that the answer is its name, not a list of unknown fields.

Names are those of the command line of TLT and TAO. Sections and fields: the published messages of TLT 2.0, 3 and TAO.
"""

import re
from collections.abc import Iterable, Mapping

from google.protobuf.descriptor import Descriptor

from tltpy.spec.parse import Parsed
from tltpy.spec.schema import fields
from tltpy.spec.tree import FILE, Block, Field, Problem
from tltpy.spec.values import choice

# a section (or, in the flat file of mask_rcnn, a field) that only one kind of published spec has
_SECTIONS = {
    "ssd_config": "ssd",
    "dssd_config": "dssd",
    "retinanet_config": "retinanet",
    "class_weighting_config": "retinanet",
    "yolov4_config": "yolo_v4",
    "maskrcnn_config": "mask_rcnn",
    "num_steps_per_eval": "mask_rcnn",
    "lpr_config": "lprnet",
    "network_config": "faster_rcnn (TLT 2.0)",
    "bbox_rasterizer_config": "detectnet_v2",
    "cost_function_config": "detectnet_v2",
    "postprocessing_config": "detectnet_v2",
    "loss_mask_label_filter": "detectnet_v2",
    "inferencer_config": "detectnet_v2 (inference)",
    "bbox_handler_config": "detectnet_v2 (inference)",
    "train_config": "classification",
    "inference_config": "faster_rcnn",
}
# beside dataset_config they are no sign of that kind but a mistyped name
_ALONE = {"train_config", "network_config"}
# where several kinds share a section: what is in it
_WITHIN = {
    "model_config": {
        "rpn_stride": "faster_rcnn",
        "anchor_box_config": "faster_rcnn",
        "input_image_config": "faster_rcnn",
        "roi_mini_batch": "faster_rcnn",
        "objective_set": "detectnet_v2",
        "pretrained_model_file": "detectnet_v2",
        "num_layers": "detectnet_v2",
        "n_layers": "classification",
        "input_image_size": "classification",
        "retain_head": "classification",
        "model_input_width": "unet",
    },
    "training_config": {
        "kitti_data_config": "faster_rcnn (TLT 2.0)",
        "data_augmentation": "faster_rcnn (TLT 2.0)",
        "rpn_min_overlap": "faster_rcnn",
    },
    "evaluation_config": {
        "minimum_detection_ground_truth_overlap": "detectnet_v2",
        "use_voc07_11point_metric": "faster_rcnn",
    },
    "eval_config": {"eval_dataset_path": "classification", "model_path": "classification"},
    "data_config": {"val_json_file": "mask_rcnn", "training_file_pattern": "mask_rcnn"},
    "dataset_config": {"data_class_config": "unet", "train_images_path": "unet"},
}
# sections that most experiment specs have: they tell nothing about the kind
_SHARED = {
    "random_seed", "dataset_config", "augmentation_config", "training_config", "eval_config", "nms_config",
    "calibration_config", "qat_config", "quant_config",
}  # fmt: skip
# the other files that the executables read: their sections, what they are, where they belong
_OURS = {
    "dataset export": (
        ("kitti_config", "coco_config", "voc_config", "yolo_txt_config", "sample_modifier_config"),
        "-d of tlt-dataset-convert",
    ),
    "augment": (("spatial_config", "color_config", "blur_config"), "-a of tlt-augment"),
}
_INIT = "`tlt-spec init` writes a starting file of a task that it does train"
_SECTION = re.compile(r"^\s*\w+\s*\{|^[^#]*\{\s*$", re.MULTILINE)
_PYTHON = re.compile(r"^(?:from [\w.]+ import |import [\w.]+|def \w+\(|\w+ ?= ?dict\()", re.MULTILINE)
_TEXT = "a section is written training_config { ... }, a value batch_size_per_gpu: 8"


def foreign(parsed: Parsed, wanted: Descriptor) -> Problem | None:
    """The one problem of a file of another kind; None where it is of the wanted kind, as far as can be seen."""
    root = {item.name: item for item in parsed.root.fields}
    known = set(fields(wanted))
    if not root or set(root) & (known - _SHARED):
        return None
    sign = _sign(root)
    if sign:
        name, kind = sign
        own = [name for name in fields(wanted) if name not in _SHARED]
        hint = f"{called(wanted)} spec for this command has {choice(own)}"
        message = f'this is a spec of {kind} ("{name}"), which tltpy does not train'
        return Problem(root[name.partition(".")[0]].position, message, (hint, _INIT))
    return _swapped(root, wanted) or (None if set(root) & known else _nothing_known(parsed, wanted))


def closest(parsed: Parsed, kinds: Iterable[Descriptor]) -> Descriptor:
    """Of several kinds that are wanted alike, the one that a file's sections fit best; the first where none does."""
    names = {item.name for item in parsed.root.fields}

    def fit(wanted: Descriptor) -> tuple[int, int]:
        known = set(fields(wanted))
        return len(names & (known - _SHARED)), len(names & known)

    return max(kinds, key=fit)


def called(wanted: Descriptor) -> str:
    """DatasetExportConfig -> a dataset export"""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", wanted.name.removesuffix("Config")).lower()
    return _article(words)


def language(text: str, parsed: Parsed) -> Problem | None:
    """The one problem of a text in another language, seen at its first lines."""
    first = text.lstrip("\ufeff \t\r\n")[:1]
    early = bool(parsed.problems) and parsed.problems[0].position.line <= 5
    if early and first in ("{", "<"):
        return _other_language("JSON" if first == "{" else "XML")
    if parsed.problems and _PYTHON.search(text):
        return _other_language("Python, as the configs of HAT are")
    if parsed.valueless and not _SECTION.search(text):
        return _other_language("YAML, as newer tools of TAO read it")
    return None


def _other_language(name: str) -> Problem:
    return Problem(FILE, f"this looks like {name}: a spec is protobuf text", (_TEXT,))


def _sign(root: Mapping[str, Field]) -> tuple[str, str] | None:
    """(section or section.field, kind) of the first sign of a kind that is none of ours."""
    for name in root:
        if name in _SECTIONS and not (name in _ALONE and "dataset_config" in root):
            return name, _SECTIONS[name]
    for name, item in root.items():
        inner = [field.name for value in item.values if isinstance(value, Block) for field in value.fields]
        found = next((field for field in inner if field in _WITHIN.get(name, {})), None)
        if found:
            return f"{name}.{found}", _WITHIN[name][found]
    return None


def _swapped(root: Mapping[str, Field], wanted: Descriptor) -> Problem | None:
    """Another of the files that the executables read."""
    known = set(fields(wanted))
    for name, (sections, flag) in _OURS.items():
        found = [section for section in root if section in sections and section not in known]
        if found:
            return _misplaced(_article(name), found[0], flag, wanted)
    if wanted.name == "Experiment":
        return None
    found = [name for name in root if (name in _SHARED or name.endswith("_config")) and name not in known]
    found = [name for name in found if name != "random_seed"]
    return _misplaced("an experiment", found[0], "-e of tlt-train", wanted) if found else None


def _misplaced(there: str, section: str, flag: str, wanted: Descriptor) -> Problem:
    hint = f'"{section}" belongs in the file for {flag}'
    return Problem(FILE, f"this is {there} spec, not {called(wanted)} spec", (hint,))


def _nothing_known(parsed: Parsed, wanted: Descriptor) -> Problem | None:
    names = list(dict.fromkeys(item.name for item in parsed.root.fields))
    if len(names) < 2 and not parsed.problems:
        return None  # a mistyped name: the usual answer is better
    shown = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
    hint = f"the sections here are {', '.join(sorted(fields(wanted)))}"
    return Problem(FILE, f"this is not {called(wanted)} spec: it has {shown}", (hint,))


def _article(words: str) -> str:
    return ("an " if words[0] in "aeiou" else "a ") + words
