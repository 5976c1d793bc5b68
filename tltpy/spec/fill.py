"""The spec that a run went by: every default filled in, as a text that reads as the same message."""

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from google.protobuf.message import Message

from tltpy.spec import values
from tltpy.spec.limits import is_set, occurrences
from tltpy.spec.schema import FieldInfo, fields

M = TypeVar("M", bound=Message)


def filled(message: M) -> M:
    """A copy with each default set, sections that are absent among them.

    Left as they are: members of a oneof and `sparse` sections (filled where present), fields that have no effect, and
    fields without a default, whose absence means something.
    """
    full = type(message)()
    full.CopyFrom(message)
    _fill(full)
    return full


def dump(message: Message) -> str:
    """The set fields in the order of the proto file, maps by key, each number in its fewest digits."""
    return "".join(f"{line}\n" for line in _lines(message))


def _fill(message: Message) -> None:
    for info in fields(message.DESCRIPTOR).values():
        if is_set(message, info):
            for _, value in occurrences(message, info, ""):
                if isinstance(value, Message):
                    _fill(value)
        elif info.repeated or info.oneof or info.limits.sparse or info.limits.ignored:
            continue
        elif info.kind == "section":
            section = getattr(message, info.name)
            section.SetInParent()
            _fill(section)
        elif info.default is not None:
            setattr(message, info.name, info.default)


def lines_of(message: Message, info: FieldInfo) -> Iterator[str]:
    """One set field, in all its values."""
    held = getattr(message, info.name)
    if info.is_map:
        yield from _map_lines(info, held)
        return
    for value in held if info.repeated else [held]:
        if isinstance(value, Message):
            yield from _section_lines(info.name, _lines(value))
        else:
            yield f"{info.name}: {_literal(info, value)}"


def _lines(message: Message) -> Iterator[str]:
    for info in fields(message.DESCRIPTOR).values():
        if is_set(message, info):
            yield from lines_of(message, info)


def _map_lines(info: FieldInfo, held: Any) -> Iterator[str]:
    assert info.key and info.value
    for key in sorted(held):
        value = held[key]
        if isinstance(value, Message):
            content = list(_section_lines("value", _lines(value)))
        else:
            content = [f"value: {_literal(info.value, value)}"]
        yield from _section_lines(info.name, [f"key: {_literal(info.key, key)}", *content])


def _section_lines(name: str, content: Iterable[str]) -> Iterator[str]:
    yield f"{name} {{"
    for line in content:
        yield f"  {line}"
    yield "}"


def _literal(info: FieldInfo, value: Any) -> str:
    if info.kind == "text":
        return values.literal(value)
    if info.kind == "bool":
        return "true" if value else "false"
    if info.kind == "float":
        return values.shortest(value, info.single)
    if info.kind == "enum":
        return next(name for name, number in info.choices.items() if number == value)
    return str(value)
