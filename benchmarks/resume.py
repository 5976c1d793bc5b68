"""What it costs to stop a training and resume it: resuming against starting, to the end of the first step.

python benchmarks/resume.py [SPEC]      the tiny spec on made road scenes by default
"""

import argparse
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from tltpy import tasks
from tltpy.cli import dataset_convert, sample_data
from tltpy.log import Log
from tltpy.spec.load import load
from tltpy.steps import train

ROOT = Path(__file__).resolve().parent.parent
KEY = "key"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("spec", nargs="?", type=Path, default=ROOT / "specs/yolo/tiny.txt")
    parser.add_argument("--count", type=int, default=320, help="made pictures")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        os.environ.update(TLT_DATA=str(root / "data"), TLT_OUT=str(root))
        made = ["kitti", str(root / "data"), "--count", str(given.count), "-q"]
        sample_data.command.main(made, standalone_mode=False)
        convert = ["-d", str(ROOT / "specs/kitti_tfrecords.txt"), "-o", str(root / "tfrecords/data"), "-q"]
        dataset_convert.command.main(convert, standalone_mode=False)
        cfg = tasks.canonical("yolo", load(given.spec, tasks.message("yolo")).message)
        request = train.TrainRequest(task="yolo", cfg=cfg, results_dir=root / "first", key=KEY)
        until_first_step(request)  # imports, caches
        for number in range(given.rounds):
            out = root / f"round{number}"
            fresh = until_first_step(replace(request, results_dir=out))
            resumed = until_first_step(replace(request, results_dir=out, resume=True))
            more = resumed - fresh
            print(f"to the end of the first step: started {fresh:.2f} s, resumed {resumed:.2f} s, {more:+.2f} s")


class Reached(Exception):
    """The first step is done."""


def until_first_step(request: Any) -> float:
    """Seconds from the request to the end of the first step; the state of that moment is saved, as Ctrl-C does."""
    begun = time.perf_counter()
    log = Log("tlt-train", quiet=True)
    step = train.Training._step
    spent = []

    def once(self: Any, *arguments: Any) -> Any:
        step(self, *arguments)
        spent.append(time.perf_counter() - begun)
        self._save_last()
        raise Reached

    train.Training._step = once  # type: ignore[method-assign]
    try:
        train.run(request, log)
    except Reached:
        pass
    finally:
        train.Training._step = step  # type: ignore[method-assign]
    return spent[0]


if __name__ == "__main__":
    main()
