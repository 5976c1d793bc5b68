"""What all tests share: the executables in a subprocess, the real data where there are any, a clean environment."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OURS = ("TLT_", "TLTPY_", "DATA_BASE_PATH")
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_shared = Path(os.environ.get("TLTPY_SHARED") or ROOT.parent / "shared").absolute()

# before anything imports torch or numpy, and for every subprocess
os.environ.update(dict.fromkeys(THREADS, "1"))
for _name in [name for name in os.environ if name.startswith(OURS)]:
    del os.environ[_name]
os.environ.update(NO_COLOR="1", PYTHONPATH=os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])))

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """What a test changes in the environment or in torch's threads does not reach the next one."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The root of the real data; the test is skipped where there are none."""
    if not (_shared / "data").is_dir():
        pytest.skip("no real data here (TLTPY_SHARED names their folder)")
    return _shared


@pytest.fixture(scope="session")
def cli() -> Cli:
    """cli("tlt-train", "yolo", "-e", path, env={...}, check=0) runs an executable and returns the finished process.

    `check`: the exit code that is expected. `env`: changes to the environment; None removes a variable.
    """
    return run_executable


def run_executable(
    executable: str,
    *args: object,
    env: dict[str, str | None] | None = None,
    check: int | None = None,
    cwd: Path | None = None,
    timeout_s: float = 600,
) -> "subprocess.CompletedProcess[str]":
    settings = {**os.environ, **(env or {})}
    done = subprocess.run(
        [*command_of(executable), *map(str, args)],
        env={name: value for name, value in settings.items() if value is not None},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )
    shown = f"{executable} {' '.join(map(str, args))}\nexit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert check is None or done.returncode == check, shown
    return done


def command_of(executable: str) -> list[str]:
    """The argv that runs a console script of this checkout."""
    module = executable.removeprefix("tlt-").replace("-", "_").replace("converter", "convert")
    return [sys.executable, "-c", f"from tltpy.cli.{module} import main; main()"]
