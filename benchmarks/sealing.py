"""How fast model files are sealed and opened, beside the bare cipher and plain safetensors, and what memory it takes.

    python benchmarks/sealing.py [--megabytes 512] [--repeats 5] [--folder DIR]

Everything in one run, in turns, the best of the repeats of each; sealing includes the fsync, as does the plain file it
is compared with. Opening and loading start with the file in the system's cache.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from safetensors.torch import load_file, save_file

from tltpy.artifact import load_model, save_model

KEY, CHUNK = "tlt_encode", 1 << 20
LAYERS = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--peak", choices=("nothing", "seal", "open"), help=argparse.SUPPRESS)
    parser.add_argument("--keep", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        if arguments.peak:
            print(peak(arguments.peak, arguments.megabytes, arguments.keep or Path(folder) / "a.tlt"))
        else:
            compare(arguments, Path(folder))


def compare(arguments: argparse.Namespace, folder: Path) -> None:
    tensors = made(arguments.megabytes)
    size = sum(tensor.nbytes for tensor in tensors.values())
    sealed, plain = folder / "a.tlt", folder / "a.safetensors"
    cipher, buffer = AESGCM(bytes(32)), memoryview(bytearray(CHUNK))
    box = cipher.encrypt(bytes(12), buffer, None)
    acts: dict[str, Callable[[], object]] = {
        "seal": lambda: save_model(sealed, key=KEY, task="benchmark", tensors=tensors, metadata={}),
        "save safetensors": lambda: save_synced(tensors, plain),
        "open": lambda: load_model(sealed, KEY),
        "load safetensors": lambda: [tensor.clone() for tensor in load_file(plain).values()],
        "encrypt": lambda: repeat(lambda: cipher.encrypt(bytes(12), buffer, None), size // CHUNK),
        "decrypt": lambda: repeat(lambda: cipher.decrypt(bytes(12), box, None), size // CHUNK),
    }
    best, busy = dict.fromkeys(acts, 0.0), dict.fromkeys(acts, 0.0)
    for _ in range(arguments.repeats):
        for name, act in acts.items():
            clock, processor = time.perf_counter(), time.process_time()
            act()
            best[name] = max(best[name], size / 1e9 / (time.perf_counter() - clock))
            busy[name] = max(busy[name], size / 1e9 / (time.process_time() - processor))
    print(f"{size / 1e6:.0f} MB in {LAYERS} tensors, best of {arguments.repeats}, one thread\n")
    print("                    GB/s  GB per s of processor")
    for name in acts:
        print(f"{name:<18}{best[name]:6.2f}{busy[name]:8.2f}")
    print()
    pairs = {"seal": ("encrypt", "save safetensors"), "open": ("decrypt", "load safetensors")}
    for name, other in ((name, other) for name, others in pairs.items() for other in others):
        print(f"{name} takes {best[other] / best[name]:.2f}x the time of {other}")
    print()
    peaks = {what: measured(what, arguments) for what in ("nothing", "seal", "open")}
    largest = max(tensor.nbytes for tensor in tensors.values()) / 1e6
    print(f"peak memory above that of the tensors alone (the largest holds {largest:.0f} MB):")
    for what in ("seal", "open"):
        print(f"{what:<6}{peaks[what] - peaks['nothing']:6.1f} MB")


def made(megabytes: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        f"layer{index}.weight": torch.randn(megabytes * 250 // LAYERS, 1001, generator=generator)
        for index in range(LAYERS)
    }


def repeat(act: Callable[[], object], times: int) -> None:
    for _ in range(times):
        act()


def save_synced(tensors: dict[str, torch.Tensor], path: Path) -> None:
    save_file(tensors, path)
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def measured(what: str, arguments: argparse.Namespace) -> float:
    command = [sys.executable, __file__, "--peak", what, "--megabytes", str(arguments.megabytes)]
    if arguments.folder:
        command += ["--folder", str(arguments.folder)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def peak(what: str, megabytes: int, path: Path) -> float:
    """Peak resident memory of this process in MB: with the tensors made, and sealed or not; or with them opened."""
    small = {"a": torch.zeros(3, 2)}
    save_model(path, key=KEY, task="benchmark", tensors=small, metadata={})  # libraries and scrypt count in all cases
    load_model(path, KEY)
    if what == "open":
        command = [sys.executable, __file__, "--peak", "seal", "--megabytes", str(megabytes), "--keep", str(path)]
        subprocess.run(command, check=True, capture_output=True)
        kept = load_model(path, KEY).tensors
    else:
        kept = made(megabytes)
        if what == "seal":
            save_model(path, key=KEY, task="benchmark", tensors=kept, metadata={})
    assert len(kept) == LAYERS
    # not getrusage: a child inherits the peak of its parent there
    status = Path("/proc/self/status").read_text()
    return float(status.split("VmHWM:")[1].split()[0]) / 1000


if __name__ == "__main__":
    main()
