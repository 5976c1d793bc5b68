"""bin/environment.py: made once, kept, brought up to date, made anew; nothing that is not ours is touched."""

import os
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ("bin/environment", "bin/quickstart", "bin/test", "bin/lifecycle-yolo", ".ci/run")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, with `made`: what it ran. Instead of running venv and pip, a Python that runs is put in place."""
    loader = SourceFileLoader("environment", str(ROOT / "bin" / "environment.py"))
    module = module_from_spec(spec_from_loader("environment", loader))  # type: ignore[arg-type]
    loader.exec_module(module)
    made: list[str] = []

    def watch(command: list[str], what: str) -> None:
        made.append(what)
        if what == "the virtual environment":
            python = Path(command[-1]) / "bin" / "python3"
            python.parent.mkdir()
            python.symlink_to(sys.executable)

    monkeypatch.setattr(module, "watch", watch)
    monkeypatch.setattr(module, "runs", lambda python: python.exists())
    monkeypatch.setattr(module, "made", made, raising=False)
    return module


def make(environment: ModuleType, place: Path, extra: str = "") -> list[str]:
    """What had to be done."""
    environment.made.clear()
    with environment.lock(place):
        assert environment.make(place, extra) == place / "bin" / "python3"
    return list(environment.made)


NEW = ["the virtual environment", "the packages"]


def test_made_once_and_kept(environment: ModuleType, tmp_path: Path) -> None:
    place = tmp_path / "deep" / "venv"
    assert make(environment, place) == NEW
    assert make(environment, place) == []


def test_an_extra_is_added_in_place(environment: ModuleType, tmp_path: Path) -> None:
    assert make(environment, tmp_path) == NEW
    assert make(environment, tmp_path, "test") == ["the packages", "grpcio-tools"]
    assert make(environment, tmp_path, "test") == make(environment, tmp_path) == []


def test_made_anew_when_the_dependencies_change(
    environment: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(environment, tmp_path)
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "old").write_text("")
    monkeypatch.setattr(environment, "requirements", lambda extra: ["numpy>=99"])
    assert make(environment, tmp_path) == NEW
    assert not (tmp_path / "lib").exists()


def test_made_anew_when_its_python_is_gone(environment: ModuleType, tmp_path: Path) -> None:
    make(environment, tmp_path)
    (tmp_path / "bin" / "python3").unlink()
    assert make(environment, tmp_path) == NEW


def test_one_that_broke_off_is_made_anew(
    environment: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = environment.watch

    def broken(command: list[str], what: str) -> None:
        whole(command, what)
        if what == "the packages":
            raise KeyboardInterrupt

    monkeypatch.setattr(environment, "watch", broken)
    with pytest.raises(KeyboardInterrupt):
        make(environment, tmp_path)
    monkeypatch.setattr(environment, "watch", whole)
    assert make(environment, tmp_path) == NEW
    assert make(environment, tmp_path) == []


def test_a_folder_of_somebody_else_is_left_alone(
    environment: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(SystemExit):
        make(environment, tmp_path)
    assert environment.made == []
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    assert "holds something else" in capsys.readouterr().err


def test_a_second_run_waits_for_the_first(environment: ModuleType, tmp_path: Path) -> None:
    code = f"import os, fcntl; fcntl.flock(os.open({str(tmp_path)!r}, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    with environment.lock(tmp_path):
        assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 1
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_pip_that_fails_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    loader = SourceFileLoader("environment", str(ROOT / "bin" / "environment.py"))
    module = module_from_spec(spec_from_loader("environment", loader))  # type: ignore[arg-type]
    loader.exec_module(module)
    with pytest.raises(SystemExit):
        module.watch([sys.executable, "-c", "print('no such package: nympy'); raise SystemExit(1)"], "the packages")
    said = capsys.readouterr().err
    assert "no such package: nympy" in said and "tltpy: error: the packages could not be installed" in said


def test_what_holds_every_dependency_is_seen(environment: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    for extra, lines, holds in (
        ("", ["numpy>=2", "click"], True),
        ("", ["numpy>=99"], False),
        ("", ["no-such-package-of-ours"], False),
    ):
        monkeypatch.setattr(environment, "requirements", lambda extra, lines=lines: lines)
        assert environment.holds(extra) is holds


def test_requirements_are_those_of_setup_cfg(environment: ModuleType) -> None:
    base, test = environment.requirements(""), environment.requirements("test")
    assert "protobuf>=5,<8" in base and len(base) > 12
    assert test[: len(base)] == base and any(line.startswith("pytest>=") for line in test)


def test_executables_that_the_environment_lacks_become_functions(
    environment: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "installed_here", lambda: False)
    text = "\n".join(environment.functions())
    script = f"set -eu\nPYTHON={sys.executable}\n{text}\ntype -t tlt-train; tlt-dataset-convert --help"
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=clean, cwd="/")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("function\nUsage: tlt-dataset-convert")
    monkeypatch.setattr(environment, "installed_here", lambda: True)
    assert list(environment.functions()) == []


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_parse_and_may_be_run(script: str) -> None:
    assert subprocess.run(["bash", "-n", str(ROOT / script)]).returncode == 0
    assert os.access(ROOT / script, os.X_OK) is (script != "bin/environment")


@pytest.mark.parametrize("script", ["bin/quickstart", "bin/lifecycle-yolo"])
def test_scripts_say_how_they_are_used(script: str, tmp_path: Path) -> None:
    helped = subprocess.run([ROOT / script, "--help"], capture_output=True, text=True, cwd=tmp_path)
    assert helped.returncode == 0 and f"usage: {script} [--out DIR]" in helped.stdout
    wrong = subprocess.run([ROOT / script, "--nonsense"], capture_output=True, text=True, cwd=tmp_path)
    assert wrong.returncode == 2 and "error: no such option: --nonsense" in wrong.stderr
    assert list(tmp_path.iterdir()) == []
