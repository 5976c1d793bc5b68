"""kmeans: the boxes of a data set -> the anchor shapes that fit them best."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tltpy.data import images
from tltpy.detection import classes, dataset, kitti
from tltpy.detection import findings as kinds
from tltpy.detection.anchors import Anchors, View, cluster
from tltpy.detection.findings import Finding
from tltpy.detection.frames import list_files, read_text
from tltpy.detection.records import BOX
from tltpy.errors import DataError
from tltpy.files import atomic, refuse_existing, write_text
from tltpy.log import Log
from tltpy.steps import findings as told

REGIONS = ("dontcare",)  # rows that mark no object
_ANY_LENGTH = 1 << 30


@dataclass(frozen=True)
class Folders:
    """KITTI label folders; for each the folder of its pictures, and the input's size, or else its ratio to theirs."""

    labels: tuple[Path, ...]
    images: tuple[Path, ...] = ()
    input_hw: tuple[int, int] | None = None
    ratio_xy: tuple[float, float] | None = None


@dataclass(frozen=True)
class Request:
    """`source`: label folders; or the dataset_config of an experiment, whose training boxes are used, with its `view`.

    `stretch`: pictures do not keep their shape. Files are written where they are named.
    """

    source: Folders | Any
    view: View | None = None
    stretch: bool = False
    count: int = 9
    max_steps: int = 10000
    min_wh: tuple[float, float] = (0.0, 0.0)  # boxes that are not larger are left out
    seed: int = 42
    text: Path | None = None
    plots: tuple[Path, ...] = ()
    overwrite: bool = False


def run(request: Request, log: Log) -> dict[str, Any]:
    """The shapes, small to big, and how well they fit. DataError when there are fewer different boxes than shapes."""
    for path in (*request.plots, *([request.text] if request.text else [])):
        refuse_existing(path, request.overwrite)
    view = _view(request)
    gather = _folder_sizes if isinstance(request.source, Folders) else _record_sizes
    sizes = np.concatenate([np.zeros((0, 2)), *gather(request.source, view, log)])  # [N, 2]
    large = (sizes > request.min_wh).all(axis=1) & (sizes > 0).all(axis=1)
    if len(sizes) > large.sum():
        log.info(f"{len(sizes) - large.sum()} of {len(sizes)} boxes are too small")
    sizes = sizes[large]
    different = len(np.unique(sizes, axis=0))
    if different < request.count:
        hint = "name more labels, or fewer anchors with -n"
        raise DataError(f"there are {different} different boxes, too few for {request.count} anchors", hint)
    anchors = cluster(sizes, request.count, seed=request.seed, max_steps=request.max_steps)
    if not anchors.at_rest:
        log.warn(f"boxes still change their anchors after {anchors.steps} steps", "give more with --max_steps")
    result = _result(anchors, len(sizes), view)
    if request.text is not None:
        write_text(request.text, snippet(result) + "\n")
    if request.plots:
        from tltpy.detection.anchor_plot import figure

        png = figure(sizes, anchors, f"{len(sizes)} boxes, mean IoU {anchors.mean_iou:.3f}")
        for path in request.plots:
            with atomic(path) as file:
                file.write(png)
    return result


def snippet(result: dict[str, Any]) -> str:
    """The lines of a spec, and how good they are."""
    where = f" at {result['width']}x{result['height']} ({result['resize']})" if result["width"] else ""
    head = f"# k-means of {result['boxes']} boxes{where}: mean IoU {result['mean_iou']:.4f}"
    rows = (
        f"{scale}_anchor_shape: \"[{', '.join(f'({w:.2f}, {h:.2f})' for w, h in shapes)}]\""
        for scale, shapes in result["anchors"].items()
    )
    return "\n".join([head, *rows])


def _view(request: Request) -> View | None:
    """None where ratios stand in its place."""
    view = request.view
    if isinstance(request.source, Folders) and request.source.input_hw is not None:
        view = View(request.source.input_hw)
    return None if view is None else replace(view, stretch=request.stretch)


def _result(anchors: Anchors, boxes: int, view: View | None) -> dict[str, Any]:
    return {
        "anchors": {scale: shapes.round(2).tolist() for scale, shapes in anchors.scales().items()},
        "mean_iou": anchors.mean_iou,
        "boxes": boxes,
        "boxes_per_anchor": np.bincount(anchors.nearest, minlength=len(anchors.shapes_wh)).tolist(),
        "steps": anchors.steps,
        "width": view.input_hw[1] if view else None,
        "height": view.input_hw[0] if view else None,
        "resize": ("stretch" if view.stretch else "letterbox") if view else None,
    }


def _record_sizes(dataset_config: Any, view: View | None, log: Log) -> Iterator[np.ndarray]:
    """Sizes [N, 2] of the boxes of trained classes, picture by picture."""
    assert view
    records = dataset.read(dataset_config, "training")
    for warning in records.warnings:
        log.warn(warning)
    ids = classes.class_ids(dataset_config)
    for record in records:
        kept, _ = classes.map_classes(record, ids)
        yield view.sizes(record.boxes_xyxy[kept], record.size_hw or images.read_size(record.image_path))


def _folder_sizes(folders: Folders, view: View | None, log: Log) -> Iterator[np.ndarray]:
    findings: list[Finding] = []
    regions = 0
    for number, label_dir in enumerate(folders.labels):
        names = list_files(label_dir, [".txt"])
        if not names:
            raise DataError(f"{label_dir}: no label file in the folder", "KITTI label files end in .txt")
        pictures = _pictures(folders.images[number]) if folders.ratio_xy is None else {}
        for name in names:
            boxes, skipped = _boxes(label_dir / name, findings)
            regions += skipped
            if folders.ratio_xy is not None:
                yield (boxes[:, 2:] - boxes[:, :2]) * folders.ratio_xy
                continue
            assert view
            size_hw = _size(label_dir / name, pictures.get(Path(name).stem), findings)
            if size_hw is not None:
                yield view.sizes(boxes, size_hw)
    if regions:
        log.info(f"{regions} DontCare regions are no objects and are left out")
    told.warn(findings, log)


def _pictures(folder: Path) -> dict[str, Path]:
    return {Path(name).stem: folder / name for name in list_files(folder, images.EXTENSIONS)}


def _boxes(path: Path, findings: list[Finding]) -> tuple[np.ndarray, int]:
    """Boxes [N, 4] of the objects, and the number of regions left out."""
    text = read_text(path)
    if text is None:
        findings.append(Finding(kinds.BAD_LABEL, str(path), 0, "the label file cannot be read as text; it is left out"))
        return np.zeros((0, 4)), 0
    labels = kitti.parse(text, path, kitti.MIN_COLUMNS, _ANY_LENGTH)
    findings.extend(labels.findings)
    objects = np.array([name.lower() not in REGIONS for name in labels.class_names], bool)
    boxes = np.array([row[BOX] for row in labels.rows], np.float64).reshape(-1, 4)
    whole = np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    for index in np.flatnonzero(objects & ~whole).tolist():
        shown = ", ".join(f"{value:g}" for value in boxes[index])
        findings.append(Finding(kinds.DEGENERATE, str(path), labels.lines[index], f"degenerate box ({shown}); skipped"))
    return boxes[objects & whole], int((~objects).sum())


def _size(label: Path, picture: Path | None, findings: list[Finding]) -> tuple[int, int] | None:
    if picture is None:
        findings.append(Finding(kinds.NO_IMAGE, str(label), 0, "no picture belongs to this label; it is left out"))
        return None
    try:
        return images.read_size(picture)
    except DataError as error:
        findings.append(Finding(kinds.BAD_IMAGE, str(picture), 0, error.message.removeprefix(f"{picture}: ")))
        return None
