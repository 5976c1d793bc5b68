"""spec: explains fields, starts a spec, brings an old one into the current form, compares two by what they mean."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tltpy import files
from tltpy.errors import UsageError
from tltpy.spec import compare, explain, fill, skeleton
from tltpy.spec.compare import Difference
from tltpy.spec.explain import Entry
from tltpy.spec.load import Spec, load, parse_text, text_of
from tltpy.spec.migrate import Change
from tltpy.spec.migrate import migrate as rewrite
from tltpy.spec.parse import parse
from tltpy.steps import kinds
from tltpy.steps.kinds import Kind

SHOWN = 6  # places that a hint names


@dataclass(frozen=True)
class Migration:
    """`notes`: located texts of what stays and has no effect."""

    kind: str
    text: str
    changes: tuple[Change, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """`kind` of both files."""

    kind: str
    differences: tuple[Difference, ...]


def describe(words: str, name: str | None = None) -> tuple[Kind, Entry]:
    """The field that a path, the end of one or a bare name means, in the spec `name` or in the first that has it.

    "" is a whole spec. UsageError where there is none, or several that differ.
    """
    wanted = [kinds.kind(name)] if name else kinds.every()
    if not words.strip("."):
        return wanted[0], explain.entry(wanted[0].message.DESCRIPTOR, "")
    found = [(kind, explain.find(kind.message.DESCRIPTOR, words)) for kind in wanted]
    fields = {field for _, places in found for field in places}
    if not fields:
        near = [path for kind in wanted for path in explain.near(kind.message.DESCRIPTOR, words)]
        hints = [f'did you mean "{path}"?' for path in dict.fromkeys(near)]
        raise UsageError(f'no spec has a field "{words}"', *(hints or ["`tlt-spec explain` lists all sections"]))
    if len(fields) > 1:
        places = [f"{kind.name}: {paths[0]}" for kind, all_paths in found for paths in all_paths.values()]
        more = [f"and {len(places) - SHOWN} more"] if len(places) > SHOWN else []
        raise UsageError(f'"{words}" may be one of {len(fields)} fields', *places[:SHOWN], *more)
    kind, places_by_field = next((kind, places) for kind, places in found if places)
    paths = next(iter(places_by_field.values()))
    return kind, explain.entry(kind.message.DESCRIPTOR, paths[0], tuple(paths[1:]))


def start(name: str) -> str:
    """A spec to begin with: every field with its comment and its default."""
    kind = kinds.kind(name)
    message = parse_text(kind.start(), kind.message).message
    words = kind.title.removeprefix("an ").removeprefix("a ")
    head = f"# {words[:1].upper()}{words[1:]}. Lines that are comments show what else may be written.\n"
    return head + skeleton.commented(fill.filled(message))


def migrate(path: Path, name: str | None = None) -> Migration:
    """The same spec in the current form; SpecError for one that is refused anyway."""
    text = text_of(path)
    kind = kinds.kind(name) if name else kinds.of(parse(text))
    old = _checked(path, kind)
    new = rewrite(text, kind.message.DESCRIPTOR, kind.renamed())
    again = parse_text(new.text, kind.message, expand=False).message
    assert _meaning(kind, again) == _meaning(kind, old.message), "a migrated spec means what it meant"
    return Migration(kind.name, new.text, new.changes, tuple(each for each in old.warnings if "no effect" in each))


def write(path: Path, text: str, *, overwrite: bool) -> None:
    """UsageError where the file exists and shall stay."""
    files.refuse_existing(path, overwrite)
    files.write_text(path, text)


def diff(first: Path, second: Path, name: str | None = None) -> Comparison:
    """What two specs mean differently, every default filled in. UsageError where they are of different kinds."""
    both = [kinds.kind(name) if name else kinds.of(parse(text_of(path))) for path in (first, second)]
    specs = [_checked(path, kind) for path, kind in zip((first, second), both, strict=True)]
    if both[0].name != both[1].name:
        raise UsageError(f"{first} is {both[0].title}, {second} is {both[1].title}", "they have no field in common")
    a, b = (_meaning(both[0], spec.message) for spec in specs)
    return Comparison(both[0].name, tuple(compare.differences(a, b)))


def _checked(path: Path, kind: Kind) -> Spec[Any]:
    """Environment variables stay as they are written."""
    spec: Spec[Any] = load(path, kind.message, expand=False)
    spec.refuse(kind.check(spec.message))
    return spec


def _meaning(kind: Kind, message: Any) -> Any:
    return fill.filled(kind.canonical(message))


