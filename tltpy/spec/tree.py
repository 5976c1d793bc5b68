"""The syntax tree of a protobuf text, and the problems found on the way. Lines and columns count from 1."""

from dataclasses import dataclass, field
from typing import NamedTuple

SHOWN_CHARACTERS = 60


class Position(NamedTuple):
    """Sorts as the file reads; (0, 0) is the file as a whole."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.line}:{self.column}"


FILE = Position(0, 0)


@dataclass(frozen=True, slots=True)
class Problem:
    """`syntax`: what follows in the file may have been misread."""

    position: Position
    message: str
    hints: tuple[str, ...] = ()
    syntax: bool = False


@dataclass(frozen=True, slots=True)
class Scalar:
    """`kind` is "text" (unescaped), "number" or "word"; a number or a word keeps its sign and its spelling."""

    position: Position
    kind: str
    text: str

    def __str__(self) -> str:
        short = self.text if len(self.text) <= SHOWN_CHARACTERS else self.text[:SHOWN_CHARACTERS] + "..."
        return quoted(short) if self.kind == "text" else short


@dataclass(slots=True)
class Block:
    """A section with its braces, or the whole file."""

    position: Position
    fields: "list[Field]" = field(default_factory=list)

    def __str__(self) -> str:
        return "a section"


Value = Scalar | Block


@dataclass(slots=True)
class Field:
    """`broken`: a value was there but could not be read; the problem has been reported."""

    position: Position
    name: str
    values: list[Value] = field(default_factory=list)
    is_list: bool = False
    broken: bool = False


_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def quoted(text: str) -> str:
    """A literal that reads as `text`; environment variables are not considered."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return (
        '"'
        + "".join(
            _ESCAPES.get(char) or (char if char >= " " and char != "\x7f" else f"\\{ord(char):03o}") for char in text
        )
        + '"'
    )
