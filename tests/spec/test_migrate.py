"""A migrated spec means what it meant, is in the current form, and keeps its comments and its layout."""

import random
import re
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format

from tltpy.spec import fill
from tltpy.spec.load import parse_text
from tltpy.spec.migrate import Change, migrate
from tltpy.spec.parse import parse
from tltpy.steps import kinds

DATA = Path(__file__).parent / "data"
PUBLISHED = sorted(path for name in ("experiment", "export", "augment") for path in DATA.glob(f"{name}_*.txt"))
KIND = kinds.kind("yolo")


def meaning(kind: kinds.Kind, text: str) -> Any:
    return fill.filled(kind.canonical(parse_text(text, kind.message, expand=False).message))


def moved(text: str, kind: kinds.Kind = KIND) -> str:
    """The new text, after all that must hold of it."""
    done = migrate(text, kind.message.DESCRIPTOR, kind.renamed())
    assert meaning(kind, done.text) == meaning(kind, text)
    # the current form is what protobuf's strict reader takes, and there is nothing more to change in it
    strict = text_format.Parse(done.text, kind.message())
    assert fill.filled(kind.canonical(strict)) == meaning(kind, text)
    assert migrate(done.text, kind.message.DESCRIPTOR, kind.renamed()).changes == ()
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    assert comments(done.text) == comments(plain)
    assert all(1 <= change.line <= plain.count("\n") + 1 for change in done.changes)
    return done.text


def comments(text: str) -> list[str]:
    return re.findall(r"#.*", re.sub(r"\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'", "", text))


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_published(path: Path) -> None:
    kind = kinds.of(parse(path.read_text()))
    new = moved(path.read_text(), kind)
    assert "yolov3_config" not in new
    assert len(new.splitlines()) == len(path.read_text().splitlines())


REST = """dataset_config { data_sources { tfrecords_path: "a" image_directory_path: "b" }
  target_class_mapping { key: "a" value: "b" } }
augmentation_config { output_width: 64 output_height: 32 }
"""
# what stands in the old file, in the new one, and what is said of it
CASES = [
    ("yolov3_config { }", "yolo_config { }", "yolov3_config is yolo_config now"),
    ("nms_config: { }", "nms_config { }", "no colon before the section nms_config"),
    ("nms_config < top_k: 3 >", "nms_config { top_k: 3 }", "`<` and `>` are `{` and `}`"),
    ("nms_config{}", "nms_config {}", "one blank before the section nms_config"),
    ("random_seed:3", "random_seed: 3", "a blank after the colon of random_seed"),
    ("random_seed : 3", "random_seed: 3", "no blank before the colon of random_seed"),
    ("random_seed: 3;", "random_seed: 3", "`;` between fields is left out"),
    ("random_seed: 3.0", "random_seed: 3", "3.0 is written 3"),
    ("random_seed: 1e3", "random_seed: 1000", "1e3 is written 1000"),
    ("nms_config { force_on_cpu: True }", "nms_config { force_on_cpu: true }", "True is written true"),
    ("nms_config { force_on_cpu: 0 }", "nms_config { force_on_cpu: false }", "0 is written false"),
    ("eval_config { average_precision_mode: 1 }", "eval_config { average_precision_mode: INTEGRATE }",
     "1 is written INTEGRATE"),
    ("yolo_config { loss_loc_weight: 0x1F }", "yolo_config { loss_loc_weight: 31 }", "0x1F is written 31"),
    ("yolo_config { loss_loc_weight: 1.5f }", "yolo_config { loss_loc_weight: 1.5 }", "1.5f is written 1.5"),
    ("yolo_config { batch_norm_momentum: - 0 }", "yolo_config { batch_norm_momentum: -0 }", "- 0 is written -0"),
    ("yolo_config { arch: 'resnet' }", 'yolo_config { arch: "resnet" }', "'resnet' in double quotes"),
    ("training_config { pretrain_model_path: 'it\\'s \"x\"' '/${A}' }",
     'training_config { pretrain_model_path: "it\'s \\"x\\"" "/${A}" }', "'it\\'s \"x\"' in double quotes"),
    ("yolo_config { freeze_blocks: [0, 1,] }", "yolo_config { freeze_blocks: [0, 1] }",
     "no comma before the end of a list"),
    ("yolo_config { freeze_blocks [0 1] }", "yolo_config { freeze_blocks: [0 , 1] }",
     "a comma between the values of a list"),
    ("random_seed:\u00a03", "random_seed: 3", "an odd blank is a plain one"),
    ("random_seed: 1\nrandom_seed: 2", "random_seed: 2", "random_seed is left out: line 2 counts"),
    ("random_seed: 1 # a\nrandom_seed: 2", " # a\nrandom_seed: 2", "random_seed is left out: line 2 counts"),
    ("training_config {\n  pretrain_model_path: 'a'\n  resume_model_path: \"b\"\n}",
     'training_config {\n  resume_model_path: "b"\n}', "pretrain_model_path is left out: line 3 counts"),
    ("training_config { optimizer { sgd { nesterov: True } adam { } } }", "training_config { optimizer {  adam { } } }",
     "sgd is left out: line 1 counts"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "what"), CASES, ids=[case[2] for case in CASES])
def test_change(old: str, new: str, what: str) -> None:
    assert moved(f"{old}\n{REST}") == f"{new}\n{REST}"
    changes = migrate(f"{old}\n{REST}", KIND.message.DESCRIPTOR, KIND.renamed()).changes
    assert what in [change.what for change in changes]


def test_validation_data_source() -> None:
    source = 'validation_data_source { tfrecords_path: "v" image_directory_path: "i" }'
    old = REST.replace("target", f"{source}\n  target", 1)
    assert "validation_data_sources {" in moved(old)


def test_the_current_form_stays_byte_for_byte() -> None:
    for path in sorted((Path(__file__).resolve().parents[2] / "specs").rglob("*.txt")):
        kind = kinds.kind(path.parent.name) if path.parent.name != "specs" else kinds.kind("dataset_convert")
        done = migrate(path.read_text(), kind.message.DESCRIPTOR, kind.renamed())
        assert done.text == path.read_text(), path
        assert done.changes == ()


def test_line_ends_and_the_byte_order_mark() -> None:
    text = "\ufeff# x\r\nrandom_seed: 3\r\n" + REST.replace("\n", "\r\n").rstrip()
    assert moved(text) == "# x\nrandom_seed: 3\n" + REST
    assert migrate(text, KIND.message.DESCRIPTOR, {}).changes == (
        Change(1, "the byte-order mark is left out"),
        Change(1, "the lines end as everywhere else"),
        Change(5, "the last line ends"),
    )


def _wild(text: str, rng: random.Random) -> str:
    """The same spec in the liberties of the wild."""
    swaps = [
        (r": true\b", ": True"), (r": false\b", ": 0"), (r"(?<!:) \{", ": {"), (r": (\d)", r":\1"),
        (r": L1\b", ": 1"), (r"\"(\w*)\"", r"'\1'"), (r"\n", "\r\n"), (r"\}(?=\n)", "};"),
        (r"(?<=: \d\d)(?=\n)", ".0"), (r"(?<=\n)(\s*)(?=\w)", r"\1# note\n\1"), (r": (?=\d)", "\u00a0: "),
    ]  # fmt: skip
    for pattern, new in swaps:
        places = list(re.finditer(pattern, text))
        if rng.random() < 0.5:
            for match in reversed(places):
                if match in places[:: rng.choice([1, 2])]:
                    text = text[: match.start()] + match.expand(new) + text[match.end() :]
    return text


def test_wild_variants_mean_the_same() -> None:
    rng = random.Random(4)
    texts = [path.read_text() for path in PUBLISHED if path.stem.startswith("experiment")]
    changed = 0
    for _ in range(40):
        text = rng.choice(texts)
        wild = _wild(text, rng)
        assert meaning(KIND, moved(wild)) == meaning(KIND, text)
        changed += wild != text
    assert changed > 20
