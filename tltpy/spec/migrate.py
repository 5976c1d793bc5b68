"""A spec as somebody wrote it -> the same spec in the current form, token by token: comments and layout stay.

The current form is what protobuf's own reader takes for the same message, in one spelling: the present name of each
section, braces without a colon, no separators, double quotes, true and false, names of enums, whole numbers without a
point, each value once.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from google.protobuf.descriptor import Descriptor

from tltpy.spec import values
from tltpy.spec.lex import Token, tokens
from tltpy.spec.schema import FieldInfo, fields
from tltpy.spec.tree import Scalar
from tltpy.spec.where import child

_ODD = re.compile(r"#[^\n]*|(?:[^\S\n \t]|[\ufeff\u200b])+")
_QUOTE = re.compile(r'\\.|"')
_CLOSERS = {"{": "}", "<": ">", "[": "]"}


@dataclass(frozen=True)
class Change:
    """In `line` (from 1) of the old text."""

    line: int
    what: str


@dataclass(frozen=True)
class Migrated:
    """The new text, and what was changed, in the order of the file."""

    text: str
    changes: tuple[Change, ...]


def migrate(text: str, root: Descriptor, renamed: Mapping[str, str]) -> Migrated:
    """Of a text that loads as a message of `root`. `renamed`: path of a field -> its name now."""
    plain = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    walker = _Walker(plain, renamed)
    if text.startswith("\ufeff"):
        walker.changes.append(Change(1, "the byte-order mark is left out"))
    if "\r" in text:
        walker.changes.append(Change(1, "the lines end as everywhere else"))
    walker.section(root, "", "")
    walker.blanks()
    new = walker.edited()
    if not new.endswith("\n"):
        walker.changes.append(Change(plain.count("\n") + 1, "the last line ends"))
        new += "\n"
    ordered = sorted(dict.fromkeys(walker.changes), key=lambda change: change.line)
    return Migrated(new, tuple(ordered))


@dataclass
class _Given:
    """What one section holds so far: singular field -> where it stands in the text."""

    spans: dict[str, tuple[int, int, Token]] = field(default_factory=dict)


class _Walker:
    def __init__(self, text: str, renamed: Mapping[str, str]) -> None:
        self.text = text
        self.renamed = renamed
        self.tokens = tokens(text)
        self.index = 0
        self.edits: list[tuple[int, int, str]] = []
        self.gone: list[tuple[int, int]] = []
        self.changes: list[Change] = []

    @property
    def token(self) -> Token:
        return self.tokens[self.index]

    def take(self) -> Token:
        token = self.tokens[self.index]
        self.index += token.kind != "end"
        return token

    def edit(self, start: int, stop: int, new: str, token: Token, what: str) -> None:
        if self.text[start:stop] != new:
            self.edits.append((start, stop, new))
            self.changes.append(Change(token.position.line, what))

    def section(self, section: Descriptor, path: str, closer: str) -> None:
        """The fields up to and with the closing mark."""
        given = _Given()
        while self.token.kind != "end":
            token = self.token
            if token.kind == closer:
                self.take()
                return self.edit(token.start, token.stop, "}", token, "`<` and `>` are `{` and `}`")
            if token.kind == "word":
                self.field(section, path, given)
            else:
                self.separator(self.take())
        return None

    def separator(self, token: Token) -> None:
        self.edit(token.start, token.stop, "", token, f"`{token.text}` between fields is left out")

    def field(self, section: Descriptor, path: str, given: _Given) -> None:
        name = self.take()
        info = fields(section)[name.text]
        here = child(path, name.text)
        if here in self.renamed:
            self.edit(name.start, name.stop, self.renamed[here], name, f"{name.text} is {self.renamed[here]} now")
        colon = self.take() if self.token.kind == ":" else None
        value = self.token
        if value.kind in ("{", "<"):
            self.edit(name.stop, value.start, " ", name, f"no colon before the section {name.text}" if colon
                      else f"one blank before the section {name.text}")  # fmt: skip
            self.subsection(info, here)
        else:
            if colon is None:  # before a list
                self.edit(name.stop, value.start, ": ", name, f"a colon after {name.text}")
            else:
                self.gaps(name, colon, value)
            if value.kind == "[":
                self.list(info, here)
            else:
                self.scalar(info)
        if not info.repeated:
            self.again(section, info, given, name)

    def gaps(self, name: Token, colon: Token, value: Token) -> None:
        """`name: value`, unless the value stands on a line of its own."""
        if colon.start > name.stop:
            self.edit(name.stop, colon.start, "", name, f"no blank before the colon of {name.text}")
        if colon.stop == value.start:
            self.edit(colon.stop, value.start, " ", name, f"a blank after the colon of {name.text}")

    def subsection(self, info: FieldInfo, path: str) -> None:
        opener = self.take()
        self.edit(opener.start, opener.stop, "{", opener, "`<` and `>` are `{` and `}`")
        assert info.section is not None
        self.section(info.section, path, _CLOSERS[opener.kind])

    def list(self, info: FieldInfo, path: str) -> None:
        """[a, b]: a comma between two values and nowhere else."""
        self.take()
        comma: Token | None = None
        first = True
        while self.token.kind != "]":
            token = self.token
            if token.kind == ",":
                if comma is not None or first:
                    self.separator(token)
                else:
                    comma = token
                self.take()
                continue
            if comma is None and not first:
                self.edit(token.start, token.start, ", ", token, "a comma between the values of a list")
            if token.kind in ("{", "<"):
                self.subsection(info, path)
            else:
                self.scalar(info)
            comma, first = None, False
        if comma is not None:
            self.edit(comma.start, comma.stop, "", comma, "no comma before the end of a list")
        self.take()

    def scalar(self, info: FieldInfo) -> None:
        token = self.take()
        if token.kind == "text":
            self.quoted(token)
            while self.token.kind == "text":
                self.quoted(self.take())
            return
        last = self.take() if token.kind == "-" else token
        text = token.text + last.text if last is not token else token.text
        new = spelled(info, Scalar(token.position, last.kind, text))
        self.edit(token.start, last.stop, new, token, f"{self.text[token.start : last.stop]} is written {new}")

    def quoted(self, token: Token) -> None:
        if token.text.startswith("'"):
            inner = _QUOTE.sub(lambda match: {'"': '\\"', "\\'": "'"}.get(match[0], match[0]), token.text[1:-1])
            self.edit(token.start, token.stop, f'"{inner}"', token, f"{token.text} in double quotes")

    def again(self, section: Descriptor, info: FieldInfo, given: _Given, name: Token) -> None:
        """Of a value given twice, and of two that exclude each other, the first is left out: the last one counts."""
        rivals = [other for other in given.spans if fields(section)[other].oneof == info.oneof != ""]
        if info.kind != "section" and info.name in given.spans:
            rivals.append(info.name)
        for other in dict.fromkeys(rivals):
            if other == info.name and info.kind == "section":
                continue
            start, stop, token = given.spans.pop(other)
            self.gone.append((start, stop))
            self.changes.append(Change(token.position.line, f"{other} is left out: line {name.position.line} counts"))
        given.spans[info.name] = (name.start, self.tokens[self.index - 1].stop, name)

    def blanks(self) -> None:
        """Blanks of web pages, outside of comments and strings."""
        stop = 0
        for token in self.tokens:
            for match in _ODD.finditer(self.text, stop, token.start):
                if not match[0].startswith("#"):
                    self.edit(match.start(), match.end(), " ", token, "an odd blank is a plain one")
            stop = token.stop

    def edited(self) -> str:
        """The text with all edits; those within what is left out are void."""
        gone = [self.whole_line(start, stop) for start, stop in self.gone]
        kept = [each for each in self.edits if not any(start <= each[0] < stop for start, stop in gone)]
        parts, at = [], 0
        for start, stop, new in sorted([*kept, *((start, stop, "") for start, stop in gone)]):
            if start >= at:
                parts += [self.text[at:start], new]
                at = stop
        return "".join([*parts, self.text[at:]])

    def whole_line(self, start: int, stop: int) -> tuple[int, int]:
        """With the line end, where nothing else stands in the line."""
        before = self.text.rfind("\n", 0, start) + 1
        after = self.text.find("\n", stop)
        if not self.text[before:start].strip() and after >= 0 and not self.text[stop:after].strip():
            return before, after + 1
        return start, stop


def spelled(info: FieldInfo, scalar: Scalar) -> str:
    """A number or a word in the one spelling of the current form."""
    read = values.read(info, scalar)
    if info.kind == "bool":
        return "true" if read else "false"
    if info.kind == "enum":
        return next(name for name, number in info.choices.items() if number == read)
    text = scalar.text
    if info.kind == "int":
        return str(read) if any(mark in text for mark in ".eE") and "x" not in text.lower() else text
    if "x" in text.lower():
        return values.shortest(float(read), info.single)
    return text.rstrip("fF") if scalar.kind == "number" else text
