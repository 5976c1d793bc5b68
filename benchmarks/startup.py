"""How long a user waits for an answer that needs no work: --help of every executable, a spec with a typo;
and for tlt-spec check of a large spec, with the data of 7,481 pictures that it points to and without.

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
HELP_S, TYPO_S, CHECK_S = 0.3, 0.6, 0.5
PICTURES = 7481  # of KITTI


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
        check = [*start("tltpy.cli.spec:main"), "check", str(large_spec(Path(folder)))]
        report("tlt-spec check --no-paths, the largest spec", [*check, "--no-paths"], repeats, 0, CHECK_S)
        report("tlt-spec check, the largest spec", check, repeats, 0, CHECK_S)


def large_spec(folder: Path) -> Path:
    """The published spec of KITTI, and TFRecords as many as its pictures."""
    from tltpy.data import tfrecord
    from tltpy.detection.examples import record_to_bytes
    from tltpy.detection.records import make_record

    (folder / "image_2").mkdir()
    names = ["car", "van", "pedestrian", "cyclist", "person_sitting", "dontcare"]
    payloads = []
    for number in range(PICTURES):
        (folder / f"image_2/{number:06d}.png").touch()
        record = make_record(id=f"image_2/{number:06d}", class_names=names, boxes_xyxy=[[1, 1, 9, 9]] * len(names))
        payloads.append(record_to_bytes(record))
    for shard in range(20):
        name = f"kitti-fold-{shard % 2:03d}-of-002-shard-{shard // 2:05d}-of-00010"
        tfrecord.write(folder / name, payloads[shard::20])
    text = (ROOT / "tests/spec/data/experiment_tlt2.txt").read_text()
    root = "/workspace/tlt-experiments/data"
    text = text.replace(f"{root}/tfrecords/kitti_trainval/kitti_trainval*", f"{folder}/kitti-*")
    path = folder / "large.txt"
    path.write_text(text.replace(f"{root}/training", str(folder)))
    return path


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
