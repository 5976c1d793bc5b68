"""The results folder of a training, when a run starts: whose results it holds, and what a killed run left behind."""

import json
from pathlib import Path

from tltpy import files
from tltpy.errors import UsageError


def refuse_results(folder: Path, overwrite: bool) -> None:
    """UsageError where a new run would replace results.

    A run that ended, or was killed, before its first epoch was done or its state was saved has left none.
    """
    weights = [path for path in _listed(folder / "weights") if not path.name.startswith(".")]
    if (folder / "status.json").exists() and not _progress(folder) and all("_last." in path.name for path in weights):
        return
    if weights and not overwrite:
        raise UsageError(
            f"{folder}: the folder holds the results of a run",
            "go on with it: --resume",
            "replace it: --overwrite, or name another folder",
        )
    files.refuse_existing(folder, overwrite)


def _progress(folder: Path) -> bool:
    """Whether status.json tells of an epoch done or of a state saved."""
    for line in (folder / "status.json").read_text(errors="replace").splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue  # a killed run left half a line
        if isinstance(event, dict) and event.get("status") == "RUNNING":
            return True
    return False


def _listed(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []
