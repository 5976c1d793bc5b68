"""The nouns. This page maps a name to its task without importing torch; `load` imports the task itself.

A task is a folder with: `__init__` (torch-free: `canonical` and `check` of its spec, the names it RENAMED), `start` (a
spec to begin with), `survey` (a first look at the data), `task` (TASK, build), records, data, model, loss, decode. A
task imports itself, the contract and the rooms below, never a sibling.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from tltpy.errors import UsageError
from tltpy.spec import stages

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from tltpy.spec.limits import Finding
    from tltpy.tasks.contract import Task


@dataclass(frozen=True)
class Entry:
    """Where a task is found and what its specs are written in."""

    name: str
    aliases: tuple[str, ...]
    spec: str  # module:message


TASKS = (Entry("yolo", ("yolo_v3", "yolov3"), "tltpy.spec.yolo_pb2:Experiment"),)


def names() -> list[str]:
    """Every word a user may type for a task."""
    return [word for entry in TASKS for word in (entry.name, *entry.aliases)]


def entry(name: str) -> Entry:
    """The entry of a task by its name or an alias; UsageError for another word."""
    for candidate in TASKS:
        if name in (candidate.name, *candidate.aliases):
            return candidate
    raise UsageError(f'no task "{name}"', "the tasks are " + ", ".join(candidate.name for candidate in TASKS))


def message(name: str) -> "type[Message]":
    """The message class that the task's specs are written in."""
    module, _, attribute = entry(name).spec.partition(":")
    found: type[Message] = getattr(import_module(module), attribute)
    return found


def canonical(name: str, cfg: Any) -> Any:
    """The same experiment in the form that the task reads: alternative section names merged, absent parts made
    explicit."""
    return import_module(f"tltpy.tasks.{entry(name).name}").canonical(cfg)


def check(name: str, cfg: Any) -> "list[Finding]":
    """Problems and warnings of a spec that no field limit can express."""
    findings: list[Finding] = import_module(f"tltpy.tasks.{entry(name).name}").check(cfg)
    return [*findings, *stages.check(cfg)]


def survey(name: str, cfg: Any, everything: bool = False) -> "list[Finding]":
    """A first look, without torch, at the data that a spec as written names: what is missing, what goes unused."""
    module = import_module(f"tltpy.tasks.{entry(name).name}.survey")
    findings: list[Finding] = module.survey(cfg, everything)
    return findings


def start(name: str) -> str:
    """A spec that holds what the task needs, to begin with."""
    text: str = import_module(f"tltpy.tasks.{entry(name).name}.start").TEXT
    return text


def renamed(name: str) -> Mapping[str, str]:
    """Path of a field that another generation had -> the name that it has now."""
    names: Mapping[str, str] = import_module(f"tltpy.tasks.{entry(name).name}").RENAMED
    return names


def view(name: str, cfg: Any) -> Any:
    """How a picture comes to the network's input by a canonical spec: detection.anchors.View.

    UsageError where the task has no anchors.
    """
    found = getattr(import_module(f"tltpy.tasks.{entry(name).name}"), "view", None)
    if found is None:
        raise UsageError(f"{name} has no anchors")
    return found(cfg)


def load(name: str) -> "Task":
    """The task itself; imports torch."""
    task: Task = import_module(f"tltpy.tasks.{entry(name).name}.task").TASK
    return task
