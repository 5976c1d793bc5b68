"""A dask cluster of two worker processes, one of which is killed in the middle: nothing is lost or doubled."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

Cli = Callable[..., Any]
ROW = "Car 0.00 1 -1.57 10.00 6.00 30.50 20.00 1.50 1.60 3.90 1.00 1.70 20.00 -1.56\n"
COUNT = 100
HELD = "000077"  # whoever reads this label waits


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a scheduler with two workers, each with a nurse that starts it again."""
    pytest.importorskip("distributed")
    folder = tmp_path_factory.mktemp("cluster")
    log = (folder / "log.txt").open("w")
    # workers find this checkout through PYTHONPATH, as the executables do
    scheduler = start("dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file",
                      folder / "scheduler.json", log=log)  # fmt: skip
    processes = [scheduler]
    try:
        wait_for(lambda: (folder / "scheduler.json").exists(), "the scheduler")
        address = str(json.loads((folder / "scheduler.json").read_text())["address"])
        processes += [
            start("dask_worker", address, "--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1",
                  "--local-directory", folder, "--name", str(number), "--death-timeout", "60", log=log)
            for number in range(2)
        ]  # fmt: skip
        yield address
    finally:
        for process in processes[::-1]:
            process.terminate()
        for process in processes:
            process.wait(timeout=30)
        log.close()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    for name in ("image_2", "label_2"):
        (root / name).mkdir(parents=True)
    for number in range(COUNT):
        pixels = np.full((24, 40, 3), number, np.uint8)
        assert cv2.imwrite(str(root / f"image_2/{number:06d}.png"), pixels)
        (root / f"label_2/{number:06d}.txt").write_text(ROW)
    return root


def start(module: str, *arguments: object, log: Any) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", f"distributed.cli.{module}", *map(str, arguments)]
    return subprocess.Popen(command, stdout=log, stderr=log)


def wait_for(happened: Callable[[], Any], what: str, seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := happened():
            return found
        time.sleep(0.02)
    raise AssertionError(f"no {what} after {seconds} s")


def reader_of(pipe: Path) -> int | None:
    """The process that has a pipe open."""
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if os.readlink(link) == str(pipe) and int(link.parts[2]) != os.getpid():
                return int(link.parts[2])
        except OSError:
            continue
    return None


def run_and_kill(data: Path, *command: object) -> str:
    """Runs a command whose workers get stuck at one label; kills the one that is; what the command said."""
    label = data / f"label_2/{HELD}.txt"
    label.unlink()
    os.mkfifo(label)
    process = subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    hold = os.open(label, os.O_RDWR)  # the reader is not turned away, and reads nothing
    try:
        victim = wait_for(lambda: reader_of(label), "worker at the label")
        spare = data / "label.txt"
        spare.write_text(ROW)
        os.replace(spare, label)
        os.kill(victim, signal.SIGKILL)
        said, _ = process.communicate(timeout=120)
    finally:
        os.close(hold)
        process.kill()
    assert process.returncode == 0, said
    return said


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def conversion(data: Path, tmp_path: Path) -> list[object]:
    spec = tmp_path / "convert.txt"
    spec.write_text(f'kitti_config {{ root_directory_path: "{data}" partition_mode: "random" num_shards: 3 }}')
    return ["tlt-dataset-convert", "-d", spec, "-q", "-o"]


def augmentation(data: Path, tmp_path: Path) -> list[object]:
    spec = tmp_path / "augment.txt"
    spec.write_text("spatial_config { rotation_config { angle: [-9, 9] } }")
    return ["tlt-augment", "-a", spec, "-d", data, "-q", "-o"]


@pytest.mark.slow
@pytest.mark.parametrize("executable", [conversion, augmentation])
@pytest.mark.parametrize("where", ["cluster", "workers"])
def test_a_worker_is_killed_in_the_middle(
    cluster: str,
    here: Cli,
    argv: Callable[[str], list[str]],
    data: Path,
    tmp_path: Path,
    where: str,
    executable: Callable[..., list[object]],
) -> None:
    name, *arguments = executable(data, tmp_path)
    here(name, *arguments, tmp_path / "alone/a", check=0)
    with_whom = ["--cluster", cluster] if where == "cluster" else ["--workers", 2]
    said = run_and_kill(data, *argv(str(name)), *arguments, tmp_path / "many/a", *with_whom)
    assert ("worker process died" in said) == (where == "workers")
    assert contents(tmp_path / "many") == contents(tmp_path / "alone")
    assert len(contents(tmp_path / "alone")) == (6 if executable is conversion else 2 * COUNT)
    assert [path for path in (tmp_path / "many").iterdir() if path.name.startswith(".")] == []


def test_a_cluster_that_is_not_there(here: Cli, data: Path, tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    command = augmentation(data, tmp_path)
    for address, reason in (("nonsense://x", "unknown address scheme"), ("tcp://127.0.0.1:1", "refused")):
        done = here(*command, tmp_path / "out", "--cluster", address, check=6)
        assert f"error: {address}: no dask scheduler can be reached" in done.stderr
        assert reason in done.stderr and "Traceback" not in done.stderr
    done = here(*command, tmp_path / "out", "--cluster", "tcp://127.0.0.1:1", "--workers", 2, check=2)
    assert "exclude each other" in done.stderr
    assert not (tmp_path / "out").exists()
