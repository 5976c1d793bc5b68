"""What all tests share: the executables in a subprocess, the real data where there are any, a clean environment."""

import contextlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pytest

pytest_plugins = ["shapes"]

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


@pytest.fixture(scope="session")
def argv() -> Callable[[str], list[str]]:
    """argv("tlt-train") is the beginning of the command line that runs an executable of this checkout."""
    return command_of


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


@pytest.fixture(scope="session")
def here() -> Cli:
    """Like `cli`, in this process: much faster where torch is needed. here("tlt-infer", ..., env={...}, check=4)."""
    return run_here


def run_here(
    executable: str, *args: object, env: dict[str, str | None] | None = None, check: int | None = None
) -> "subprocess.CompletedProcess[str]":
    arguments = [str(argument) for argument in args]
    before, handler = dict(os.environ), signal.getsignal(signal.SIGTERM)
    streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2)]
    code = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [executable, *arguments])
        for name, value in (env or {}).items():
            patch.delenv(name, raising=False) if value is None else patch.setenv(name, value)
        try:
            with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
                import_module(f"tltpy.cli.{module_of(executable)}").main()
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            signal.signal(signal.SIGTERM, handler)
            os.environ.clear()
            os.environ.update(before)
    out, err = (stream.buffer.getvalue().decode() for stream in streams)
    done = subprocess.CompletedProcess([executable, *arguments], code, out, err)
    assert check is None or code == check, f"{executable} {' '.join(arguments)}\nexit code {code}\n{out}\n{err}"
    return done


def command_of(executable: str) -> list[str]:
    """The argv that runs a console script of this checkout."""
    return [sys.executable, "-c", f"from tltpy.cli.{module_of(executable)} import main; main()"]


def module_of(executable: str) -> str:
    return executable.removeprefix("tlt-").replace("-", "_").replace("converter", "convert")
