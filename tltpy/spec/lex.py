"""Protobuf text -> tokens with positions, by one regular expression. The blanks of web pages (U+00A0) are blanks."""

import re
from typing import NamedTuple

from tltpy.spec.tree import Position

# open: a string without its end; other: a character that has no meaning outside strings
_TOKEN = re.compile(
    r"""
    (?P<newline>\n)
  | (?P<skip>[^\S\n]+|\#[^\n]*|[\ufeff\u200b]+)
  | (?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
  | (?P<open>["'][^\n]*)
  | (?P<word>[A-Za-z_]\w*)
  | (?P<number>\.?\d(?:[eE][+-](?=\d)|[\w.])*)
  | (?P<mark>[{}<>\[\]:,;=-])
  | (?P<other>.)
    """,
    re.VERBOSE | re.ASCII,
)
_BLANK = re.compile(r"[\s\ufeff\u200b]")


class Token(NamedTuple):
    """`kind`: text, open, word, number, other, end, or the mark itself. `start` and `stop` are offsets in the text."""

    kind: str
    text: str
    position: Position
    start: int
    stop: int

    def __str__(self) -> str:
        return "the end of the file" if self.kind == "end" else f"`{self.text}`"


def tokens(text: str) -> list[Token]:
    """Ends with a token of the kind "end". Line ends must be \\n."""
    found = []
    line, line_start = 1, 0
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or ""
        if kind == "skip":
            continue
        if kind == "newline":
            line, line_start = line + 1, match.end()
            continue
        word = match.group()
        if kind == "other" and _BLANK.match(word):
            continue
        start, stop = match.span()
        found.append(Token(word if kind == "mark" else kind, word, Position(line, start - line_start + 1), start, stop))
    found.append(Token("end", "", Position(line, len(text) - line_start + 1), len(text), len(text)))
    return found
