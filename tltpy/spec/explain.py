"""What a field of a spec is, in words: from the descriptors, their limits and the comments of the proto files."""

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from google.protobuf.descriptor import Descriptor

from tltpy.spec import comments, values
from tltpy.spec.limits import describe
from tltpy.spec.schema import FieldInfo, fields

_INDEX = re.compile(r"\[[^\]]*\]")


@dataclass(frozen=True)
class Entry:
    """One field, or a whole kind of file under the path "". All texts may be empty but `path` and `type` of a field.

    `choices`: (value, comment) of an enum. `fields`: of a section, without fields of their own. `places`: further paths
    at which the very same field stands.
    """

    path: str
    name: str
    type: str
    default: str = ""
    limits: str = ""
    required: bool = False
    ignored: str = ""
    oneof: str = ""
    comment: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    fields: "tuple[Entry, ...]" = ()
    places: tuple[str, ...] = ()


def walk(section: Descriptor, above: str = "", within: tuple[str, ...] = ()) -> Iterator[tuple[str, FieldInfo]]:
    """(path, field) of every field below a message, in the order of the proto files."""
    for name, info in fields(section).items():
        path = f"{above}.{name}" if above else name
        yield path, info
        if info.section is not None and not info.is_map and info.section.full_name not in within:
            yield from walk(info.section, path, (*within, info.section.full_name))


def find(root: Descriptor, words: str) -> Mapping[str, list[str]]:
    """Full name of a field -> its paths, of every field that the words may mean.

    The words: a whole path, its end, or a bare name; positions in lists are left out.
    """
    wanted = _INDEX.sub("", words).strip(".")
    found: dict[str, list[str]] = {}
    for path, info in walk(root):
        if path == wanted:
            twins = [other for other, same in walk(root) if other != path and same.full_name == info.full_name]
            return {info.full_name: [path, *twins]}
        if path.endswith(f".{wanted}"):
            found.setdefault(info.full_name, []).append(path)
    return found


def near(root: Descriptor, words: str) -> list[str]:
    """Paths that look like the words, the best first."""
    wanted = _INDEX.sub("", words).strip(".")
    paths = [path for path, _ in walk(root)]
    close = difflib.get_close_matches(wanted, paths, n=2, cutoff=0.8)
    last: dict[str, str] = {}
    for path in paths:
        last.setdefault(path.rpartition(".")[2], path)
    close += [last[name] for name in difflib.get_close_matches(wanted.rpartition(".")[2], last, n=2, cutoff=0.7)]
    return list(dict.fromkeys(close))[:3]


def entry(root: Descriptor, path: str, places: tuple[str, ...] = ()) -> Entry:
    """The field at a path that exists; "" is the file itself."""
    if not path:
        inner = tuple(_entry(name, info) for name, info in fields(root).items())
        return Entry("", root.name, "file", comment=comments.comment(root.full_name), fields=inner)
    info = dict(walk(root))[path]
    return _entry(path, info, inner=True, places=places)


def type_of(info: FieldInfo) -> str:
    """In words: float, list of texts, map from text to float, section AdamConfig."""
    words = {"int": "whole number", "float": "number", "bool": "true or false", "text": "text"}
    if info.key and info.value:
        return f"map from {type_of(info.key)} to {type_of(info.value)}"
    if info.kind == "section":
        assert info.section is not None
        name = f"section {info.section.name}"
        return f"{name}, may be given several times" if info.repeated else name
    word = words.get(info.kind) or "one of " + ", ".join(info.choices)
    return f"{word}, may be given several times" if info.repeated else word


def default_of(info: FieldInfo) -> str:
    """As it would be written in a spec; "" where the schema names none."""
    if info.default is None or info.kind == "section":
        return ""
    if info.kind == "text":
        return values.literal(info.default)
    if info.kind == "bool":
        return "true" if info.default else "false"
    if info.kind == "float":
        return values.shortest(info.default, info.single)
    if info.kind == "enum":
        return next(name for name, number in info.choices.items() if number == info.default)
    return str(info.default)


def _entry(path: str, info: FieldInfo, *, inner: bool = False, places: tuple[str, ...] = ()) -> Entry:
    section = info.section if not info.is_map else None
    comment = comments.comment(info.full_name)
    if inner and section is not None:
        about = comments.comment(section.full_name)
        comment = _joined(comment, about)
    below = fields(section) if inner and section is not None else {}
    return Entry(
        path=path,
        name=info.name,
        type=type_of(info),
        default=default_of(info),
        limits=describe(info.limits),
        required=info.limits.required,
        ignored=info.limits.ignored,
        oneof=info.oneof,
        comment=comment,
        choices=tuple((name, comments.comment(f"{info.enum}.{name}")) for name in info.choices),
        fields=tuple(_entry(f"{path}.{name}", each) for name, each in below.items()),
        places=places,
    )


def _joined(comment: str, about: str) -> str:
    """The comment of a section and that of its message, which often say the same."""
    first, second = comment.rstrip(".").lower(), about.rstrip(".").lower()
    return about if first in second else comment if second in first else f"{comment} {about}"
