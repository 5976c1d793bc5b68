"""Two messages of one kind, field by field, as a list of differences."""

from dataclasses import dataclass

from google.protobuf.message import Message

from tltpy.spec.fill import lines_of
from tltpy.spec.limits import is_set, occurrences
from tltpy.spec.schema import FieldInfo, fields
from tltpy.spec.where import child


@dataclass(frozen=True)
class Difference:
    """Values as they are written in a spec; None where the field is not set. A section is shown on one line."""

    path: str
    first: str | None
    second: str | None


def differences(first: Message, second: Message, path: str = "") -> list[Difference]:
    """In the order of the proto files, without the fields that have no effect. Both should have their defaults."""
    found: list[Difference] = []
    for info in fields(first.DESCRIPTOR).values():
        if info.limits.ignored:
            continue
        here = child(path, info.name)
        a, b = _values(first, info, here), _values(second, info, here)
        for place in [*a, *(place for place in b if place not in a)]:
            one, other = a.get(place), b.get(place)
            if isinstance(one, Message) and isinstance(other, Message):
                found += differences(one, other, place)
            elif one != other:
                found.append(Difference(place, _text(one), _text(other)))
    return found


def _values(message: Message, info: FieldInfo, path: str) -> "dict[str, str | Message]":
    """Place -> section, or a scalar as it is written."""
    if not is_set(message, info):
        return {}
    pairs = occurrences(message, info, path)
    if info.kind == "section" and not info.is_map:
        return dict(pairs)
    lines = list(lines_of(message, info))
    if info.is_map:
        size = len(lines) // len(pairs)  # name {, key, value, }
        return {place: lines[at * size + 2].strip().partition(" ")[2] for at, (place, _) in enumerate(pairs)}
    return {place: line.partition(" ")[2] for (place, _), line in zip(pairs, lines, strict=True)}


def _text(value: "str | Message | None") -> str | None:
    if not isinstance(value, Message):
        return value
    inner = " ".join(line.strip() for info in fields(value.DESCRIPTOR).values() if is_set(value, info)
                     for line in lines_of(value, info))  # fmt: skip
    return f"{{ {inner} }}"
