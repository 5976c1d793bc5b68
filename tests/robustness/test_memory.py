"""A machine that runs out of memory, workers that die: a message and the right exit code, in time."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from killing import Zygote

from tltpy.steps import memory

WriteSpec = Callable[..., Path]
MEGABYTE = 1 << 20


@pytest.mark.parametrize("spare_mb", [20, 150, 350])
def test_training_without_memory_says_so(zygote: Zygote, write_spec: WriteSpec, tmp_path: Path, spare_mb: int) -> None:
    out = tmp_path / "out"
    ended = zygote.run(
        "tlt-train", "yolo", "-e", write_spec(epochs=1), "-r", out, spare_bytes=spare_mb * MEGABYTE
    )
    assert ended.code == 4 and ended.seconds < 60, ended.output
    assert "Traceback" not in ended.output, ended.output
    assert re.search(r"tlt-train: error: .*memory", ended.output), ended.output
    assert "tlt-train: hint: " in ended.output
    assert not list(out.glob("weights/*"))


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
     RuntimeError("std::bad_alloc"), RuntimeError("can't start new thread")],
)  # fmt: skip
def test_a_lack_of_memory_is_recognized(error: Exception) -> None:
    said = memory.full(error)
    assert said and "memory" in said.message and said.exit_code == 4
    assert memory.full(RuntimeError("mat1 and mat2 shapes cannot be multiplied")) is None


@pytest.mark.slow
def test_a_worker_that_dies_ends_the_training_with_a_message(write_spec: WriteSpec, tmp_path: Path) -> None:
    spec, out = write_spec(epochs=500, period=500), tmp_path / "out"
    spec.write_text(spec.read_text().replace("n_workers: 1", "n_workers: 2 use_multiprocessing: true"))
    command = [sys.executable, "-m", "tltpy.cli.train", "yolo", "-e", str(spec), "-r", str(out), "-k", "key"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 200
        while time.monotonic() < deadline and not list(out.glob("weights/*_epoch_001.tlt")):
            time.sleep(0.1)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        workers = [pid for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        assert len(workers) == 2
        os.kill(int(workers[0]), signal.SIGKILL)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 4, errors
    assert "a worker that prepares pictures died" in errors and "Traceback" not in errors
    assert (out / "weights/yolo_resnet10_last.tlt").exists()
