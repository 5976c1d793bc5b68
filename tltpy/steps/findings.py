"""How a step tells what is wrong with a data set: some of each kind one by one, the rest as a number."""

from collections import Counter
from collections.abc import Sequence

from tltpy.detection.findings import Finding
from tltpy.log import Log

SHOWN = 10
"""Findings of one kind that are told one by one."""


def warn(findings: Sequence[Finding], log: Log, hint: str = "-v tells all of them") -> None:
    """A verbose log is told all. `hint`: how to see those that are only counted."""
    said: Counter[str] = Counter()
    for finding in findings:
        said[finding.kind] += 1
        if said[finding.kind] <= SHOWN or log.verbose:
            log.warn(str(finding))
    for kind, count in said.items():
        if count > SHOWN and not log.verbose:
            log.warn(f"{kind}: {count - SHOWN} more", hint)
