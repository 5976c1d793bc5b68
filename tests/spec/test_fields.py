"""No field of a published message is read by nobody: each has its effect, or a warning with the reason why not."""

import ast
from functools import cache
from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor

from tltpy.spec import augment_pb2, detection_pb2, training_pb2, yolo_pb2
from tltpy.spec.schema import FieldInfo, fields

PACKAGE = Path(__file__).resolve().parents[2] / "tltpy"
ROOTS = [
    yolo_pb2.Experiment.DESCRIPTOR, detection_pb2.DatasetExportConfig.DESCRIPTOR, augment_pb2.AugmentConfig.DESCRIPTOR
]  # fmt: skip


@cache
def words() -> frozenset[str]:
    """Every attribute and every word of every string in the sources outside spec; docstrings are not looked at."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        if path.parent.name == "spec" or path.name.endswith("_pb2.py"):
            continue
        tree = ast.parse(path.read_text())
        docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                found.add(node.attr)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
                found.update(node.value.replace("{", " ").replace("}", " ").replace(".", " ").split())
    return frozenset(found)


def walk(section: Descriptor, above: tuple[str, ...] = ()) -> list[tuple[str, FieldInfo]]:
    """(path, field) of every field below a message; what lies in an ignored section is not asked for."""
    found = []
    for name, info in fields(section).items():
        path = (*above, name)
        found.append((".".join(path), info))
        if info.section is not None and not info.is_map and not info.limits.ignored:
            found += walk(info.section, path)
    return found


def is_read(info: FieldInfo) -> bool:
    # one of a oneof is found by the oneof's name; and three names are put together: f"{scale}_anchor_shape"
    anchors = info.name.endswith("_anchor_shape") and "_anchor_shape" in words()
    return bool({info.name, info.oneof} & words()) or anchors


@pytest.mark.parametrize("root", ROOTS, ids=lambda root: root.name)
def test_every_field_is_read_or_says_why_not(root: Descriptor) -> None:
    found = walk(root)
    assert len(found) > 25
    unread = [path for path, info in found if not info.limits.ignored and not is_read(info)]
    assert unread == []


def test_a_reason_is_a_reason() -> None:
    reasons = {path: info.limits.ignored for root in ROOTS for path, info in walk(root) if info.limits.ignored}
    assert len(reasons) >= 8
    assert all(len(reason.split()) >= 4 for reason in reasons.values()), reasons


def test_an_unread_field_is_seen() -> None:
    inner = dict(walk(training_pb2.ClearMLConfig.DESCRIPTOR))  # of a section that is ignored as a whole
    assert not is_read(inner["deferred_init"])
    assert is_read(dict(walk(ROOTS[0]))["nms_config.top_k"])
