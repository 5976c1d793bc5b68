"""The proto files: every line of them is explained, and the generated classes are theirs."""

import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

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
    kept = {path.name: path.read_text() for path in (ROOT / "tltpy" / "spec").glob("*_pb2.py*")}
    assert made == kept, "run bin/generate-proto"
