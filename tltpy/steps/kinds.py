"""The kinds of files that the executables read: an experiment of each task, and the specs of the other steps."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from tltpy import tasks
from tltpy.errors import UsageError
from tltpy.spec import augment_pb2, detection_pb2
from tltpy.spec.kinds import closest
from tltpy.spec.limits import Finding
from tltpy.spec.parse import Parsed
from tltpy.steps import contradictions

# name -> its message, the function of its rules, a file to begin with
_STEPS: dict[str, tuple[type[Message], Callable[[Any], list[Finding]], str]] = {
    "dataset_convert": (
        detection_pb2.DatasetExportConfig,
        contradictions.of_conversion,
        """kitti_config {
  root_directory_path: "/data/kitti/training"
}
image_directory_path: "/data/kitti/training"
""",
    ),
    "augment": (
        augment_pb2.AugmentConfig,
        contradictions.of_augmentation,
        """spatial_config {
  rotation_config { angle: [-5, 5] }
  flip_config { flip_horizontal: [true, false] }
}
color_config {
  hue_saturation_config { hue_rotation_angle: [-10, 10] saturation_shift: 1 }
  contrast_config { contrast: 0 }
  brightness_config { offset: [-20, 20] }
}
""",
    ),
}


@dataclass(frozen=True)
class Kind:
    """`name`: a task's, or that of the step that reads such files. `is_task`: it is an experiment of that task."""

    name: str
    message: type[Message]
    is_task: bool

    @property
    def title(self) -> str:
        return f"an experiment of {self.name}" if self.is_task else f"a spec of {self.name.replace('_', '-')}"

    def canonical(self, cfg: Any) -> Any:
        return tasks.canonical(self.name, cfg) if self.is_task else cfg

    def check(self, cfg: Any) -> list[Finding]:
        """What no field limit can express."""
        return tasks.check(self.name, cfg) if self.is_task else _STEPS[self.name][1](cfg)

    def start(self) -> str:
        return tasks.start(self.name) if self.is_task else _STEPS[self.name][2]

    def renamed(self) -> Mapping[str, str]:
        """Path of a field of an older generation -> its name now."""
        return tasks.renamed(self.name) if self.is_task else {}


def every() -> list[Kind]:
    return [kind(name) for name in (*(entry.name for entry in tasks.TASKS), *_STEPS)]


def names() -> list[str]:
    """Every word a user may type for a kind."""
    return [*tasks.names(), *_STEPS]


def kind(name: str) -> Kind:
    """UsageError for a word that names none."""
    plain = name.replace("-", "_")
    if plain in _STEPS:
        return Kind(plain, _STEPS[plain][0], False)
    if plain not in tasks.names():
        raise UsageError(f'no kind of spec "{name}"', "the kinds are " + ", ".join(each.name for each in every()))
    return Kind(tasks.entry(plain).name, tasks.message(plain), True)


def of(parsed: Parsed) -> Kind:
    """The kind that the sections of a file fit best; the first task where none does."""
    kinds = {each.message.DESCRIPTOR.full_name: each for each in reversed(every())}
    found = closest(parsed, [each.message.DESCRIPTOR for each in every()])
    return kinds[found.full_name]
