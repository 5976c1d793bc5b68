"""Sealed files of a second implementation (make_vectors.py), each with what must become of it."""

import json
from pathlib import Path

import make_vectors
import pytest
import torch

from tltpy.artifact import flavour, inspect, load_model
from tltpy.artifact.tensors import DTYPES
from tltpy.errors import (
    DamagedFileError,
    ForeignFileError,
    ModelFileError,
    TruncatedFileError,
    WrongKeyError,
)

ERRORS = {
    "wrong key": WrongKeyError,
    "damaged": DamagedFileError,
    "truncated": TruncatedFileError,
    "foreign": ForeignFileError,
    "later version": ModelFileError,
}
PATHS = sorted((Path(__file__).parent / "vectors").glob("*.txt"))


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def vector(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[dict[str, str], Path]:
    fields, sealed = make_vectors.parse(request.param.read_text(encoding="utf-8"))
    path = tmp_path / "model.tlt"
    path.write_bytes(sealed)
    return fields, path


def test_vector(vector: tuple[dict[str, str], Path]) -> None:
    fields, path = vector
    if fields["expect"] != "opens":
        with pytest.raises(ModelFileError) as caught:
            load_model(path, fields["key"])
        assert type(caught.value) is ERRORS[fields["expect"]]
        assert caught.value.message.startswith(f"{path}: ")
        assert caught.value.hints
        return
    found = load_model(path, fields["key"])
    assert inspect(path) == found.header
    assert (found.header.kind, found.header.task, found.header.stage) == ("weights", "yolo", "float")
    assert found.digest == fields["digest"]
    assert found.metadata == json.loads(fields["metadata"])
    expected = json.loads(fields["tensors"])
    assert list(found.tensors) == list(expected)
    for name, (dtype, shape, raw) in expected.items():
        tensor = found.tensors[name]
        assert (tensor.dtype, list(tensor.shape)) == (DTYPES[dtype], shape)
        assert tensor.reshape(-1).view(torch.uint8).numpy().tobytes().hex() == raw


def test_each_kind_of_end_has_a_vector() -> None:
    ends = {make_vectors.parse(path.read_text(encoding="utf-8"))[0]["expect"] for path in PATHS}
    assert ends == {"opens", *ERRORS}


def test_the_committed_vectors_are_those_of_the_generator() -> None:
    assert make_vectors.vectors() == {path.name: path.read_text(encoding="utf-8") for path in PATHS}


def test_text_mode_damage_is_no_model_file(tmp_path: Path) -> None:
    _, sealed = make_vectors.parse((PATHS[0].parent / "foreign-text-mode.txt").read_text(encoding="utf-8"))
    path = tmp_path / "model.tlt"
    path.write_bytes(sealed)
    assert flavour(path) == "nvidia"
