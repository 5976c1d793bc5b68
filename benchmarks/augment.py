"""How much of tlt-augment's time goes into what cannot be avoided: decoding, one warp, encoding.

    python benchmarks/augment.py --images 60

The data set is made: pictures of KITTI's size, eight objects each. The whole step (labels, boxes, atomic files) against
a bare loop over the same files, alternating in one run, one core, by the clock and by the processor's time, which other
programs disturb less; then the share of twice the speed that two workers reach. Prints a table.
"""

import argparse
import io
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from tltpy.log import Log
from tltpy.spec.augment_pb2 import AugmentConfig
from tltpy.spec.load import parse_text
from tltpy.steps import augment

SIZE_HW = (375, 1242)
OUTPUT_WH = (1248, 384)
OBJECTS = 8
ANGLE = 10.0
SPEC = f"""
spatial_config {{ rotation_config {{ angle: {ANGLE} }} }}
dataset_config {{ image_path: "image_2" label_path: "label_2" }}
output_image_width: {OUTPUT_WH[0]} output_image_height: {OUTPUT_WH[1]}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        for suffix in (".png", ".jpg"):
            measure(Path(folder) / suffix.strip("."), suffix, given.images, given.rounds)


def measure(root: Path, suffix: str, count: int, rounds: int) -> None:
    make(root / "data", suffix, count)
    ways: dict[str, Callable[[], None]] = {
        "decode, warp, encode": lambda: bare(root / "data/image_2", root / "bare", suffix),
        "tlt-augment": lambda: whole(root, 1),
        "tlt-augment --workers 2": lambda: whole(root, 2),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    processor: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            start, busy = time.perf_counter(), time.process_time()
            way()
            seconds[name].append((time.perf_counter() - start) / count)
            processor[name].append((time.process_time() - busy) / count)
    least = {name: min(times) for name, times in seconds.items()}
    print(f"{count} pictures {SIZE_HW[1]}x{SIZE_HW[0]} {suffix}, {OBJECTS} objects each; best and median of {rounds}")
    for name, best in least.items():
        speed = least["decode, warp, encode"] / best
        middle = statistics.median(seconds[name])
        times = f"{1e3 * best:>8.2f} {1e3 * middle:>8.2f} ms/picture {1 / best:>8.1f} pictures/s"
        print(f"  {name:<26}{times} {speed:>6.2f} x bare")
    used = [min(processor[name]) for name in ("decode, warp, encode", "tlt-augment")]
    print(f"  processor: {1e3 * used[0]:.2f} and {1e3 * used[1]:.2f} ms/picture, {used[0] / used[1]:.2f} x bare")
    linear = least["tlt-augment"] / least["tlt-augment --workers 2"] / 2
    load = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores: only a quiet machine tells"
    print(f"  two workers: {linear:.2f} x linear, their start included; {load}")


def whole(root: Path, workers: int) -> None:
    request = augment.Request(
        spec=parse_text(SPEC, AugmentConfig),
        dataset_folder=root / "data",
        output=root / "out",
        workers=workers,
        device="cpu",
        overwrite=True,
    )
    augment.run(request, Log("benchmark", quiet=True, stream=io.StringIO()))


def bare(source: Path, target: Path, suffix: str) -> None:
    target.mkdir(exist_ok=True)
    for path in sorted(source.iterdir()):
        image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
        assert image is not None
        matrix = cv2.getRotationMatrix2D((SIZE_HW[1] / 2, SIZE_HW[0] / 2), -ANGLE, 1.0)
        picture = cv2.warpAffine(image, matrix, OUTPUT_WH, flags=cv2.INTER_LINEAR)
        (target / path.name).write_bytes(cv2.imencode(suffix, picture)[1].tobytes())


def make(root: Path, suffix: str, count: int) -> None:
    generator = np.random.default_rng(1)
    pixels = cv2.GaussianBlur(generator.integers(0, 256, (*SIZE_HW, 3), np.uint8), (7, 7), 0)
    data = cv2.imencode(suffix, pixels)[1].tobytes()
    for name in ("image_2", "label_2"):
        (root / name).mkdir(parents=True)
    for number in range(count):
        corners = generator.uniform((400, 100), (700, 200), (OBJECTS, 2))
        rows = [
            f"Car 0.00 0 -1.57 {x:.2f} {y:.2f} {x + 50:.2f} {y + 40:.2f} 1.5 1.6 3.9 1 1.7 20 -1.5" for x, y in corners
        ]
        (root / "image_2" / f"{number:06d}{suffix}").write_bytes(data)
        (root / "label_2" / f"{number:06d}.txt").write_text("\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
