"""Recognises by its sections a file that is no spec of the wanted kind, so that the answer is one name."""

import re
from collections.abc import Iterable

from google.protobuf.descriptor import Descriptor

from tltpy.spec import detection_pb2
from tltpy.spec.parse import Parsed
from tltpy.spec.schema import fields
from tltpy.spec.tree import FILE, Block, Problem
from tltpy.spec.values import choice

# a section that only one kind of published spec has
_SECTIONS = {
    "ssd_config": "SSD",
    "dssd_config": "DSSD",
    "retinanet_config": "RetinaNet",
    "yolov4_config": "YOLOv4",
    "maskrcnn_config": "Mask R-CNN",
    "lpr_config": "LPRNet",
    "network_config": "Faster R-CNN (TLT 2.0)",
    "bbox_rasterizer_config": "DetectNet_v2",
    "cost_function_config": "DetectNet_v2",
    "postprocessing_config": "DetectNet_v2",
    "inferencer_config": "DetectNet_v2 inference",
    "bbox_handler_config": "DetectNet_v2 inference",
    "train_config": "image classification",
    "inference_config": "Faster R-CNN",
}
# beside dataset_config they are no sign of that kind but a mistyped name
_ALONE = {"train_config", "network_config"}
# where several kinds share a section: what is in it
_MODEL_FIELDS = {
    "rpn_stride": "Faster R-CNN",
    "anchor_box_config": "Faster R-CNN",
    "objective_set": "DetectNet_v2",
    "pretrained_model_file": "DetectNet_v2",
    "n_layers": "image classification",
    "input_image_size": "image classification",
    "model_input_width": "UNet",
}
# sections that most experiment specs have: they tell nothing about the kind
_SHARED = {"random_seed", "dataset_config", "augmentation_config", "training_config", "eval_config", "nms_config"}


def foreign(parsed: Parsed, wanted: Descriptor) -> Problem | None:
    """The one problem of a file of another kind; None where it is of the wanted kind, as far as can be seen."""
    root = {item.name: item for item in parsed.root.fields}
    known = set(fields(wanted))
    if not root or set(root) & (known - _SHARED):
        return None
    kind = next(
        (name for name in root if name in _SECTIONS and not (name in _ALONE and "dataset_config" in root)), None
    )
    other = _SECTIONS[kind] if kind else _by_model(parsed)
    if other:
        position = root[kind or "model_config"].position
        own = [name for name in fields(wanted) if name not in _SHARED]
        hint = f"{called(wanted)} spec for this command has {choice(own)}"
        return Problem(
            position, f'this is a spec of {other} ("{kind or "model_config"}"), which is another task', (hint,)
        )
    return _swapped(root, wanted) or (None if set(root) & known else _nothing_known(parsed, wanted))


def called(wanted: Descriptor) -> str:
    """DatasetExportConfig -> a dataset export"""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", wanted.name.removesuffix("Config")).lower()
    return ("an " if words[0] in "aeiou" else "a ") + words


def language(name: str) -> Problem:
    """The problem of a file in another language."""
    hint = "a section is written training_config { ... }, a value batch_size_per_gpu: 8"
    return Problem(FILE, f"this looks like {name}: a spec is protobuf text", (hint,))


def _by_model(parsed: Parsed) -> str | None:
    for item in parsed.root.fields:
        if item.name == "model_config":
            inner = [field.name for value in item.values if isinstance(value, Block) for field in value.fields]
            return next((_MODEL_FIELDS[name] for name in inner if name in _MODEL_FIELDS), None)
    return None


def _swapped(root: Iterable[str], wanted: Descriptor) -> Problem | None:
    """An experiment spec where a dataset export spec is wanted, or the other way round."""
    export = detection_pb2.DatasetExportConfig.DESCRIPTOR
    if wanted.full_name == export.full_name:
        found = [name for name in root if name in _SHARED or name.endswith("_config") and name not in fields(export)]
        there, flag = "an experiment", "-e of tlt-train"
    else:
        found = [name for name, info in fields(export).items() if info.section and not info.is_map and name in root]
        there, flag = called(export), "-d of tlt-dataset-convert"
    if not found or set(root) & set(fields(wanted)) - {"random_seed"}:
        return None
    hint = f'"{found[0]}" belongs in the file for {flag}'
    return Problem(FILE, f"this is {there} spec, not {called(wanted)} spec", (hint,))


def _nothing_known(parsed: Parsed, wanted: Descriptor) -> Problem | None:
    names = list(dict.fromkeys(item.name for item in parsed.root.fields))
    if len(names) < 2 and not parsed.problems:
        return None  # a mistyped name: the usual answer is better
    shown = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
    return Problem(FILE, f"this is not {called(wanted)} spec: it has {shown}", (_sections(set(fields(wanted))),))


def _sections(known: Iterable[str]) -> str:
    return f"the sections here are {', '.join(sorted(known))}"
