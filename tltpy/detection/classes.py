"""Classes of a training spec: the values of target_class_mapping in lower case, sorted; and labels mapped to them.

Keys are compared in lower case and without blanks: converters of COCO take the blanks out of class names, and published
specs map names with blanks.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from tltpy.errors import DataError

if TYPE_CHECKING:
    import numpy as np

    from tltpy.detection.records import DetectionRecord


def classes(dataset_config: Any) -> list[str]:
    """Names of the trained classes in the order of their ids."""
    return sorted({value.lower() for value in dataset_config.target_class_mapping.values()})


def class_ids(dataset_config: Any) -> dict[str, int]:
    """Normal form of a class in the labels -> id of the trained class; a class that is no key is not trained."""
    ids = {name: number for number, name in enumerate(classes(dataset_config))}
    return {normal(key): ids[value.lower()] for key, value in dataset_config.target_class_mapping.items()}


def map_classes(record: "DetectionRecord", ids: Mapping[str, int]) -> "tuple[np.ndarray, np.ndarray]":
    """(bool [N]: the box is trained, int64 [K]: class ids of those that are); `ids` are those of class_ids."""
    import numpy as np

    numbers = np.array([ids.get(normal(name), -1) for name in record.class_names], np.int64)
    kept = numbers >= 0
    return kept, numbers[kept]


def summary(records: "Iterable[DetectionRecord]") -> Counter[str]:
    """Class in the labels -> number of boxes; no picture is opened."""
    counts: Counter[str] = Counter()
    for record in records:
        counts.update(record.class_names)
    return counts


def check_mapping(counts: Mapping[str, int], dataset_config: Any, split: str) -> list[str]:
    """Warnings: trained classes without a box, label classes that no key names. DataError when no box is mapped."""
    ids = class_ids(dataset_config)
    boxes: Counter[int] = Counter()
    for name, count in counts.items():
        boxes[ids.get(normal(name), -1)] += count
    unmapped = boxes.pop(-1, 0)
    if not boxes:
        raise DataError(
            f"target_class_mapping matches no box of the {split} data",
            "the labels hold " + (", ".join(sorted(counts)) or "no box at all"),
            "the keys are " + ", ".join(sorted(dataset_config.target_class_mapping)),
        )
    empty = [name for number, name in enumerate(classes(dataset_config)) if not boxes[number]]
    warnings = [f'class "{name}" has no box in the {split} data' for name in empty]
    if unmapped:
        names = ", ".join(sorted(name for name in counts if normal(name) not in ids))
        warnings.append(
            f"{unmapped} boxes of the {split} data have no entry in target_class_mapping and are not used: {names}"
        )
    return warnings


def normal(name: str) -> str:
    """The form in which classes are compared: lower case, without blanks."""
    return "".join(name.lower().split())
