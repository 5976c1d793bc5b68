"""The errors a user can mend. Raised where the fact is known, printed by cli alone.

TltError (exit code 2)
+-- UsageError          2   the command line: a flag, an output that exists
+-- SpecError           3   the spec file; holds every problem found in it
+-- DataError           4   data that is missing, unreadable or wrong; a disk that is full
+-- ModelFileError      5   a model file
|   +-- WrongKeyError       the key does not open it
|   +-- DamagedFileError    its bytes were changed
|   +-- TruncatedFileError  its end is missing
|   +-- ForeignFileError    it is no file of ours (a genuine NVIDIA file, something else)
+-- BackendError        6   a library or device that is not there
+-- QualityError        7   a result outside the tolerance asked for
+-- Interrupted       130   Ctrl-C        (143: SIGTERM)

Anything else that is raised is a bug and ends with a traceback and exit code 1.
"""


class TltError(Exception):
    """Something the user can mend: one message, and hints that say how."""

    exit_code = 2

    def __init__(self, message: str, *hints: str) -> None:
        super().__init__(message)
        self.message = message
        self.hints = hints

    def lines(self) -> list[tuple[str, str]]:
        """What to print, in order: ("error" | "hint", text)."""
        return [("error", self.message), *(("hint", hint) for hint in self.hints)]


class UsageError(TltError):
    exit_code = 2


class SpecError(TltError):
    """All problems of one spec; each is a (message, hints) pair, the message starting with file:line:column."""

    exit_code = 3

    def __init__(self, problems: list[tuple[str, tuple[str, ...]]]) -> None:
        super().__init__(problems[0][0] if problems else "spec is invalid", *(problems[0][1] if problems else ()))
        self.problems = problems

    def lines(self) -> list[tuple[str, str]]:
        return [line for message, hints in self.problems for line in TltError(message, *hints).lines()]


class DataError(TltError):
    exit_code = 4


class ModelFileError(TltError):
    exit_code = 5


class WrongKeyError(ModelFileError):
    pass


class DamagedFileError(ModelFileError):
    pass


class TruncatedFileError(ModelFileError):
    pass


class ForeignFileError(ModelFileError):
    pass


class BackendError(TltError):
    exit_code = 6


class QualityError(TltError):
    exit_code = 7


class Interrupted(TltError):
    """The user (130) or the system (143) asked the step to stop; what was done so far is on disk."""

    def __init__(self, message: str, *hints: str, exit_code: int = 130) -> None:
        super().__init__(message, *hints)
        self.exit_code = exit_code
