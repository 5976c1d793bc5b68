"""How long a user waits for an answer that needs no work: --help of every executable, a spec with a typo.

usage: python benchmarks/startup.py [REPEATS]      prints the median seconds of each and the target
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HELP_S, TYPO_S = 0.3, 0.6


def main(repeats: int = 7) -> None:
    parser = ConfigParser(interpolation=None, delimiters=("=",))
    parser.read(ROOT / "setup.cfg")
    scripts = parser["options.entry_points"]["console_scripts"].strip().splitlines()
    print(f"{'command':<44}{'seconds':>8}{'target':>8}")
    report("python -c pass (the floor)", [sys.executable, "-c", "pass"], repeats, 0, None)
    for name, target in (line.split(" = ") for line in scripts):
        report(f"{name} --help", [*start(target), "--help"], repeats, 0, HELP_S)
    train = dict(line.split(" = ") for line in scripts)["tlt-train"]
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder) / "typo.txt"
        spec.write_text((ROOT / "specs/yolo/tiny.txt").read_text().replace("max_learning_rate", "max_learing_rate"))
        command = [*start(train), "yolo", "-e", str(spec), "-r", f"{folder}/results", "-k", "key"]
        report("tlt-train, a spec with a typo", command, repeats, 3, TYPO_S)


def start(target: str) -> list[str]:
    """What the console script does."""
    module, function = target.split(":")
    return [sys.executable, "-c", f"from {module} import {function}; {function}()"]


def report(title: str, command: list[str], repeats: int, code: int, target_s: float | None) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TLT_DATA": "/nowhere", "TLT_OUT": "/nowhere"}
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, env=env)
        seconds.append(time.perf_counter() - begin)
        assert done.returncode == code, done.stderr
    target = "" if target_s is None else f"{target_s:.1f}"
    print(f"{title:<44}{statistics.median(seconds):>8.3f}{target:>8}", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
