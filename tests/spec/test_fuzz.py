"""Whatever the file holds, the answer is a Spec or a SpecError with places in the file, never another exception."""

import random
import re
from pathlib import Path

import pytest

from tltpy.errors import SpecError
from tltpy.spec import detection_pb2, yolo_pb2
from tltpy.spec.load import load, parse_text

DATA = Path(__file__).parent / "data"
PIECES = ["{", "}", "<", ">", "[", "]", '"', "'", ":", ";", ",", "-", "#", "\n", "$", "${", "\\", "\\x", "0x",
          "1e999", "=", "[[", "{{{", "nan", "key", "value", "top_k", "random_seed: 1", "\u201c", "\ufeff", "\0",
          "\ud800", "9" * 5000]  # fmt: skip


def attempt(text: str) -> bool:
    """Whether the text is a spec."""
    try:
        parse_text(text, yolo_pb2.Experiment, "s.txt")
    except SpecError as error:
        assert error.problems
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        for message, _ in error.problems:
            place = re.match(r"s\.txt(?::(\d+):(\d+))?: ", message)
            assert place, message
            if place[1]:
                assert 1 <= int(place[1]) <= len(lines)
                assert 1 <= int(place[2]) <= len(lines[int(place[1]) - 1]) + 1
        return False
    return True


@pytest.mark.parametrize("name", ["experiment_tlt2.txt", "experiment_tao.txt"])
def test_damaged_specs(name: str) -> None:
    rng = random.Random(name)
    good = (DATA / name).read_text()
    accepted = 0
    for _ in range(150):
        text = good
        for _ in range(rng.choice([1, 1, 2, 5])):
            at = rng.randrange(len(text))
            cut = rng.choice([0, 0, 1, 3, 40, 400])
            text = text[:at] + rng.choice(["", *PIECES]) + text[at + cut :]
        accepted += attempt(text)
    assert 0 < accepted < 100  # some damage is harmless, most is not


def test_every_prefix_of_a_spec() -> None:
    good = (DATA / "experiment_tao.txt").read_text()
    assert attempt(good)
    assert not any(attempt(good[:length]) for length in range(0, len(good) - 1, 41))


def test_random_pieces() -> None:
    rng = random.Random(2)
    words = [*PIECES, "training_config", "yolo_config {", "arch:", '"x"', "\n", " ", "3", "true", "freeze_blocks: ["]
    for _ in range(150):
        attempt("".join(rng.choices(words, k=rng.randrange(1, 60))))


def test_random_bytes(tmp_path: Path) -> None:
    rng = random.Random(3)
    for index in range(100):
        path = tmp_path / f"{index}.txt"
        printable = index % 2
        size = rng.randrange(0, 200)
        path.write_bytes(bytes(rng.randrange(32, 127) if printable else rng.randrange(256) for _ in range(size)))
        with pytest.raises(SpecError):
            load(path, detection_pb2.DatasetExportConfig)
