"""The proto files: every line of them is explained, and the generated classes are theirs."""

import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tltpy.spec import comments

ROOT = Path(__file__).resolve().parents[2]
PROTOS = sorted((ROOT / "proto" / "tltpy" / "spec").glob("*.proto"))
_DECLARATION = re.compile(
    r"^\s*(?:(?:message|enum|oneof|extend) [\w.]+ \{|(?:[\w.]+ )?(?:map<[^>]*>|[\w.]+)? ?\w+ = \d+)"
)


def test_there_are_protos() -> None:
    assert len(PROTOS) >= 4


@pytest.mark.parametrize("path", PROTOS, ids=lambda path: path.name)
def test_every_field_has_a_comment(path: Path) -> None:
    lines = path.read_text().splitlines()
    declared = [index for index, line in enumerate(lines) if _DECLARATION.match(line)]
    assert declared
    bare = [
        f"{path.name}:{index + 1}: {lines[index].strip()}"
        for index in declared
        if not lines[index - 1].strip().startswith("//") and not lines[index].startswith("extend")
    ]
    assert bare == []


def test_no_field_escapes_the_check_above() -> None:
    from tltpy.spec import detection_pb2

    text = next(path for path in PROTOS if path.name == "detection.proto").read_text()
    numbered = [line for line in text.splitlines() if _DECLARATION.match(line) and re.search(r"= \d+", line)]
    messages = detection_pb2.DESCRIPTOR.message_types_by_name.values()
    total = sum(len(each.fields) + sum(len(enum.values) for enum in each.enum_types) for each in messages)
    assert len(numbered) == total


def test_the_comments_are_those_of_the_protos() -> None:
    """Also where no protoc is at hand: every name has its comment, and every comment stands in a proto file."""
    text = " ".join(path.read_text() for path in PROTOS)
    plain = re.sub(r"\s+", " ", re.sub(r"^\s*//", "", text, flags=re.MULTILINE))
    kept = comments.load()
    assert [name for name, comment in kept.items() if comment not in plain] == []
    assert [name for name in declared_names() if name not in kept] == [], "run bin/generate-proto"


def declared_names() -> list[str]:
    modules = [import_module(f"tltpy.spec.{path.stem}_pb2") for path in PROTOS]
    messages = [message for module in modules for message in module.DESCRIPTOR.message_types_by_name.values()]
    found = []
    for message in messages:
        enums = [*message.enum_types, *(value for enum in message.enum_types for value in enum.values)]
        found += [part.full_name for part in [message, *message.fields, *message.oneofs]]
        # protobuf's own name of a value leaves its enum out
        found += [name(part) for part in enums]
    assert len(found) > 250
    return found


def name(part: Any) -> str:
    return part.full_name if not hasattr(part, "type") else f"{part.type.full_name}.{part.name}"


def test_generated_classes_are_those_of_the_protos(tmp_path: Path) -> None:
    if importlib.util.find_spec("grpc_tools") is None or importlib.metadata.version("grpcio-tools") != "1.62.3":
        pytest.skip("needs grpcio-tools 1.62.3")
    subprocess.run(
        [ROOT / "bin" / "generate-proto", tmp_path],
        env={**os.environ, "PYTHON": sys.executable},
        check=True,
        capture_output=True,
    )
    made = {path.name: path.read_text() for path in (tmp_path / "tltpy" / "spec").iterdir()}
    written = [*(ROOT / "tltpy" / "spec").glob("*_pb2.py*"), ROOT / "tltpy" / "spec" / "comments.json"]
    kept = {path.name: path.read_text() for path in written}
    assert made == kept, "run bin/generate-proto"
