"""spec check: everything that is wrong in a spec, and in the data and models that it points to."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tltpy import tasks
from tltpy.errors import DataError, ModelFileError, SpecError
from tltpy.spec.kinds import foreign
from tltpy.spec.limits import Finding
from tltpy.spec.load import Spec, load, text_of
from tltpy.spec.parse import parse
from tltpy.steps import kinds
from tltpy.steps.kinds import Kind

SAMPLE = 64
"""Frames of a conversion that are read, unless all are asked for."""


@dataclass(frozen=True)
class Verdict:
    """Located texts with their hints, in the order of the file. `data`: problems of what the spec points to.

    `kind`: None for a file of no kind of ours.
    """

    kind: str | None
    title: str
    problems: tuple[tuple[str, tuple[str, ...]], ...]
    data: tuple[tuple[str, tuple[str, ...]], ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        return SpecError.exit_code if self.problems else DataError.exit_code if self.data else 0


def check(path: Path, name: str | None = None, *, paths: bool = True, everything: bool = False) -> Verdict:
    """Of the kind `name`, or of the kind that the file's sections fit. `paths`: what it points to is looked at, too."""
    try:
        parsed = parse(text_of(path))
    except SpecError as error:
        return Verdict(None, "", tuple(error.problems))
    kind = kinds.kind(name) if name else kinds.of(parsed)
    try:
        spec: Spec[Any] = load(path, kind.message, expand=paths)
        warnings = [*spec.warnings, *spec.refuse(kind.check(spec.message))]
    except SpecError as error:
        known = foreign(parsed, kind.message.DESCRIPTOR) is None
        return Verdict(kind.name if known else None, kind.title, tuple(error.problems))
    data: tuple[tuple[str, tuple[str, ...]], ...] = ()
    if paths:
        findings = _seen(kind, spec, everything)
        warnings += spec.refuse([each for each in findings if each.warning])
        try:
            spec.refuse([each for each in findings if not each.warning])
        except SpecError as error:
            data = tuple(error.problems)
    return Verdict(kind.name, kind.title, (), data, tuple(dict.fromkeys(warnings)))


def _seen(kind: Kind, spec: Spec[Any], everything: bool) -> list[Finding]:
    if not kind.is_task:
        return _look_at_source(spec.message, everything) if kind.name == "dataset_convert" else []
    cfg = spec.message
    return [*tasks.survey(kind.name, cfg, everything), *_look_at_model(kind.name, cfg.training_config)]


def _look_at_model(task: str, training: Any) -> list[Finding]:
    """The header of the model that the training starts with; it needs no key."""
    field = training.WhichOneof("load_model")
    if field is None:
        return []
    from tltpy import artifact

    place, path = f"training_config.{field}", getattr(training, field)
    try:
        header = artifact.inspect(path)
    except ModelFileError as error:
        return [Finding(place, error.message, error.hints)]
    if header.kind == "graph":
        return [Finding(place, f"{path}: an exported graph cannot be trained", ("give the .tlt it was made from",))]
    if header.task != task:
        return [Finding(place, f"{path}: this is a model of {header.task}, not of {task}")]
    return []


def _look_at_source(config: Any, everything: bool) -> list[Finding]:
    """The data set of a conversion: whether it is there, and what a sample of its labels holds."""
    from tltpy.detection.classes import normal
    from tltpy.detection.findings import count_kinds
    from tltpy.detection.frames import read_frame
    from tltpy.detection.sources import misplaced, open_source

    layout = config.WhichOneof("convert_config_type")
    try:
        source = open_source(config)
    except DataError as error:
        return [Finding(layout, error.message, error.hints)]
    frames = [frame for partition in source.partitions for frame in partition]
    step = 1 if everything else max(len(frames) // SAMPLE, 1)
    readings = [read_frame(source.read_labels, frame, decode=False) for frame in frames[::step]]
    faults = [*source.findings, *(finding for reading in readings for finding in reading.findings)]
    where = f" of {len(readings)} frames looked at" if step > 1 else ""
    found = [
        Finding(layout, f"{kind}: {count}{where}; the first: {next(each for each in faults if each.kind == kind)}",
                ("tlt-dataset-convert --check lists them all",), warning=True)
        for kind, count in count_kinds(faults).items()
    ]  # fmt: skip
    if not any(reading.record is not None for reading in readings):
        found.append(Finding(layout, f"not one of the {len(readings)} pictures looked at can be used"))
    if lost := misplaced(config, source):
        found.append(Finding("image_directory_path", lost, warning=True))
    names = {name for reading in readings for name in reading.class_names}
    keys = {normal(key) for key in config.target_class_mapping}
    unmapped = sorted(name for name in names if normal(name) not in keys)
    if keys and unmapped:
        message = f"no key for the labels {', '.join(unmapped)}"
        found.append(Finding("target_class_mapping", message, warning=True))
    return found
