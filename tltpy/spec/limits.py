"""The limits that the proto files put on fields, enforced by one walk over a message. Only set fields are looked at."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from tltpy.spec import values
from tltpy.spec.options_pb2 import Limits
from tltpy.spec.schema import FieldInfo, fields
from tltpy.spec.tree import quoted
from tltpy.spec.where import child, entry


@dataclass(frozen=True)
class Finding:
    """A problem of a spec, or a `warning`, at a field path such as dataset_config.data_sources[0].tfrecords_path."""

    path: str
    message: str
    hints: tuple[str, ...] = ()
    warning: bool = False


def findings(message: Message) -> list[Finding]:
    """Every breach, and a warning for each set field that has no effect."""
    return [*breaches(message), *missing(message)]


def breaches(message: Message, path: str = "") -> Iterator[Finding]:
    """Values outside their limits, and fields without effect."""
    for info in fields(message.DESCRIPTOR).values():
        if not is_set(message, info):
            continue
        here = child(path, info.name)
        if info.limits.ignored:
            yield Finding(here, f'"{info.name}" has no effect: {info.limits.ignored}', warning=True)
        for place, value in occurrences(message, info, here):
            if isinstance(value, Message):
                yield from breaches(value, place)
            elif not _holds(info.limits, value, info.value or info):
                yield _breach(place, info.value or info, value)


def missing(message: Message, path: str = "") -> Iterator[Finding]:
    """Required fields that are not set, in the sections that are."""
    for info in fields(message.DESCRIPTOR).values():
        here = child(path, info.name)
        if info.limits.required and not (is_set(message, info) and getattr(message, info.name) != ""):
            yield Finding(here, f'"{info.name}" is required' + (f" in {path}" if path else ""), _how(info))
        if info.kind == "section" and is_set(message, info):
            for place, value in occurrences(message, info, here):
                if isinstance(value, Message):
                    yield from missing(value, place)


def is_set(message: Message, info: FieldInfo) -> bool:
    """A repeated field or a map: has at least one value."""
    return len(getattr(message, info.name)) > 0 if info.repeated else message.HasField(info.name)


def occurrences(message: Message, info: FieldInfo, path: str) -> list[tuple[str, Any]]:
    """Each value of a set field with its path."""
    held = getattr(message, info.name)
    if info.is_map:
        return [(entry(path, str(key)), held[key]) for key in sorted(held)]
    if info.repeated:
        return [(f"{path}[{index}]", value) for index, value in enumerate(held)]
    return [(path, held)]


def describe(limits: Limits) -> str:
    """The limits in words, "" where there are none: at least 32 and a multiple of 32."""
    if limits.one_of:
        return values.choice([word or '""' for word in limits.one_of])
    parts = []
    if limits.HasField("min"):
        parts.append(f"at least {limits.min:.15g}")
    if limits.HasField("above"):
        parts.append(f"above {limits.above:.15g}")
    if limits.HasField("max"):
        parts.append(f"at most {limits.max:.15g}")
    if limits.HasField("below"):
        parts.append(f"below {limits.below:.15g}")
    if limits.HasField("multiple_of"):
        parts.append("a whole number" if limits.multiple_of == 1 else f"a multiple of {limits.multiple_of}")
    return " and ".join(parts)


def _holds(limits: Limits, value: Any, info: FieldInfo) -> bool:
    if limits.one_of:
        return _text(value, info) in limits.one_of
    # written so that a value that is no number holds nowhere; the bounds are read as the value was, as a float32
    bound = values.float32 if info.single else float
    return not (
        (limits.HasField("min") and not value >= bound(limits.min))
        or (limits.HasField("max") and not value <= bound(limits.max))
        or (limits.HasField("above") and not value > bound(limits.above))
        or (limits.HasField("below") and not value < bound(limits.below))
        or (limits.HasField("multiple_of") and value % limits.multiple_of != 0)
    )


def _breach(path: str, info: FieldInfo, value: Any) -> Finding:
    limits = info.limits
    text = _text(value, info)
    hints: tuple[str, ...] = ()
    if limits.one_of and info.kind == "text":
        near = difflib.get_close_matches(text.lower(), limits.one_of, n=1)
        hints = tuple(f'did you mean "{word}"?' for word in near)
        text = quoted(text)
    elif limits.multiple_of > 1 and value > 0 and value % limits.multiple_of:
        low = max(int(value // limits.multiple_of), 1) * limits.multiple_of
        high = low + limits.multiple_of
        hints = (f"the nearest are {low} and {high}" if value > low else f"the nearest is {low}",)
    return Finding(path, f'"{info.name}" must be {describe(limits)}, not {text}', hints)


def _text(value: Any, info: FieldInfo) -> str:
    return values.shortest(value, info.single) if info.kind == "float" else str(value)


def _how(info: FieldInfo) -> tuple[str, ...]:
    if info.is_map:
        return (f"write {info.name} {{ key: ... value: ... }}",)
    if info.kind == "section":
        return (f"write {info.name} {{ ... }}",)
    words = describe(info.limits) or values.expected(info)
    return (f"write {info.name}: ... ({words})",)
