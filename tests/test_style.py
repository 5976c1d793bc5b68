"""ruff and mypy find nothing to say."""

import subprocess
import sys
from pathlib import Path

import pytest

CODE = ("tltpy", "tests", "benchmarks", "bin/environment.py", "bin/generate-cli-docs")


def test_ruff(root: Path) -> None:
    pytest.importorskip("ruff")
    done = run(root, "ruff", "check", "--no-cache", *CODE)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_mypy(root: Path) -> None:
    pytest.importorskip("mypy")
    done = run(root, "mypy")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Success: no issues found in" in done.stdout


def run(root: Path, *module_and_arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", *module_and_arguments], cwd=root, capture_output=True, text=True
    )
