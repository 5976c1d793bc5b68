"""What a message class allows, read once from its descriptor into plain records; the only reader of descriptors."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from tltpy.spec import options_pb2

_INT_RANGES = {
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_SINT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_SFIXED32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_SINT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_SFIXED64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_FIXED32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: (0, 2**64 - 1),
    FieldDescriptor.TYPE_FIXED64: (0, 2**64 - 1),
}
_KINDS = {
    FieldDescriptor.TYPE_FLOAT: "float",
    FieldDescriptor.TYPE_DOUBLE: "float",
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_STRING: "text",
    FieldDescriptor.TYPE_ENUM: "enum",
    FieldDescriptor.TYPE_MESSAGE: "section",
}


@dataclass(frozen=True)
class FieldInfo:
    """`kind`: int, float, bool, text, enum or section. `section`: the type of a section or of a map's entries.

    `key` and `value` describe what a map holds, under the map's name and limits.
    """

    name: str
    full_name: str  # as comments know it
    kind: str
    single: bool  # a float of 32 bits
    low: int
    high: int
    choices: Mapping[str, int]  # of an enum
    enum: str  # full name of its type
    repeated: bool
    oneof: str
    section: Descriptor | None
    default: Any  # None: the schema names none
    limits: options_pb2.Limits
    key: "FieldInfo | None" = None
    value: "FieldInfo | None" = None

    @property
    def is_map(self) -> bool:
        return self.key is not None


def fields(descriptor: Descriptor) -> Mapping[str, FieldInfo]:
    """By name, in the order of the proto file."""
    return _fields(descriptor)


@cache
def _fields(descriptor: Descriptor) -> Mapping[str, FieldInfo]:
    return MappingProxyType({field.name: _info(field) for field in descriptor.fields})


@cache
def paths(descriptor: Descriptor) -> Mapping[str, tuple[str, ...]]:
    """Field name -> the sections below `descriptor` that have such a field; the section "" is the file itself."""
    found: dict[str, list[str]] = {}

    def walk(section: Descriptor, path: str, above: tuple[str, ...]) -> None:
        for name, info in fields(section).items():
            found.setdefault(name, []).append(path)
            if info.section is not None and not info.is_map and info.section.full_name not in above:
                walk(info.section, f"{path}.{name}" if path else name, (*above, info.section.full_name))

    walk(descriptor, "", (descriptor.full_name,))
    return MappingProxyType({name: tuple(where) for name, where in found.items()})


def _info(field: FieldDescriptor) -> FieldInfo:
    section = field.message_type
    enum = field.enum_type
    low, high = _INT_RANGES.get(field.type, (0, 0))
    kind = "int" if field.type in _INT_RANGES else _KINDS[field.type]
    limits = field.GetOptions().Extensions[options_pb2.limits]
    held = fields(section) if section is not None and section.GetOptions().map_entry else {}
    return FieldInfo(
        name=field.name,
        full_name=field.full_name,
        kind=kind,
        single=field.type == FieldDescriptor.TYPE_FLOAT,
        low=low,
        high=high,
        choices=MappingProxyType({value.name: value.number for value in enum.values} if enum else {}),
        enum=enum.full_name if enum else "",
        repeated=_is_repeated(field),
        oneof=field.containing_oneof.name if field.containing_oneof else "",
        section=section,
        default=field.default_value if field.has_default_value else None,
        limits=limits,
        key=replace(held["key"], name="key") if held else None,
        value=replace(held["value"], name=field.name, full_name=field.full_name, limits=limits) if held else None,
    )


def _is_repeated(field: FieldDescriptor) -> bool:
    # protobuf 5 has no is_repeated, later ones warn about label
    known: bool | None = getattr(field, "is_repeated", None)
    return field.label == FieldDescriptor.LABEL_REPEATED if known is None else known
