"""bundle-check: a folder for DeepStream or Triton and the model it was made of in, whether both find the same out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tltpy import tasks
from tltpy.errors import UsageError
from tltpy.log import Log
from tltpy.steps import bundles, models


@dataclass(frozen=True, kw_only=True)
class BundleCheckRequest:
    """`cfg` None: the spec in the model file. `pictures` None: of the validation data, else made-up ones."""

    task: str
    cfg: Any | None
    model: Path
    key: str | None
    folder: Path
    pictures: Path | None = None


def run(request: BundleCheckRequest, log: Log) -> dict[str, Any]:
    """Raises QualityError where the folder gives other boxes than the model."""
    if not request.folder.is_dir():
        raise UsageError(f"{request.folder}: no such folder")
    opened = models.open_network(request.model, request.key, request.task, request.cfg)
    task = tasks.load(request.task)
    (graph,) = task.graphs(opened.network, opened.cfg)
    if "boxes" not in graph.metadata:
        raise UsageError(f"{request.task} finds no boxes, and has no folders for DeepStream or Triton")
    wanted = bundles.reference(task, opened.cfg, graph, *bundles.pictures(task, opened.cfg, request.pictures))
    log.info(f"playing {request.folder} on {wanted.origin}")
    played = bundles.check(request.folder, wanted)
    return {"folder": str(request.folder), "compared_on": wanted.origin, "played": [each.to_dict() for each in played]}


def text(result: dict[str, Any]) -> str:
    """A line a player."""
    return "\n".join(f"{result['folder']}  {played['text']}" for played in result["played"])
