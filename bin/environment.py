"""What bin/environment asks of Python: does this one hold the dependencies, and make a virtual environment that does.

usage: environment.py holds [EXTRA]      exit code 0 when the Python that runs it holds every dependency
       environment.py make [EXTRA]       prints the Python of the environment, made or brought up to date where needed
       environment.py executables        prints shell functions for the executables that this Python's environment lacks
"""

import configparser
import fcntl
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parent.parent
WITHOUT_DEPENDENCIES = ROOT / "proto" / "requirements.txt"  # for the tests; see there
STATE = "tltpy.json"  # in the environment, what it was made for; empty while it is being made
SAID_EVERY_S = 30.0


def main(command: str, extra: str = "") -> int:
    if command == "holds":
        return not holds(extra)
    if command == "executables":
        print("\n".join(functions()))
        return 0
    place = Path(os.environ.get("TLTPY_VENV") or ROOT / ".venv").absolute()
    try:
        with lock(place):
            print(make(place, extra))
    except OSError as error:
        fail(f"{place}: {error.strerror}")
    except KeyboardInterrupt:
        return 130
    return 0


def holds(extra: str) -> bool:
    """Whether the running Python has every requirement, in a version that is allowed."""
    try:
        from packaging.requirements import Requirement
    except ImportError:  # tensorboard and pytest bring it: what lacks it is not complete
        return False
    for requirement in map(Requirement, requirements(extra)):
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            return False
        if not requirement.specifier.contains(version, prereleases=True):
            return False
    return True


def functions() -> Iterator[str]:
    """Shell code that defines each executable, unless the environment has those of this checkout."""
    if installed_here():
        return
    yield f"export PYTHONPATH={shlex.quote(str(ROOT))}${{PYTHONPATH:+:$PYTHONPATH}}"
    for line in settings()["options.entry_points"]["console_scripts"].strip().splitlines():
        name, target = line.split(" = ")
        module, function = target.split(":")
        yield f'{name}() {{ "$PYTHON" -c "from {module} import {function}; {function}()" "$@"; }}'


def make(place: Path, extra: str) -> Path:
    """The environment at `place`, complete for `extra`; returns its Python."""
    python = place / "bin" / "python3"
    dependencies = digest(str(place), *requirements(""))
    package = digest(str(ROOT), (ROOT / "setup.cfg").read_text())
    extras = {extra: digest(*requirements(extra), WITHOUT_DEPENDENCIES.read_text())}
    state = read_state(place)
    if state is None and any(place.iterdir()):
        fail(f"{place}: holds something else than an environment made here", "let TLTPY_VENV name another folder")
    if not state or state["dependencies"] != dependencies or not runs(python):
        create(place)
        state = {"dependencies": dependencies, "extras": {}, "package": ""}
    if state["package"] != package or not state["extras"].items() >= extras.items():
        write_state(place, {})  # what follows may break off
        install(place, python, extra)
        write_state(place, {**state, "package": package, "extras": state["extras"] | extras})
    return python


def settings() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, delimiters=("=",))
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def requirements(extra: str) -> list[str]:
    """The dependencies and those of an extra, as setup.cfg writes them."""
    text = settings()["options"]["install_requires"]
    if extra:
        text += settings()["options.extras_require"][extra]
    return [line.strip() for line in text.splitlines() if line.strip()]


def installed_here() -> bool:
    """Whether the running Python's tltpy is an editable install of this checkout."""
    try:
        origin = metadata.distribution("tltpy").read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        return False
    return origin is not None and json.loads(origin).get("url") == ROOT.as_uri()


@contextmanager
def lock(place: Path) -> Iterator[None]:
    """One at a time makes the environment; the lock goes with the process that holds it."""
    place.mkdir(parents=True, exist_ok=True)
    folder = os.open(place, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say(f"another run is making {place}: waiting for it")
        fcntl.flock(folder, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(folder)


def digest(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def read_state(place: Path) -> dict[str, Any] | None:
    """None: not ours. Empty: ours, and not complete."""
    try:
        state: dict[str, Any] = json.loads((place / STATE).read_text())
        return state
    except FileNotFoundError:
        return None


def write_state(place: Path, state: dict[str, Any]) -> None:
    sibling = place / (STATE + ".part")
    sibling.write_text(json.dumps(state))
    sibling.replace(place / STATE)


def runs(python: Path) -> bool:
    try:
        return subprocess.run([python, "-c", "import pip"], capture_output=True).returncode == 0
    except OSError:
        return False


def create(place: Path) -> None:
    """Makes the virtual environment, without packages; whatever the folder held before is removed."""
    if any(place.iterdir()):
        say(f"making {place} anew: the dependencies have changed, or it was not complete")
    else:
        say(f"making {place} (PyTorch alone is some gigabytes: this takes minutes, once)")
    write_state(place, {})
    for entry in place.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != STATE:
            entry.unlink()
    watch([sys.executable, "-m", "venv", str(place)], "the virtual environment")


def install(place: Path, python: Path, extra: str) -> None:
    pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
    watch([*pip, "--prefer-binary", "--editable", f"{ROOT}[{extra}]" if extra else str(ROOT)], "the packages")
    if extra == "test":
        watch([*pip, "--only-binary", ":all:", "--no-deps", "-r", str(WITHOUT_DEPENDENCIES)], "grpcio-tools")
    say(f"{place} is ready")


def watch(command: list[str], what: str) -> None:
    """Runs a command and shows only that it lives; all that it said, should it fail."""
    misleading = ("PYTHONPATH", "PYTHONHOME", "PIP_USER", "PIP_TARGET", "PIP_PREFIX")
    env = {key: value for key, value in os.environ.items() if key not in misleading}
    lines: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env) as process:
        reader = threading.Thread(target=lines.extend, args=(process.stdout,))
        reader.start()
        show_life(reader, lines, what)
    if process.returncode:
        print("".join(lines[-60:]), file=sys.stderr)
        fail(f"{what} could not be installed: its output stands above", "run the command again when that is mended")


def show_life(reader: threading.Thread, lines: list[str], what: str) -> None:
    """Until the reader has read all: the seconds and the last line on a terminal, else a line now and then."""
    start = said = time.monotonic()
    terminal = sys.stderr.isatty()
    while reader.is_alive():
        reader.join(1.0)
        now = time.monotonic()
        if terminal:
            last = lines[-1].strip()[:60] if lines else ""
            print(f"\r\033[Ktltpy: {now - start:4.0f} s  {last}", end="", file=sys.stderr, flush=True)
        elif now - said > SAID_EVERY_S:
            said = now
            say(f"installing {what}: {now - start:.0f} s")
    if terminal:
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def say(text: str) -> None:
    print(f"tltpy: {text}", file=sys.stderr, flush=True)


def fail(message: str, *hints: str) -> NoReturn:
    say(f"error: {message}")
    for hint in hints:
        say(f"hint: {hint}")
    sys.exit(1)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
