"""Random messages, written by protobuf's own text_format in its styles and by dump, are read as the same messages."""

import random
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.message import Message

from tltpy.spec import detection_pb2, yolo_pb2
from tltpy.spec.bind import bind
from tltpy.spec.fill import dump
from tltpy.spec.limits import is_set, occurrences
from tltpy.spec.parse import parse
from tltpy.spec.schema import FieldInfo, fields

STYLES: list[dict[str, Any]] = [
    {},
    {"as_one_line": True},
    {"as_utf8": True, "use_short_repeated_primitives": True},
    {"as_utf8": False, "pointy_brackets": True},
    {"use_index_order": True, "indent": 7},
]
LETTERS = "ab_ /\\\"'{}<>[]#,;:.\n\t\r\x00\x7f\u00e4\u7f51\U0001f600\u2028"


def _zoo() -> type[Message]:
    """A message with the kinds of fields that no spec has yet."""
    file = descriptor_pb2.FileDescriptorProto(name="tests/zoo.proto", package="zoo", syntax="proto2")
    zoo = file.message_type.add(name="Zoo")
    kinds = ["DOUBLE", "FLOAT", "INT64", "UINT64", "INT32", "FIXED64", "FIXED32", "BOOL", "STRING", "UINT32",
             "SFIXED32", "SFIXED64", "SINT32", "SINT64"]  # fmt: skip
    for number, kind in enumerate(kinds, start=1):
        for label, base in (("OPTIONAL", 0), ("REPEATED", 50)):
            zoo.field.add(
                name=f"{kind}_{label}".lower(), number=number + base, type="TYPE_" + kind, label="LABEL_" + label
            )
    zoo.field.add(name="inner", number=100, type="TYPE_MESSAGE", label="LABEL_OPTIONAL", type_name=".zoo.Zoo")
    for number, (kind, of_sections) in enumerate((("INT32", True), ("BOOL", True), ("STRING", False)), start=101):
        name = f"Map{number}Entry"
        entry = zoo.nested_type.add(name=name)
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, type="TYPE_" + kind, label="LABEL_OPTIONAL")
        value = entry.field.add(name="value", number=2, type="TYPE_FLOAT", label="LABEL_OPTIONAL")
        if of_sections:
            value.type, value.type_name = value.TYPE_MESSAGE, ".zoo.Zoo"
        field = zoo.field.add(name=f"map{number}", number=number, type="TYPE_MESSAGE", label="LABEL_REPEATED")
        field.type_name = f".zoo.Zoo.{name}"
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("zoo.Zoo"))


CLASSES = [yolo_pb2.Experiment, detection_pb2.DatasetExportConfig, _zoo()]


def scalar(info: FieldInfo, rng: random.Random) -> Any:
    if info.kind == "int":
        return rng.choice([info.low, info.high, rng.randint(info.low, info.high), max(info.low, 0)])
    if info.kind == "float":
        return rng.choice(
            [0.0, -0.0, 0.1, 1.0, 1e-7, float("inf"), -3.4e38, 1e-45, rng.uniform(-1e3, 1e3), rng.gauss(0, 1)]
        )
    if info.kind == "bool":
        return rng.random() < 0.5
    if info.kind == "enum":
        return rng.choice(list(info.choices.values()))
    return "".join(rng.choices(LETTERS, k=rng.randrange(6)))


def fill_randomly(message: Message, rng: random.Random, depth: int = 0) -> Message:
    for info in fields(message.DESCRIPTOR).values():
        if rng.random() < 0.5 or depth > 3:
            continue
        held = getattr(message, info.name)
        for _ in range(rng.randrange(3) if info.repeated else 1):
            if info.key and info.value:
                key = scalar(info.key, rng)
                if info.value.kind == "section":
                    fill_randomly(held[key], rng, depth + 2)
                else:
                    held[key] = scalar(info.value, rng)
            elif info.kind == "section":
                inner = held.add() if info.repeated else held
                inner.SetInParent()
                fill_randomly(inner, rng, depth + 1)
            elif info.repeated:
                held.append(scalar(info, rng))
            else:
                setattr(message, info.name, scalar(info, rng))
    return message


def read(text: str, message_class: type[Message]) -> Message:
    message = message_class()
    bound = bind(parse(text), message)
    assert not bound.problems, (bound.problems, text)
    return message


@pytest.mark.parametrize("message_class", CLASSES, ids=lambda each: each.DESCRIPTOR.name)
def test_random_messages(message_class: type[Message]) -> None:
    rng = random.Random(5)
    seen = set()
    for _ in range(40):
        message = fill_randomly(message_class(), rng)
        seen |= {info.name for info in fields(message.DESCRIPTOR).values() if is_set(message, info)}
        for style in STYLES:
            assert read(text_format.MessageToString(message, **style), message_class) == message
        assert read(dump(message), message_class) == message
        assert read(dump(message).replace("\n", "\r\n"), message_class) == message
    assert seen == {info.name for info in fields(message_class.DESCRIPTOR).values()}


def test_every_value_has_a_position() -> None:
    rng = random.Random(6)

    def check(message: Message, path: str) -> int:
        count = 0
        for info in fields(message.DESCRIPTOR).values():
            if is_set(message, info):
                for place, value in occurrences(message, info, f"{path}.{info.name}" if path else info.name):
                    assert bound.positions.find(place) is not None, place
                    count += 1 + (check(value, place) if isinstance(value, Message) else 0)
        return count

    for message_class in CLASSES:
        message = fill_randomly(message_class(), rng)
        bound = bind(parse(dump(message)), message_class())
        assert check(message, "") > 3
