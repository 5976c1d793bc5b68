"""Made road scenes in the layout of KITTI's object detection data: training/{image_2, label_2, calib}."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Executor
from pathlib import Path

import cv2
import numpy as np

from tltpy import files
from tltpy.errors import UsageError
from tltpy.synth.camera import Camera
from tltpy.synth.scene import DONT_CARE, Seen, make_scene

CLASSES = ("Car", "Van", "Pedestrian", "Cyclist")
FOLDERS = ("image_2", "label_2", "calib")
VELODYNE_TO_CAMERA = ((0, -1, 0, 0), (0, 0, -1, -0.08), (1, 0, 0, -0.27))  # KITTI's rig, without its small rotations
IMU_TO_VELODYNE = ((1, 0, 0, -0.81), (0, 1, 0, 0.32), (0, 0, 1, -0.80))


def write(
    folder: Path, *, count: int, seed: int, size_wh: tuple[int, int], executor: Executor | None = None
) -> Iterator[Counter[str]]:
    """Writes `count` scenes; yields the objects of each as it is written. Scene i depends on (seed, i, size) alone.

    Raises DataError where the disk is full or the folder may not be written, UsageError where it holds files that
    would stand beside the new ones: another, larger data set.
    """
    with files.translated(folder):
        for name in FOLDERS:
            (folder / "training" / name).mkdir(parents=True, exist_ok=True)
            others = [path for path in (folder / "training" / name).iterdir() if not _replaced(path, count)]
            if others:
                raise UsageError(
                    f"{others[0]}: would remain beside the new pictures", "remove it, or name another folder"
                )
    jobs = [(folder, seed, index, size_wh) for index in range(count)]
    yield from (
        executor.map(write_scene, *zip(*jobs, strict=True), chunksize=4)
        if executor
        else (write_scene(*job) for job in jobs)
    )


def write_scene(folder: Path, seed: int, index: int, size_wh: tuple[int, int]) -> Counter[str]:
    """Picture, labels and calibration of one scene; counts its objects by class."""
    cv2.setNumThreads(1)
    scene = make_scene(seed, index, size_wh)
    root = folder / "training"
    with files.atomic(root / f"image_2/{index:06d}.png") as file:
        file.write(cv2.imencode(".png", scene.image)[1].tobytes())
    files.write_text(root / f"label_2/{index:06d}.txt", "".join(f"{label_row(seen)}\n" for seen in scene.seen))
    files.write_text(root / f"calib/{index:06d}.txt", calibration(scene.camera))
    return Counter(seen.kind for seen in scene.seen)


def label_row(seen: Seen) -> str:
    """The 15 columns of an object; a region that is not to be counted has -1, -10 and -1000 in all but its box."""
    box = " ".join(f"{value:.2f}" for value in seen.box_xyxy)
    if seen.kind == DONT_CARE:
        return f"{DONT_CARE} -1 -1 -10 {box} -1 -1 -1 -1000 -1000 -1000 -10"
    solid = " ".join(f"{value:.2f}" for value in (*seen.size_hwl, *seen.location, seen.rotation_y))
    return f"{seen.kind} {seen.truncated:.2f} {seen.occluded} {seen.alpha:.2f} {box} {solid}"


def calibration(camera: Camera) -> str:
    """P0 to P3, R0_rect, Tr_velo_to_cam and Tr_imu_to_velo, row by row; P2 is the picture's camera."""
    matrices = [(f"P{number}", camera.matrix(number)) for number in range(4)]
    matrices += [("R0_rect", np.eye(3)), ("Tr_velo_to_cam", np.array(VELODYNE_TO_CAMERA))]
    matrices += [("Tr_imu_to_velo", np.array(IMU_TO_VELODYNE))]
    return "".join(f"{name}: {' '.join(f'{value:.12e}' for value in matrix.flat)}\n" for name, matrix in matrices)


def _replaced(path: Path, count: int) -> bool:
    """Whether it is of a scene that will be written, or hidden: what a run that was killed has left."""
    return path.name.startswith(".") or (len(path.stem) == 6 and path.stem.isdecimal() and int(path.stem) < count)
