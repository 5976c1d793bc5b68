"""Syntax tree -> message. Every problem is gathered; what is sound of the file is bound all the same."""

import difflib
from dataclasses import dataclass, field, replace
from typing import Any

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from tltpy.spec import values
from tltpy.spec.parse import Parsed
from tltpy.spec.schema import FieldInfo, fields, paths
from tltpy.spec.tree import Block, Field, Position, Problem, Scalar, Value, quoted
from tltpy.spec.where import Positions, child, entry

MAX_PLACES = 3  # sections named in a hint


@dataclass
class Bound:
    """`excused`: paths of fields that are in the file, but not in a form to bind: nobody should call them missing."""

    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    positions: Positions = field(default_factory=Positions)
    excused: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class _Section:
    """A message being filled, where it is, and the sections around it."""

    message: Any
    path: str
    outer: "_Section | None"
    given: dict[str, Position] = field(default_factory=dict)  # singular fields and oneofs seen so far

    @property
    def descriptor(self) -> Descriptor:
        descriptor: Descriptor = self.message.DESCRIPTOR
        return descriptor


def bind(parsed: Parsed, message: Message, *, expand: bool = True) -> Bound:
    """Fills `message` from the tree; the problems of the parser are among those returned.

    `expand`: environment variables become their values.
    """
    binder = _Binder(parsed, message.DESCRIPTOR, expand)
    binder.section(_Section(message, "", None), parsed.root)
    return binder.bound


class _Binder:
    def __init__(self, parsed: Parsed, root: Descriptor, expand: bool) -> None:
        self.expand = expand
        self.bound = Bound(problems=list(parsed.problems))
        self.unclosed = parsed.unclosed
        self.root = root
        self.listed: set[str] = set()  # types whose fields a hint has named
        self.seen: dict[str, dict[str, Position]] = {}  # section -> what was given in it

    def problem(self, position: Position, message: str, *hints: str) -> None:
        self.bound.problems.append(Problem(position, message, hints))

    def section(self, section: _Section, block: Block) -> None:
        known = fields(section.descriptor)
        for item in block.fields:
            info = known.get(item.name)
            if info is not None:
                self.field(section, info, item)
            else:
                self.unknown(section, item)

    def unknown(self, section: _Section, item: Field) -> None:
        if self.escapes(section.outer, item):
            return
        near = difflib.get_close_matches(item.name, fields(section.descriptor), n=1, cutoff=0.7)
        self.bound.excused.update(child(section.path, name) for name in near)
        hints = [f'did you mean "{name}"?' for name in near]
        places = [place for place in paths(self.root).get(item.name, ()) if place != section.path]
        if places:
            shown = [place or "the top level of the file" for place in places[:MAX_PLACES]]
            hints.append(f'"{item.name}" belongs in {values.choice(shown)}')
        if not hints and section.descriptor.full_name not in self.listed:
            self.listed.add(section.descriptor.full_name)
            hints.append(f"{section.descriptor.name} has {', '.join(fields(section.descriptor))}")
        self.problem(item.position, f'unknown field "{item.name}" in {section.descriptor.name}', *hints)

    def escapes(self, section: _Section | None, item: Field) -> bool:
        """Whether a brace is missing further up and the field was meant for `section` or one around it."""
        while self.unclosed and section is not None:
            info = fields(section.descriptor).get(item.name)
            if info is not None:
                self.missing_brace(item)
                self.field(section, info, item)
                return True
            section = section.outer
        return False

    def missing_brace(self, item: Field) -> None:
        """Says once, at the parser's problem, where the brace should be."""
        for index, problem in enumerate(self.bound.problems):
            if problem.syntax and "is never closed" in problem.message and not problem.hints:
                hint = f'it seems to be missing before "{item.name}" at {item.position}'
                self.bound.problems[index] = replace(problem, hints=(hint,))

    def field(self, section: _Section, info: FieldInfo, item: Field) -> None:
        path = child(section.path, info.name)
        if item.broken:
            self.bound.excused.add(path)
        if not info.repeated:
            if item.is_list:
                self.bound.excused.add(path)
                return self.problem(item.position, f'"{info.name}" takes one value, not a list')
            self.again(section, info, item)
        for value in item.values:
            if info.is_map:
                self.entry(section, info, item, value)
            elif info.kind == "section":
                self.subsection(section, info, item, value)
            else:
                self.scalar(section, info, item, value)
        return None

    def again(self, section: _Section, info: FieldInfo, item: Field) -> None:
        """A field given before, or another of its oneof: as in TLT, which merged: the last one counts, with a word."""
        before = section.given.get(info.name)
        if before is not None:
            follows = "they are read as one" if info.kind == "section" else "the last one counts"
            self.warn(item, f'"{info.name}" is given twice, at {before} and here: {follows}')
        rival = next((name for name in section.given if name != info.name and info.oneof
                      and fields(section.descriptor)[name].oneof == info.oneof), None)  # fmt: skip
        if rival is not None:
            both = f'"{info.name}" and "{rival}" (at {section.given.pop(rival)}) exclude each other'
            self.warn(item, f"{both}: the last one counts")
        section.given[info.name] = item.position

    def warn(self, item: Field, message: str) -> None:
        self.bound.warnings.append(Problem(item.position, message))

    def scalar(self, section: _Section, info: FieldInfo, item: Field, value: Value) -> None:
        path = child(section.path, info.name)
        target = getattr(section.message, info.name) if info.repeated else None
        if info.repeated:
            self.bound.positions.note(path, item.position)
        else:
            self.bound.positions.move(path, value.position)
        read = self.read(info, item, value)
        if read is None:
            self.bound.excused.add(path)
        elif target is None:
            setattr(section.message, info.name, read)
        else:
            self.bound.positions.note(f"{path}[{len(target)}]", value.position)
            target.append(read)

    def read(self, info: FieldInfo, item: Field, value: Value) -> Any:
        """None after a problem."""
        if isinstance(value, Block):
            return self.problem(item.position, f'"{info.name}" must be {values.expected(info)}, not a section')
        try:
            return values.read(info, value, expand=self.expand)
        except values.MismatchError as error:
            return self.problem(value.position, error.message, *error.hints)

    def subsection(self, section: _Section, info: FieldInfo, item: Field, value: Value) -> None:
        path = child(section.path, info.name)
        self.bound.positions.note(path, item.position)
        if isinstance(value, Scalar):
            self.bound.excused.add(path)
            hint = f"write {info.name} {{ ... }}"
            return self.problem(value.position, f'"{info.name}" must be a section, not {value}', hint)
        inner = getattr(section.message, info.name)
        if info.repeated:
            path = f"{path}[{len(inner)}]"
            # one list may hold several sections: each is found at its own brace
            self.bound.positions.note(path, value.position if item.is_list else item.position)
            inner = inner.add()
        else:
            inner.SetInParent()
        return self.section(_Section(inner, path, section, self.seen.setdefault(path, {})), value)

    def entry(self, section: _Section, info: FieldInfo, item: Field, value: Value) -> None:
        """One key and value of a map."""
        path = child(section.path, info.name)
        self.bound.positions.note(path, item.position)
        if isinstance(value, Scalar):
            self.bound.excused.add(path)
            hint = f"write {info.name} {{ key: ... value: ... }}"
            wrong = f'"{info.name}" must be a section with a key and a value, not {value}'
            return self.problem(value.position, wrong, hint)
        given = self.key_and_value(section, info, value)
        if given is None:
            self.bound.excused.add(path)
            return None
        key, content = given
        assert info.value
        target = getattr(section.message, info.name)
        place = entry(path, str(key))
        before = self.bound.positions.find(place)
        if before is not None:
            twice = f'the key {quoted(str(key))} of "{info.name}" is given twice, at {before} and here'
            self.warn(item, f"{twice}: the last one counts")
        self.bound.positions.note(place, item.position)
        if isinstance(content, Block) and info.value.kind == "section":
            target[key].Clear()
            return self.section(_Section(target[key], place, section), content)
        read = self.read(info.value, item, content)
        if read is None:
            self.bound.excused.add(path)
        else:
            target[key] = read
        return None

    def key_and_value(self, section: _Section, info: FieldInfo, block: Block) -> tuple[Any, Value] | None:
        """None after a problem."""
        assert info.key and info.value
        known = ("key", "value")
        given: dict[str, Field] = {}
        for item in block.fields:
            if item.name not in known and self.escapes(section, item):
                continue
            if item.name not in known:
                near = difflib.get_close_matches(item.name, known, n=1)
                hints = [f'did you mean "{name}"?' for name in near] or ["an entry of a map has key and value"]
                self.problem(item.position, f'unknown field "{item.name}" in an entry of "{info.name}"', *hints)
            elif item.name in given:
                self.problem(item.position, f'"{item.name}" is given twice: at {given[item.name].position} and here',
                             f"each entry is a section {info.name} {{ ... }} of its own")  # fmt: skip
            else:
                given[item.name] = item
        for name in known:
            if name not in given and (self.unclosed or all(item.name in known for item in block.fields)):
                self.problem(block.position, f'the entry of "{info.name}" has no {name}')
        if len(given) < 2 or any(len(item.values) != 1 for item in given.values()):
            return None
        content = given["value"].values[0]
        if info.value.kind == "section" and isinstance(content, Scalar):
            self.problem(content.position, f'the value of "{info.name}" must be a section, not {content}')
            return None
        key = self.read(info.key, given["key"], given["key"].values[0])
        return None if key is None else (key, content)
