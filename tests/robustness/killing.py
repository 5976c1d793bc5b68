"""Steps that are started quickly and killed at any moment: the side of the test."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Ended:
    """How a step ended: `code` is negative when a signal killed it."""

    code: int
    seconds: float
    output: str


class Zygote:
    """run(...) forks a step from a process in which everything is imported."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "zygote.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._line() == "ready"

    def run(
        self, executable: str, *arguments: object, kill_after_s: float | None = None, spare_bytes: int = 0
    ) -> Ended:
        """The step to its end, or to its death by SIGKILL; it may allocate `spare_bytes` more (0: no limit)."""
        order = {
            "executable": executable,
            "module": executable.removeprefix("tlt-").replace("-", "_"),
            "arguments": list(map(str, arguments)),
            "env": {"TLT_KEY": "key", "OMP_NUM_THREADS": "1"},
            "spare_bytes": spare_bytes,
            "log": str(self._log),
        }
        assert self._process.stdin
        started = time.monotonic()
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        pid = int(self._line())
        if kill_after_s is not None:
            time.sleep(kill_after_s)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(int(self._line()))
        return Ended(code, time.monotonic() - started, self._log.read_text(errors="replace"))

    def close(self) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._process.stdout.close()

    def _line(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline().strip()
