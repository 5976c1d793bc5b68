"""The text to begin with: it reads as the message it was made of, and shows every field."""

import re

import pytest
from google.protobuf import text_format

from tltpy.spec import explain, fill, skeleton, yolo_pb2
from tltpy.spec.load import parse_text
from tltpy.steps import kinds


@pytest.mark.parametrize("name", [kind.name for kind in kinds.every()])
def test_it_reads_as_the_message(name: str) -> None:
    kind = kinds.kind(name)
    message = fill.filled(parse_text(kind.start(), kind.message).message)
    text = skeleton.commented(message)
    spec = parse_text(text, kind.message)
    assert spec.message == message
    assert spec.warnings == ()
    assert text_format.Parse(text, kind.message()) == message
    assert spec.refuse(kind.check(spec.message)) == []


@pytest.mark.parametrize("name", [kind.name for kind in kinds.every()])
def test_every_field_of_the_shown_sections_is_there(name: str) -> None:
    kind = kinds.kind(name)
    message = fill.filled(parse_text(kind.start(), kind.message).message)
    text = skeleton.commented(message)
    shown = set(re.findall(r"^\s*(?:# )?(\w+)(?::| \{)", text, re.MULTILINE))
    sections = {info.section.full_name for path, info in explain.walk(kind.message.DESCRIPTOR)
                if info.section is not None and re.search(rf"^\s*{info.name} \{{$", text, re.MULTILINE)}  # fmt: skip
    wanted = [info for path, info in explain.walk(kind.message.DESCRIPTOR)
              if "." not in path or info.full_name.rpartition(".")[0] in sections]  # fmt: skip
    assert len(wanted) > 5
    missing = {info.name for info in wanted if info.name not in shown and not info.limits.ignored}
    assert missing == set()
    assert not {info.name for info in wanted if info.limits.ignored} & shown
    assert max(map(len, text.splitlines())) <= 130


def test_a_field_that_is_left_out_is_shown_with_its_default() -> None:
    """nlayers is written only where the backbone comes in several depths."""
    assert "# nlayers: 18\n" in skeleton.commented(yolo_pb2.YoloConfig())
