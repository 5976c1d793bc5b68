"""Protobuf text -> syntax tree, by recursive descent.

More is accepted than the standard asks for: whatever was published as a TLT spec. After a problem reading goes on at
the next line or field, so that one run shows them all.
"""

import re
from contextlib import suppress
from dataclasses import dataclass, field

from tltpy.spec.lex import Token, tokens
from tltpy.spec.tree import Block, Field, Position, Problem, Scalar, quoted

MAX_DEPTH = 60
MAX_PROBLEMS = 20

_CLOSERS = {"{": "}", "<": ">", "[": "]"}
_TYPOGRAPHIC = {"\u201c": '"', "\u201d": '"', "\u2018": "'", "\u2019": "'", "\uff1a": ":", "\uff0c": ",", "\uff1b": ";",
                "\uff5b": "{", "\uff5d": "}", "\u2013": "-", "\u2212": "-", "\uff03": "#"}  # fmt: skip
_HEX = "[0-9a-fA-F]"
_ESCAPE = re.compile(rf"\\(?:([abfnrtv\\'\"?])|([0-7]{{1,3}})|[xX]({_HEX}{{1,2}})|u({_HEX}{{4}})|U({_HEX}{{8}})|(.))")
_BARE = re.compile(r"(?:\$\{\w*\}|[^\s,;{}#\]])+")
_CONTROLS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


@dataclass
class Parsed:
    """`unclosed`: a brace is missing somewhere. `valueless`: sections without braces, as YAML has them."""

    root: Block
    problems: list[Problem] = field(default_factory=list)
    unclosed: bool = False
    valueless: int = 0


def parse(text: str) -> Parsed:
    """Never raises for any text."""
    return _Parser(text).run()


class _StopReadingError(Exception):
    pass


class _Parser:
    def __init__(self, text: str) -> None:
        whole = text.encode(errors="replace").decode()  # half a surrogate pair is no character
        self.text = whole.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
        self.tokens = tokens(self.text)
        self.index = 0
        self.parsed = Parsed(Block(Position(1, 1)))

    def run(self) -> Parsed:
        with suppress(_StopReadingError):
            self.block(self.parsed.root, None, 0)
        return self.parsed

    @property
    def token(self) -> Token:
        return self.tokens[self.index]

    def take(self) -> Token:
        token = self.tokens[self.index]
        if token.kind != "end":
            self.index += 1
        return token

    def problem(self, position: Position, message: str, *hints: str) -> None:
        self.parsed.problems.append(Problem(position, message, hints, syntax=True))
        if len(self.parsed.problems) >= MAX_PROBLEMS:
            rest = "the rest of the file was not read: there are too many errors"
            self.parsed.problems.append(Problem(self.token.position, rest, (), syntax=True))
            raise _StopReadingError

    def block(self, block: Block, opener: Token | None, depth: int, name: str = "") -> None:
        """Reads the fields of the section `name`, up to and with the closing mark."""
        if depth > MAX_DEPTH:
            self.problem(block.position, f"sections are nested more than {MAX_DEPTH} deep")
            raise _StopReadingError
        while True:
            token = self.token
            if token.kind == "word":
                self.field(block, depth)
            elif token.kind in (",", ";"):
                self.take()
            elif token.kind in ("}", ">") and opener is not None:
                self.close(opener)
                return
            elif token.kind == "}":
                self.problem(self.take().position, "a `}` too many: no section is open here")
            elif token.kind == "end":
                if opener is not None:
                    self.unclosed(opener, name)
                return
            else:
                self.unexpected(token)

    def close(self, opener: Token) -> None:
        token = self.take()
        if token.kind != _CLOSERS[opener.kind]:
            wanted = f"expected `{_CLOSERS[opener.kind]}` to close the `{opener.text}` at {opener.position}"
            self.problem(token.position, f"{wanted}, found {token}")

    def unclosed(self, opener: Token, name: str) -> None:
        # only the innermost: the missing brace may have shifted all outer ones
        if not self.parsed.unclosed:
            self.parsed.unclosed = True
            missing = f"a `{_CLOSERS[opener.kind]}` is missing"
            self.problem(opener.position, f'the `{opener.text}` of "{name}" is never closed: {missing}')

    def unexpected(self, token: Token) -> None:
        if token.kind == "open":
            self.problem(token.position, "the closing quote is missing")
        elif token.kind == "text":
            hint = "field names are written without quotes"
            self.problem(token.position, f"expected a field name, found {token}", hint)
        else:
            self.problem(token.position, f"expected a field name, found {token}", *_character_hints(token, self.text))
        self.skip_line()

    def skip_line(self) -> None:
        """To the next line, over whole sections, but never over the end of the section that is open."""
        line, depth = self.take().position.line, 0
        while self.token.kind != "end" and (depth > 0 or self.token.position.line == line):
            if self.token.kind == "{":
                depth += 1
            elif self.token.kind == "}":
                if depth == 0:
                    return
                depth -= 1
            self.take()

    def field(self, block: Block, depth: int) -> None:
        name = self.take()
        field = Field(name.position, name.text)
        block.fields.append(field)
        colon = self.token.kind == ":"
        if colon:
            self.take()
        elif self.token.kind == "=":
            self.problem(self.take().position, f'expected `:` after "{name.text}", found `=`')
            colon = True
        token = self.token
        if token.kind == "[":
            field.is_list = True
            self.values(field, depth)
        elif token.kind in ("{", "<"):
            field.values.append(self.section(depth, field.name))
        elif self.has_no_value(name, token):
            self.no_value(field, colon)
        else:
            if not colon:
                self.problem(token.position, f'expected `:` between "{name.text}" and its value')
            self.scalar(field)

    def has_no_value(self, name: Token, token: Token) -> bool:
        if token.kind in ("end", "}", ">", ",", ";", ":", "=", "]"):
            return True
        following = self.tokens[min(self.index + 1, len(self.tokens) - 1)]
        elsewhere = token.position.line > name.position.line
        return elsewhere and (
            token.kind not in ("text", "number", "word", "-")
            or token.kind == "word"
            and following.kind in (":", "{", "<", "[")
        )

    def no_value(self, field: Field, colon: bool) -> None:
        field.broken = True
        # what follows is indented: somebody who is used to YAML
        section = self.token.kind == "word" and self.token.position.column > field.position.column
        self.parsed.valueless += colon and section
        hints = (f"a section is written {field.name} {{ ... }}",) if section else ()
        self.problem(field.position, f'"{field.name}" has no value', *hints)
        if self.token.kind in (":", "=", "]"):
            self.skip_line()

    def section(self, depth: int, name: str) -> Block:
        opener = self.take()
        block = Block(opener.position)
        self.block(block, opener, depth + 1, name)
        return block

    def values(self, field: Field, depth: int) -> None:
        """[a, b] of scalars or sections."""
        opener = self.take()
        while self.token.kind != "]":
            token = self.token
            if token.kind == "end":
                field.broken = True
                return self.unclosed(opener, field.name)
            if token.kind == ",":
                self.take()
            elif token.kind in ("{", "<"):
                field.values.append(self.section(depth, field.name))
            elif token.kind in ("text", "number", "word", "-"):
                self.scalar(field)
            else:
                field.broken = True
                self.problem(token.position, f'expected a value or `]` in the list "{field.name}", found {token}')
                if token.kind != "}":
                    self.skip_line()
                return None
        self.take()
        return None

    def scalar(self, field: Field) -> None:
        """One value; a string may be given in several pieces."""
        first = self.take()
        if first.kind == "text":
            return self.string(field, first)
        last, text = first, first.text
        if first.kind == "-" and self.token.kind in ("word", "number"):
            last = self.take()
            text += last.text
        bare = self.token.kind in ("other", "-", "open", ":") and self.token.start == last.stop
        if last.kind in ("word", "number") and not bare:
            field.values.append(Scalar(first.position, last.kind, text))
            return None
        field.broken = True
        if first.kind == "open":
            self.problem(first.position, f'the closing quote of "{field.name}" is missing')
            return None
        return self.bare(field, first)

    def bare(self, field: Field, first: Token) -> None:
        """A path or a pattern without quotes: everything up to the next blank."""
        match = _BARE.match(self.text, first.start)
        stop = max(first.stop, match.end() if match else 0)
        raw = self.text[first.start : stop]
        while self.token.kind != "end" and self.token.start < stop:
            self.take()
        hints = _character_hints(first, self.text) or (f"write {quoted(raw)}",)
        self.problem(first.position, f'the value of "{field.name}" must be in quotes: `{raw}`', *hints)

    def string(self, field: Field, first: Token) -> None:
        pieces, token = [], first
        while True:
            pieces.append(self.unescaped(token))
            if self.token.kind != "text":
                break
            token = self.take()
        try:
            text = b"".join(piece for piece in pieces if piece is not None).decode()
        except UnicodeDecodeError:
            self.problem(first.position, f'the escapes of "{field.name}" do not make UTF-8 text')
            pieces.append(None)
        if None in pieces:
            field.broken = True
        else:
            field.values.append(Scalar(first.position, "text", text))

    def unescaped(self, token: Token) -> bytes | None:
        """None where an escape is wrong. Bytes, as one character may be written as several of \\x or \\ooo."""
        raw = token.text[1:-1]
        if "\\" not in raw:
            return raw.encode()
        parts, last = [], 0
        for match in _ESCAPE.finditer(raw):
            try:
                parts += [raw[last : match.start()].encode(), _escaped(match)]
            except ValueError:
                at = Position(token.position.line, token.position.column + 1 + match.start())
                hint = "a backslash itself is written \\\\"
                self.problem(at, f"the escape `{ascii(match.group())[1:-1][1:]}` stands for no character", hint)
                return None
            last = match.end()
        return b"".join([*parts, raw[last:].encode()])


def _escaped(match: "re.Match[str]") -> bytes:
    """ValueError where it is no escape or no character."""
    control, octal, hexadecimal, short, long, wrong = match.groups()
    if control is not None:
        return _CONTROLS.get(control, control).encode()
    if octal is not None:
        return bytes([int(octal, 8)])
    if hexadecimal is not None:
        return bytes([int(hexadecimal, 16)])
    if wrong is not None:
        raise ValueError(wrong)
    return chr(int(short or long, 16)).encode()


def _character_hints(token: Token, text: str) -> tuple[str, ...]:
    plain = _TYPOGRAPHIC.get(token.text)
    if plain:
        return (f"a plain {plain} is needed: this character comes from a word processor or a web page",)
    if text.startswith(("//", "/*"), token.start):
        return ("comments start with #",)
    return ()
