"""What the documents say is so: commands, flags, specs, links, the version."""

import re
import runpy
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

import tltpy
from tltpy.spec.load import load as spec_load
from tltpy.spec.parse import parse
from tltpy.steps import kinds

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
SPECS = sorted((ROOT / "specs").rglob("*.txt"))


@pytest.fixture(scope="session")
def generator() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "bin" / "generate-cli-docs"))


@pytest.fixture(scope="session")
def commands(generator: dict[str, Any]) -> dict[str, click.Command]:
    """Executable -> its command."""
    found: dict[str, click.Command] = generator["commands"]()
    assert len(found) >= 9
    return found


def test_the_changelog_starts_with_this_version() -> None:
    found = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert found and found[1] == tltpy.__version__


def test_cli_reference_is_up_to_date(generator: dict[str, Any], commands: dict[str, click.Command]) -> None:
    written = (ROOT / "docs" / "cli.md").read_text()
    assert written == generator["reference"](commands), "run bin/generate-cli-docs"
    assert all(name in written for name in commands)


def test_every_command_and_option_has_help(commands: dict[str, click.Command]) -> None:
    silent = [name for name, command in commands.items() if not command.help]
    for name, command in commands.items():
        silent += [f"{name} {option.opts[0]}" for option in options(command) if not (option.help or option.hidden)]
    assert not silent
    assert sum(len(options(command)) for command in commands.values()) > 60


def test_commands_in_the_documents_exist(commands: dict[str, click.Command]) -> None:
    lines = [line for path in DOCUMENTS for line in shell_lines(path)]
    assert len(lines) > 8
    problems = [f"{place}: {problem}" for place, words in lines for problem in wrong(words, commands)]
    assert not problems, "\n".join(problems)


def test_wrong_commands_are_seen(commands: dict[str, click.Command]) -> None:
    assert list(wrong(["tlt-train", "yolo", "--no-such-flag"], commands))
    assert list(wrong(["tlt-trian", "yolo"], commands))
    assert list(wrong(["bin/quickstrat"], commands))
    assert list(wrong(["tlt-evaluate", "yolo", "-e", "specs/no_such_spec.txt"], commands))
    assert not list(wrong(["tlt-train", "yolo", "--help"], commands))


def test_links_lead_somewhere() -> None:
    links = [(path, link) for path in DOCUMENTS for link in re.findall(r"\]\(([^)#\s]+)", path.read_text())]
    lost = [f"{path.relative_to(ROOT)}: {link}" for path, link in links
            if "://" not in link and not (path.parent / link).exists()]
    assert len(links) >= 4
    assert not lost


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_spec_loads(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TLT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("TLT_OUT", str(tmp_path / "out"))
    load_and_check(path)


def test_there_are_specs() -> None:
    names = {path.relative_to(ROOT / "specs").as_posix() for path in SPECS}
    yolo = ("tiny", "kitti_resnet18", "kitti_darknet53", "bccd_resnet18")
    twins = {f"yolo/{name}{twin}.txt" for name in yolo for twin in ("", "_retrain")}
    assert names >= {"kitti_tfrecords.txt", "voc_tfrecords.txt", "augment/kitti_rotate.txt", *twins}


def options(command: click.Command) -> list[click.Option]:
    own = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    parts = command.commands.values() if isinstance(command, click.Group) else ()
    return [*own, *(option for part in parts for option in options(part))]


def shell_lines(path: Path) -> Iterator[tuple[str, list[str]]]:
    """(file:line, words) of every command in the ```sh blocks of a document; a backslash joins lines."""
    text = path.read_text()
    for block in re.finditer(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        number = text[: block.start(1)].count("\n") + 1
        for line in block[1].replace("\\\n", " ").splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True)
            while words and "=" in words[0]:  # NAME=value before a command
                words.pop(0)
            if words:
                yield f"{path.relative_to(ROOT)}:{number}", words


def wrong(words: list[str], commands: dict[str, click.Command]) -> Iterator[str]:
    """What a command line names that does not exist."""
    name, *arguments = words
    if name.startswith("tlt-") and name not in commands:
        yield f"no executable {name}"
    if name.startswith((".", "bin/")) and not (ROOT / name).exists():
        yield f"no file {name}"
    if name in commands:
        known = {flag for option in options(commands[name]) for flag in [*option.opts, *option.secondary_opts]}
        flags = [word.split("=")[0] for word in arguments if re.match(r"--?[A-Za-z]", word)]
        yield from (f"{name} has no flag {flag}" for flag in flags if flag not in known | {"--help"})
    for word in arguments:
        if word.startswith("specs/") and not (ROOT / word).exists():
            yield f"no spec {word}"


def load_and_check(path: Path) -> None:
    """A spec in a folder is of the kind that names it: an experiment of a task, augment; the others are conversions."""
    *folder, _ = path.relative_to(ROOT / "specs").parts
    kind = kinds.kind(folder[0] if folder else "dataset_convert")
    loaded = spec_load(path, kind.message)
    assert not [*loaded.warnings, *loaded.refuse(kind.check(loaded.message))]
    assert kinds.of(parse(path.read_text())) == kind
