"""How fast labels become shards and shards become records, measured beside what cannot be avoided.

    python benchmarks/conversion.py --images 3000
    python benchmarks/conversion.py --images 30000 --workers 2

One core, and with --workers that many processes beside it, started before the clock. The data set is made: pictures of
KITTI's size, eight objects each. Ratios against reading the same files' bytes and against decoding the same pictures,
in the same run; prints a table.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from google.protobuf import text_format

from tltpy.data import images, tfrecord
from tltpy.detection import convert, dataset
from tltpy.detection.sources import open_source
from tltpy.spec.detection_pb2 import DatasetConfig, DatasetExportConfig
from tltpy.steps import pool

SIZE_HW = (375, 1242)
OBJECTS = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        for suffix in (".png", ".jpg"):
            measure(Path(folder) / suffix.strip("."), suffix, given.images, given.workers)


def measure(root: Path, suffix: str, count: int, workers: int) -> None:
    make(root, suffix, count)
    config = text_format.Parse(
        f'kitti_config {{ root_directory_path: "{root}" image_extension: "{suffix}" partition_mode: "random" }}',
        DatasetExportConfig(),
    )
    reading = text_format.Parse(
        f'data_sources {{ tfrecords_path: "{root}/out/*" image_directory_path: "{root}" }} '
        f'image_extension: "{suffix.strip(".")}" target_class_mapping {{ key: "car" value: "car" }}',
        DatasetConfig(),
    )
    paths = sorted((root / "image_2").iterdir())
    few = paths[:200]
    seconds = {
        "read the bytes of labels": timed(lambda: [p.read_bytes() for p in (root / "label_2").iterdir()]) / count,
        "decode the pictures": timed(lambda: [images.read(path).shape for path in few]) / len(few),
        "size of the pictures": timed(lambda: [images.read_size(path) for path in paths]) / count,
        "convert": timed(lambda: convert.convert(open_source(config), config, root / "out/a", overwrite=True)) / count,
        **parallel(config, root, count, workers),
        "read the shards' bytes": timed(lambda: [list(tfrecord.read(p)) for p in (root / "out").iterdir()]) / count,
        "read the records": timed(lambda: dataset.read(reading, "training")) / (count - int(0.14 * count)),
    }
    print(f"{count} pictures {SIZE_HW[1]}x{SIZE_HW[0]} {suffix}, {OBJECTS} objects each, one core")
    for name, value in seconds.items():
        share = value / seconds["decode the pictures"]
        print(f"  {name:<26}{1e6 * value:>9.1f} us/picture {1 / value:>10.0f} pictures/s {share:>8.3f} x decoding")
    if workers > 1:
        ratio = seconds["convert"] / seconds[f"convert, {workers} workers"] / workers
        load = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
        print(f"  {workers} workers: {ratio:.2f} x linear; {load}: only a quiet machine tells")


def parallel(config: Any, root: Path, count: int, workers: int) -> dict[str, float]:
    """Seconds a picture with so many processes; they wait until all of them have started."""
    if workers <= 1:
        return {}
    with pool.workers(workers, None, print) as processes:
        assert processes
        list(processes.map(time.sleep, [1.0] * 2 * workers))
        seconds = timed(
            lambda: convert.convert(open_source(config), config, root / "out/a", overwrite=True, workers=processes)
        )
    return {f"convert, {workers} workers": seconds / count}


def make(root: Path, suffix: str, count: int) -> None:
    generator = np.random.default_rng(1)
    pixels = cv2.GaussianBlur(generator.integers(0, 256, (*SIZE_HW, 3), np.uint8), (7, 7), 0)
    data = cv2.imencode(suffix, pixels)[1].tobytes()
    for name in ("image_2", "label_2"):
        (root / name).mkdir(parents=True)
    for number in range(count):
        corners = generator.uniform(0, 100, (OBJECTS, 2))
        rows = [
            f"Car 0.00 0 -1.57 {x:.2f} {y:.2f} {x + 50:.2f} {y + 40:.2f} 1.5 1.6 3.9 1 1.7 20 -1.5" for x, y in corners
        ]
        (root / "image_2" / f"{number:06d}{suffix}").write_bytes(data)
        (root / "label_2" / f"{number:06d}.txt").write_text("\n".join(rows) + "\n")


def timed(function: Callable[[], Any]) -> float:
    """Seconds of the better of two runs."""
    times = []
    for _ in range(2):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


if __name__ == "__main__":
    main()
