"""A first look at the data that a spec of yolo names."""

from typing import Any

from tltpy.detection.survey import survey as look
from tltpy.spec.limits import Finding


def survey(cfg: Any, everything: bool) -> list[Finding]:
    """Of a spec as it was written; `everything`: every label is read, not a sample."""
    faults = look(cfg.dataset_config, everything=everything)
    return [Finding(fault.path, fault.message, fault.hints, fault.warning) for fault in faults]
