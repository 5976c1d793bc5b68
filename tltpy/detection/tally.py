"""What a conversion or a check read and wrote: pictures, objects, classes, findings."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tltpy.detection import findings as kinds
from tltpy.detection.classes import normal
from tltpy.detection.findings import Finding
from tltpy.detection.frames import Frame
from tltpy.errors import DataError


@dataclass(frozen=True)
class Row:
    """One frame, read and serialized; no payload: it is left out."""

    frame: Frame
    payload: bytes | None
    class_names: tuple[str, ...]  # of the boxes, as in the labels
    lines: tuple[int, ...]  # of the boxes
    findings: tuple[Finding, ...]
    bad_boxes: tuple[tuple[float, ...], ...]


@dataclass
class Tally:
    """Grows partition by partition; `finish` closes it."""

    images: list[int] = field(default_factory=list)  # per partition; a picture written twice counts twice
    objects: list[Counter[str]] = field(default_factory=list)  # per partition: class as written -> boxes
    training: int = 0  # pictures written outside the validation fold
    names: dict[str, str] = field(default_factory=dict)  # class in the labels -> class as written
    found: dict[str, tuple[int, str, int]] = field(default_factory=dict)  # class in the labels -> boxes, file, line
    findings: list[Finding] = field(default_factory=list)
    bad_boxes: dict[str, list[tuple[float, ...]]] = field(default_factory=dict)  # frame id -> x1, y1, x2, y2
    shards: list[str] = field(default_factory=list)

    def cumulative(self) -> Counter[str]:
        return sum(self.objects, Counter())

    def open_partition(self, number: int, rows: Sequence[Row]) -> None:
        """Notes what was found in the frames of a partition, whether they are written or not."""
        while len(self.images) <= number:
            self.images.append(0)
            self.objects.append(Counter())
        for row in rows:
            self.findings.extend(row.findings)
            if row.bad_boxes:
                self.bad_boxes[row.frame.id] = list(row.bad_boxes)
            for name, count in Counter(row.class_names).items():
                if name not in self.found:
                    self.found[name] = (0, str(row.frame.label_path), row.lines[row.class_names.index(name)])
                before, path, line = self.found[name]
                self.found[name] = (before + count, path, line)

    def count(self, number: int, row: Row, times: int = 1) -> None:
        """Counts a frame of a partition as written `times` times."""
        if row.payload is None or times == 0:
            return
        self.images[number] += times
        for name, count in Counter(row.class_names).items():
            self.objects[number][name.lower()] += count * times
            self.names[name] = name.lower()

    def finish(self, config: Any) -> None:
        """Finds the classes that no target_class_mapping names.

        DataError when there is no picture to write, or the mapping names no class at all.
        """
        if not any(self.images):
            raise DataError("no picture of the data set can be converted", *map(str, self.findings[:3]))
        keys = {normal(key) for key in config.target_class_mapping}
        unmapped = {name: place for name, place in sorted(self.found.items()) if normal(name) not in keys}
        if not keys or not self.found:
            return
        if len(unmapped) == len(self.found):
            raise DataError(
                "target_class_mapping names no class of the data set",
                "the labels hold " + ", ".join(sorted(self.found)),
                "the keys are " + ", ".join(sorted(config.target_class_mapping)),
            )
        for name, (count, path, line) in unmapped.items():
            text = f'no target_class_mapping for class "{name}" (boxes: {count}, the first is here); written as it is'
            self.findings.append(Finding(kinds.UNMAPPED, path, line, text))


def object_lines(objects: Counter[str]) -> list[str]:
    """`b'car': 12345`, sorted by name: the published form."""
    return [f"{name.encode()!r}: {count}" for name, count in sorted(objects.items())]
