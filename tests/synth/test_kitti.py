"""Data sets in KITTI's layout: labels, calibration and pictures agree; the executable that makes them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import cv2
import numpy as np
import pytest

from tltpy.errors import DataError, UsageError
from tltpy.synth import kitti

Cli = Callable[..., "CompletedProcess[str]"]
COUNT, SIZE_WH = 24, (320, 128)


@dataclass(frozen=True)
class Row:
    kind: str
    truncated: float
    occluded: int
    alpha: float
    box: list[float]
    size_hwl: list[float]
    location: list[float]
    rotation_y: float


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    counted = list(kitti.write(folder, count=COUNT, seed=4, size_wh=SIZE_WH))
    assert len(counted) == COUNT
    return folder / "training"


def test_the_layout_is_kittis(made: Path) -> None:
    names = [f"{index:06d}" for index in range(COUNT)]
    for folder, suffix in (("image_2", ".png"), ("label_2", ".txt"), ("calib", ".txt")):
        assert sorted(path.name for path in (made / folder).iterdir()) == [name + suffix for name in names]
    image = cv2.imread(str(made / "image_2/000001.png"))
    assert image is not None and image.shape == (128, 320, 3)


def test_labels_have_fifteen_columns_of_two_decimals(made: Path) -> None:
    lines = [line.split() for path in sorted((made / "label_2").iterdir()) for line in path.read_text().splitlines()]
    assert lines and all(len(line) == 15 for line in lines)
    assert {line[0] for line in lines} == {*kitti.CLASSES, "DontCare"}
    for line in lines:
        boxes = line[4:8] if line[0] == "DontCare" else [line[1], *line[3:]]
        assert all(len(text.rpartition(".")[2]) == 2 for text in boxes)
        if line[0] == "DontCare":
            assert line[1:4] == ["-1", "-1", "-10"]
            assert line[8:] == ["-1", "-1", "-1", "-1000", "-1000", "-1000", "-10"]


def test_the_calibration_has_kittis_matrices(made: Path) -> None:
    matrices = calibration(made / "calib/000003.txt")
    assert list(matrices) == ["P0", "P1", "P2", "P3", "R0_rect", "Tr_velo_to_cam", "Tr_imu_to_velo"]
    assert [matrix.size for matrix in matrices.values()] == [12, 12, 12, 12, 9, 12, 12]
    focal = matrices["P2"].reshape(3, 4)[0, 0]
    assert focal == pytest.approx(721.5377 * 320 / 1242)  # KITTI's own, at this width
    ahead = matrices["Tr_velo_to_cam"].reshape(3, 4) @ (20.0, 1.0, -1.0, 1.0)  # forward, left, up of the scanner
    assert ahead[2] > 19 and ahead[0] == pytest.approx(-1) and ahead[1] > 0.5


def test_alpha_is_the_rotation_as_the_camera_sees_it(made: Path) -> None:
    for row in objects(made):
        expected = row.rotation_y - np.arctan2(row.location[0], row.location[2])
        assert abs(np.angle(np.exp(1j * (row.alpha - expected)))) < 0.02
        assert -3.15 <= row.alpha <= 3.15 and -3.15 <= row.rotation_y <= 3.15


def test_the_solid_projected_by_p2_is_the_box(made: Path) -> None:
    checked = 0
    for path in sorted((made / "label_2").iterdir()):
        projection = calibration(made / "calib" / path.name)["P2"].reshape(3, 4)
        for row in rows(path):
            if row.kind != "DontCare" and row.truncated == 0 and row.occluded == 0:
                left, top, right, bottom = solid = project(row, projection)
                x1, y1, x2, y2 = row.box
                assert left - 2 < x1 < x2 < right + 2 and top - 2 < y1 < y2 < bottom + 2, (path, row)
                # a person fills less of a solid than a car does
                assert overlap(solid, row.box) > (0.75 if row.kind in ("Car", "Van") else 0.5), (path, row)
                checked += 1
    assert checked > 15


def test_truncation_is_for_objects_at_the_border(made: Path) -> None:
    truncated = [row for row in objects(made) if row.truncated > 0.02]
    assert truncated
    for row in truncated:
        x1, y1, x2, y2 = row.box
        assert min(x1, y1) == 0 or x2 == SIZE_WH[0] - 1 or y2 == SIZE_WH[1] - 1


def test_sizes_are_those_of_a_street(made: Path) -> None:
    limits = {"Car": (1.3, 1.7), "Van": (2.0, 2.7), "Pedestrian": (1.4, 2.05), "Cyclist": (1.4, 1.95)}
    for row in objects(made):
        low, high = limits[row.kind]
        assert low < row.size_hwl[0] < high
        assert 1.0 < row.location[1] < 3.0 and 3 < row.location[2] < 40  # on the ground, ahead


def test_neither_count_nor_processes_change_a_picture(made: Path, cli: Cli, tmp_path: Path) -> None:
    few = tmp_path / "few"
    cli("tlt-sample-data", "kitti", few, "--count", 6, "--seed", 4, "--size", "320x128", "--workers", 2, check=0)
    files = sorted(path for path in (few / "training").rglob("*") if path.is_file())
    assert len(files) == 18
    for path in files:
        assert path.read_bytes() == (made / path.relative_to(few / "training")).read_bytes()


def test_a_larger_data_set_is_not_mixed_with_a_smaller_one(tmp_path: Path) -> None:
    list(kitti.write(tmp_path, count=2, seed=0, size_wh=(96, 40)))
    before = (tmp_path / "training/image_2/000000.png").read_bytes()
    with pytest.raises(UsageError, match="000001.* would remain"):
        list(kitti.write(tmp_path, count=1, seed=1, size_wh=(96, 40)))
    assert (tmp_path / "training/image_2/000000.png").read_bytes() == before
    (tmp_path / "training/image_2/.000000.png.12ab.part").write_bytes(b"half")
    list(kitti.write(tmp_path, count=2, seed=1, size_wh=(96, 40)))
    assert (tmp_path / "training/image_2/000000.png").read_bytes() != before


def test_a_file_where_a_folder_is_needed(tmp_path: Path) -> None:
    (tmp_path / "training").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        list(kitti.write(tmp_path, count=1, seed=0, size_wh=(96, 40)))


def test_the_executable_counts_what_it_made_and_keeps_what_is_there(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "made"
    small = ("tlt-sample-data", "kitti", folder, "--count", 3, "--size", "160x64", "--workers", 1)
    done = cli(*small, "--json", check=0)
    result = json.loads(done.stdout)
    assert result["pictures"] == 3 and list(result["objects"]) == list(kitti.CLASSES)
    kinds = [row.kind for row in objects(folder / "training")]
    assert result["objects"] == {name: kinds.count(name) for name in kitti.CLASSES}
    again = cli(*small, check=2)
    assert again.stdout == "" and "the folder is not empty" in again.stderr and "--overwrite" in again.stderr
    over = cli(*small, "--overwrite", "--seed", 9, "-q", check=0)
    assert over.stdout.splitlines()[0].split() == ["pictures", "3"] and over.stderr == ""


@pytest.mark.parametrize("size", ["160", "160x", "x64", "axb", "32x16", "800x100", "5000x2000"])
def test_sizes_that_no_scene_can_have(size: str) -> None:
    from click.testing import CliRunner

    from tltpy.cli.sample_data import command

    result = CliRunner().invoke(command, ["kitti", "unused", "--size", size])
    assert isinstance(result.exception, UsageError) and f"--size {size}" in result.exception.message


def test_it_converts_without_findings(made: Path, cli: Cli, tmp_path: Path, root: Path) -> None:
    spec = root / "specs/kitti_tfrecords.txt"
    prefix = tmp_path / "tfrecords/kitti"
    env = {"TLT_DATA": str(made.parent)}
    result = json.loads(cli("tlt-dataset-convert", "-d", spec, "-o", prefix, "--json", env=env, check=0).stdout)
    kinds = [row.kind for row in objects(made)]
    assert result["images"] == COUNT
    assert all('class "DontCare"' in finding["text"] for finding in result["findings"]), result["findings"]
    expected = {name.lower(): kinds.count(name) for name in kitti.CLASSES}
    assert {name: result["objects"].get(name, 0) for name in expected} == expected


def objects(made: Path) -> list[Row]:
    return [row for path in sorted((made / "label_2").iterdir()) for row in rows(path) if row.kind != "DontCare"]


def rows(path: Path) -> list[Row]:
    """A KITTI label file, read by its published columns."""
    found = []
    for line in path.read_text().splitlines():
        kind, *texts = line.split()
        n = [float(text) for text in texts]
        found.append(Row(kind, n[0], int(n[1]), n[2], n[3:7], n[7:10], n[10:13], n[13]))
    return found


def calibration(path: Path) -> dict[str, np.ndarray]:
    pairs = (line.split(": ") for line in path.read_text().splitlines())
    return {name: np.array(values.split(), float) for name, values in pairs}


def project(row: Row, projection: np.ndarray) -> list[float]:
    """The eight corners as the development kit builds them: turned about the camera's y axis, foot at the location."""
    height, width, length = row.size_hwl
    signs = np.array([(x, y, z) for x in (-0.5, 0.5) for y in (-1, 0) for z in (-0.5, 0.5)])
    x, y, z = (signs * (length, height, width)).T
    cos, sin = np.cos(row.rotation_y), np.sin(row.rotation_y)
    solid = np.stack([cos * x + sin * z, y, cos * z - sin * x]) + np.array(row.location)[:, None]
    u, v, depth = projection @ np.concatenate([solid, np.ones((1, 8))])
    return [min(u / depth), min(v / depth), max(u / depth), max(v / depth)]


def overlap(a: list[float], b: list[float]) -> float:
    shared = max(min(a[2], b[2]) - max(a[0], b[0]), 0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)
