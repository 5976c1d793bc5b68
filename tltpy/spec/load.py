"""A spec file -> a checked message that knows where each of its fields stands.

The file is never written to. All problems of a file come in one SpecError, in the order of the file.
"""

import difflib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from google.protobuf.message import Message

from tltpy.errors import SpecError
from tltpy.spec import limits
from tltpy.spec.bind import Bound, bind
from tltpy.spec.kinds import foreign, language
from tltpy.spec.limits import Finding
from tltpy.spec.parse import parse
from tltpy.spec.tree import FILE, Position, Problem
from tltpy.spec.where import Positions

MAX_BYTES = 16 * 2**20

M = TypeVar("M", bound=Message)


@dataclass(frozen=True)
class Spec(Generic[M]):
    """A message read from `path`. `warnings`: located texts, in the order of the file."""

    message: M
    path: str
    warnings: tuple[str, ...] = ()
    positions: Positions = field(default_factory=Positions, repr=False)

    def locate(self, field_path: str) -> str:
        """file:line:column of a field; where it is not in the file, of the section it would be in; else the file."""
        return _located(self.path, self.positions.nearest(field_path))

    def refuse(self, findings: list[Finding]) -> list[str]:
        """The located texts of the warnings; SpecError with every error among the findings."""
        ordered = _ordered([(_problem(finding, self.positions), finding.warning) for finding in findings])
        errors = [problem for problem, warning in ordered if not warning]
        if errors:
            raise _refusal(self.path, errors)
        return [_warning(self.path, problem) for problem, warning in ordered if warning]


def load(path: str | Path, message_class: type[M], *, expand: bool = True) -> Spec[M]:
    """SpecError where there is no file, where it is no text, and with everything that is wrong in it.

    Environment variables in its texts become their values, unless they are not to `expand`.
    """
    text = text_of(path)
    if not any(line.partition("#")[0].strip("\ufeff \t") for line in text.splitlines()):
        raise SpecError([(f"{path}: the spec is empty", ())])
    return parse_text(text, message_class, str(path), expand=expand)


def parse_text(text: str, message_class: type[M], name: str = "<text>", *, expand: bool = True) -> Spec[M]:
    """As `load`; `name` stands for the file in the messages. An empty text is an empty message."""
    parsed = parse(text)
    message = message_class()
    stranger = language(text, parsed) or foreign(parsed, message.DESCRIPTOR)
    if stranger is not None:
        raise _refusal(name, [stranger])
    bound = bind(parsed, message, expand=expand)
    found = _findings(message, bound)
    problems = [*bound.problems, *(_problem(each, bound.positions) for each in found if not each.warning)]
    if problems:
        raise _refusal(name, [problem for problem, _ in _ordered([(each, False) for each in problems])])
    warnings = [*bound.warnings, *(_problem(each, bound.positions) for each in found)]
    texts = tuple(_warning(name, problem) for problem, _ in _ordered([(each, True) for each in warnings]))
    return Spec(message, name, texts, bound.positions)


def text_of(path: str | Path) -> str:
    """What stands in a file; SpecError where there is none and where it is no text."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise SpecError([(f"{path}: no such file", _neighbours(path))]) from None
    except IsADirectoryError:
        raise SpecError([(f"{path}: this is a folder, not a spec file", _neighbours(path / "x.txt"))]) from None
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise SpecError([(f"{path}: cannot be read: {reason}", ())]) from None
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise SpecError([(f"{path}: this is UTF-16 text", ("save the file as UTF-8",))])
    if b"\0" in raw or len(raw) > MAX_BYTES:
        hint = "a model file is named with -m, the spec is the text file that describes the experiment"
        raise SpecError([(f"{path}: this is a binary file, not a spec", (hint,))])
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        head = raw[: error.start]
        place = Position(head.count(b"\n") + 1, len(head.rpartition(b"\n")[2].decode()) + 1)
        message = f"{path}:{place}: the byte 0x{raw[error.start]:02x} is not UTF-8 text"
        raise SpecError([(message, ("save the file as UTF-8",))]) from None


def _findings(message: Message, bound: Bound) -> list[Finding]:
    found = list(limits.breaches(message))
    if any(problem.syntax for problem in bound.problems):
        return found  # what seems to be missing may stand in the part that was not understood
    return found + [each for each in limits.missing(message) if each.path not in bound.excused]


def _neighbours(path: Path) -> tuple[str, ...]:
    """Hints at files of a similar name in the same folder."""
    try:
        texts = sorted(file.name for file in path.parent.iterdir() if file.suffix == path.suffix and file.is_file())
    except OSError:
        return ()
    near = difflib.get_close_matches(path.name, texts, n=1) or (texts if len(texts) == 1 else [])
    return tuple(f"did you mean {path.parent / name}?" for name in near)


def _problem(finding: Finding, positions: Positions) -> Problem:
    return Problem(positions.nearest(finding.path), finding.message, finding.hints)


def _ordered(problems: list[tuple[Problem, bool]]) -> list[tuple[Problem, bool]]:
    return sorted(problems, key=lambda pair: pair[0].position)


def _located(name: str, position: Position) -> str:
    return name if position == FILE else f"{name}:{position}"


def _warning(name: str, problem: Problem) -> str:
    return "; ".join((f"{_located(name, problem.position)}: {problem.message}", *problem.hints))


def _refusal(name: str, problems: list[Problem]) -> SpecError:
    return SpecError([(f"{_located(name, each.position)}: {each.message}", each.hints) for each in problems])
