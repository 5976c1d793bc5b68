"""A message -> a text to begin with: every field with its comment, those that are not set as comments."""

import textwrap
from collections.abc import Iterator

from google.protobuf.message import Message

from tltpy.spec import comments
from tltpy.spec.explain import default_of, type_of
from tltpy.spec.fill import lines_of
from tltpy.spec.limits import describe, is_set
from tltpy.spec.schema import FieldInfo, fields

WIDTH = 110


def commented(message: Message) -> str:
    """Reads as the same message. Fields without effect are left out."""
    return "".join(f"{line}\n" for line in _section(message)).strip("\n") + "\n"


def _section(message: Message) -> Iterator[str]:
    oneof = ""
    for info in fields(message.DESCRIPTOR).values():
        if info.limits.ignored:
            continue
        if info.section is not None and not info.is_map:
            yield ""
        if info.oneof and info.oneof != oneof:
            about = comments.comment(f"{message.DESCRIPTOR.full_name}.{info.oneof}")
            yield from _comment(f"{about[:-1]}:" if about.startswith("One of ") else f"{about} One of these:")
        oneof = info.oneof
        if is_set(message, info):
            yield from _comment(_about(info))
            yield from _set(message, info)
        else:
            yield from _comment(_about(info))
            yield f"# {_unset(info)}"


def _set(message: Message, info: FieldInfo) -> Iterator[str]:
    held = getattr(message, info.name)
    if info.kind != "section" or info.is_map:
        lines = list(lines_of(message, info))
        if len(lines) > 1 and not info.is_map:
            lines = [f"{info.name}: [{', '.join(line.partition(' ')[2] for line in lines)}]"]
        yield from lines
        return
    for section in held if info.repeated else [held]:
        yield f"{info.name} {{"
        yield from (f"  {line}" if line else "" for line in _section(section))
        yield "}"


def _about(info: FieldInfo) -> str:
    """The comment and, in brackets, what may be written."""
    facts = []
    if info.limits.required:
        facts.append("required")
    if info.choices:
        facts.append(" | ".join(info.choices))
    limits = describe(info.limits)
    if limits:
        facts.append(limits)
    default = default_of(info)
    if default:
        facts.append(f"default {default}")
    text = comments.comment(info.full_name)
    return f"{text} [{'; '.join(facts)}]" if facts else text


def _unset(info: FieldInfo) -> str:
    """How it would be written."""
    if info.is_map and info.key and info.value:
        return f"{info.name} {{ key: <{type_of(info.key)}> value: <{type_of(info.value)}> }}"
    return f"{info.name} {{ ... }}" if info.kind == "section" else f"{info.name}: {_example(info)}"


def _example(info: FieldInfo) -> str:
    kinds = {"int": "0", "float": "0.0", "bool": "true", "text": '"..."'}
    return default_of(info) or kinds.get(info.kind, next(iter(info.choices), ""))


def _comment(text: str) -> Iterator[str]:
    return (f"# {line}" for line in textwrap.wrap(text, WIDTH))
