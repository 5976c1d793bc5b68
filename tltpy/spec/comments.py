"""The comments of the proto files, which are the reference of the fields; bin/generate-proto writes them as JSON."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path


@cache
def load() -> Mapping[str, str]:
    """Full name of a message, a field, a oneof, an enum or a value of one (tltpy.spec.Message.Enum.VALUE) -> text."""
    found: dict[str, str] = json.loads(Path(__file__).with_name("comments.json").read_text(encoding="utf-8"))
    return found


def comment(full_name: str) -> str:
    """ "" where there is none: the fields of the generated entries of maps."""
    return load().get(full_name, "")
