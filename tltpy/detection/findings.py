"""What is wrong with a data set, place by place. Findings are reported and counted; their text says what follows."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

COLUMNS = "wrong number of columns"
NUMBER = "not a number"
DEGENERATE = "degenerate box"
OUTSIDE = "box outside the image"
BAD_IMAGE = "unreadable image"
NO_IMAGE = "missing image"
NO_LABEL = "missing label"
BAD_LABEL = "unreadable label"
LONE_LABEL = "label without image"
NO_CLASS = "unknown class"
UNMAPPED = "unmapped class"
EMPTY = "empty partition"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong; `line` counts from 1, 0 stands for the file as a whole."""

    kind: str
    path: str
    line: int
    text: str

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else self.path
        return f"{place}: {self.text}"


def count_kinds(findings: Iterable[Finding]) -> dict[str, int]:
    """Kind -> number, the most frequent first."""
    return dict(Counter(finding.kind for finding in findings).most_common())
