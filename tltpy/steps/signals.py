"""Ctrl-C and SIGTERM while a step works: noted, and obeyed where its state can be saved."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from tltpy.errors import Interrupted


class Signals:
    """`caught` is the signal that asked to stop, once one did."""

    def __init__(self) -> None:
        self.caught: int | None = None

    @contextmanager
    def noted(self) -> Iterator[None]:
        """While inside, SIGINT and SIGTERM are noted; a second one ends at once."""
        before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, signum: int, frame: object) -> None:
        if self.caught is not None:
            raise Interrupted("stopped in the middle of a step", "--resume goes on from the last saved state")
        self.caught = signum
