"""Plays a DeepStream folder without DeepStream: what is in its files, read back, decides everything.

As the Gst-nvinfer page of DeepStream's documentation has it: frame -> scaled to `infer-dims` (maintain-aspect-ratio,
symmetric-padding; black beside the picture) -> colours -> y = net-scale-factor * (x - offset) -> network -> parser ->
boxes on the frame. The parser is that of batched suppression: four layers, count x (box, score, class); boxes are
shares of the input, times its width and height, clipped to it; a threshold for each class.
"""

import configparser
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from tltpy.deploy import deepstream
from tltpy.deploy.runtime import Runtime, open_runtime
from tltpy.errors import QualityError

Warp = Callable[[np.ndarray, np.ndarray, tuple[int, int], tuple[float, ...]], np.ndarray]
"""(image, matrix [2, 3], size (h, w), colour of the margins) -> picture."""
GROUP = "property"
UNTOUCHED = {  # keys that would change what arrives, and the values that leave it alone
    "cluster-mode": (str(deepstream.NO_CLUSTERING), "boxes would be merged once more"),
    "process-mode": ("1", "the network would look at objects, not at frames"),
    "interval": ("0", "frames would be left out"),
    "scaling-filter": ("1", "pictures would not be scaled bilinearly"),
}
OBJECT_LIMITS = ("roi-top-offset", "roi-bottom-offset", "detected-min-w", "detected-min-h", "detected-max-w",
                 "detected-max-h")


@dataclass(frozen=True)
class Config:
    """What the files of a folder say. `thresholds` has one value a class, `dims` is (channels, height, width)."""

    path: Path
    graph: Path
    labels: tuple[str, ...]
    scale: float
    offsets: tuple[float, ...]
    color: int
    dims: tuple[int, int, int]
    keep_aspect: bool
    symmetric: bool
    batch_size: int
    thresholds: tuple[float, ...]


@dataclass(frozen=True)
class Boxes:
    """Found on one frame."""

    boxes_xyxy: np.ndarray  # float32 [N, 4], pixels of the frame
    scores: np.ndarray  # float32 [N]
    class_ids: np.ndarray  # int64 [N]


@dataclass(frozen=True)
class Fit:
    """How a frame comes to lie in the input: (y, x) scales and the first row and column."""

    scale_yx: tuple[float, float]
    offset_yx: tuple[int, int]

    def matrix(self) -> np.ndarray:
        """float32 [2, 3], as letterboxes have it: pixel centres of the frame -> of the input."""
        (sy, sx), (oy, ox) = self.scale_yx, self.offset_yx
        return np.array([[sx, 0, ox + (sx - 1) / 2], [0, sy, oy + (sy - 1) / 2]], np.float32)


def read(folder: Path) -> Config:
    """The configuration of a folder; QualityError where it contradicts itself or would not play."""
    path = folder / deepstream.CONFIG
    section = _section(path, GROUP)
    for key, (wanted, why) in UNTOUCHED.items():
        if section.get(key, "0" if key == "interval" else "") != wanted:
            raise QualityError(f"{path}: {key}={section.get(key)}: {why}", f"set it to {wanted}")
    labels = _labels(folder / _value(path, section, "labelfile-path"))
    classes = int(_numbers(path, section, "num-detected-classes", 1)[0])
    if classes != len(labels):
        raise QualityError(f"{path}: num-detected-classes={classes}, and there are {len(labels)} labels")
    channels, height, width = (int(value) for value in _numbers(path, section, "infer-dims", 3))
    color = int(_numbers(path, section, "model-color-format", 1)[0])
    if channels != (1 if color == 2 else 3):
        raise QualityError(f"{path}: model-color-format={color} makes other pictures than {channels} channels")
    config = Config(
        path=path,
        graph=folder / _value(path, section, "onnx-file"),
        labels=labels,
        scale=_numbers(path, section, "net-scale-factor", 1)[0],
        offsets=_numbers(path, section, "offsets", channels),
        color=color,
        dims=(channels, height, width),
        keep_aspect=section.get("maintain-aspect-ratio", "0") == "1",
        symmetric=section.get("symmetric-padding", "0") == "1",
        batch_size=int(_numbers(path, section, "batch-size", 1)[0]),
        thresholds=_thresholds(path, classes),
    )
    _check_app(folder, config)
    return config


def open_graph(config: Config) -> Runtime:
    """The graph of a folder; QualityError where the configuration does not fit it."""
    if not config.graph.is_file():
        raise QualityError(f"{config.path}: onnx-file={config.graph.name}: no such file")
    runtime = open_runtime(config.graph)
    ports = [port.shape[1:] for port in runtime.inputs.values()]
    if ports != [config.dims]:
        raise QualityError(f"{config.path}: infer-dims={config.dims}, and the graph takes {ports}")
    if runtime.batch_size not in (None, config.batch_size):
        raise QualityError(f"{config.path}: batch-size={config.batch_size}, and the graph takes {runtime.batch_size}")
    section, facts = _section(config.path, GROUP), runtime.metadata
    if "boxes" not in facts or "deepstream" not in facts:
        raise QualityError(f"{config.graph}: the graph does not tell how it is played", "write it with tlt-export")
    if facts.get("labels") != list(config.labels):
        raise QualityError(f"{config.path}: the labels are not those of the graph, {facts.get('labels')}")
    _check_parser(config.path, section, facts)
    blobs = _value(config.path, section, "output-blob-names").split(";")
    lost = [name for name in blobs if name and name not in runtime.outputs]
    if lost:
        raise QualityError(f"{config.path}: output-blob-names: the graph has no output {', '.join(lost)}")
    return runtime


def fit(config: Config, size_hw: tuple[int, int], *, whole: bool) -> Fit:
    """Where a frame lies in the input. `whole`: its sides are cut to whole pixels there, as nvinfer does."""
    _, height, width = config.dims
    if not config.keep_aspect:
        return Fit((height / size_hw[0], width / size_hw[1]), (0, 0))
    scale = min(height / size_hw[0], width / size_hw[1])
    sides = [scale * size for size in size_hw]
    if whole:
        sides = [float(int(side + 1e-6)) for side in sides]
    margins = [int((out - side) / 2 + 1e-6) for out, side in zip((height, width), sides, strict=True)]
    offset = (margins[0], margins[1]) if config.symmetric else (0, 0)
    return Fit((sides[0] / size_hw[0], sides[1] / size_hw[1]), offset)


def picture(config: Config, frame: np.ndarray) -> tuple[np.ndarray, Fit]:
    """The frame, uint8 [H, W, 3] BGR, as nvinfer scales it: plainly bilinear, black beside it; uint8 [h, w, C]."""
    colored = _colored(config, frame)
    place = fit(config, (frame.shape[0], frame.shape[1]), whole=True)
    sides = [round(scale * size) for scale, size in zip(place.scale_yx, frame.shape, strict=False)]
    canvas = np.zeros((*config.dims[1:], config.dims[0]), np.uint8)
    scaled = cv2.resize(colored, (sides[1], sides[0]), interpolation=cv2.INTER_LINEAR)
    (top, left), (height, width) = place.offset_yx, sides
    canvas[top : top + height, left : left + width] = scaled.reshape(height, width, -1)
    return canvas, place


def picture_of_ours(config: Config, frame: np.ndarray, warp: Warp, fill: tuple[float, ...]) -> tuple[np.ndarray, Fit]:
    """The same, but for the two things that no configuration can say: scaled by `warp`, `fill` beside the frame."""
    place = fit(config, (frame.shape[0], frame.shape[1]), whole=False)
    return warp(_colored(config, frame), place.matrix(), config.dims[1:], fill), place


def normalised(config: Config, image: np.ndarray) -> np.ndarray:
    """A picture [h, w, C] as the network takes it: float32 [C, h, w]."""
    offsets = np.array(config.offsets, np.float32)
    return np.ascontiguousarray((config.scale * (image.astype(np.float32) - offsets)).transpose(2, 0, 1))


def play(config: Config, runtime: Runtime, images: list[np.ndarray]) -> list[dict[str, np.ndarray]]:
    """Pictures [C, h, w] through the network, `batch-size` at a time: of each its layers, without the batch."""
    name = next(iter(runtime.inputs))
    found: list[dict[str, np.ndarray]] = []
    for start in range(0, len(images), config.batch_size):
        chunk = torch.from_numpy(np.stack(images[start : start + config.batch_size]))
        outputs = runtime({name: chunk})
        found += [{key: value[i].numpy() for key, value in outputs.items()} for i in range(len(chunk))]
    return found


def parse(
    config: Config, layers: dict[str, np.ndarray], names: dict[str, str], place: Fit, size_hw: tuple[int, int],
    *, least: tuple[float, ...] | None = None,
) -> Boxes:
    """The boxes that the parser makes of the layers of one frame, on the frame.

    Args:
        names: which layer is "count", "boxes", "scores", "classes".
        least: thresholds in place of the configuration's.
    """
    count = int(layers[names["count"]].reshape(-1)[0])
    scores, ids = layers[names["scores"]][:count], layers[names["classes"]][:count].astype(np.int64)
    thresholds = np.array(least or config.thresholds, np.float32)
    if len(ids) and (ids.min() < 0 or ids.max() >= len(thresholds)):
        raise QualityError(f"{config.path}: the network finds a class {int(ids.max())}, which has no label")
    _, height, width = config.dims
    sides = np.array([width, height, width, height], np.float32)
    boxes = np.clip(layers[names["boxes"]][:count] * sides, 0, sides)
    kept = (scores >= thresholds[ids]) & (boxes[:, 2] >= boxes[:, 0]) & (boxes[:, 3] >= boxes[:, 1])
    (sy, sx), (oy, ox) = place.scale_yx, place.offset_yx
    on_frame = (boxes[kept] - np.array([ox, oy, ox, oy])) / np.array([sx, sy, sx, sy])
    limit = np.array([size_hw[1], size_hw[0]] * 2)
    return Boxes(np.clip(on_frame, 0, limit).astype(np.float32), scores[kept], ids[kept])


def _colored(config: Config, frame: np.ndarray) -> np.ndarray:
    if config.color == 1:
        return frame
    converted = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY if config.color == 2 else cv2.COLOR_BGR2RGB)
    return converted.reshape(*frame.shape[:2], -1)


def _section(path: Path, name: str) -> dict[str, str]:
    """A section of a key file; QualityError where there is none."""
    parser = _parser(path)
    if not parser.has_section(name):
        raise QualityError(f"{path}: no section [{name}]")
    return dict(parser[name])


def _parser(path: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, delimiters=("=",), comment_prefixes=("#",), strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(path.read_text())
    except (configparser.Error, UnicodeDecodeError, OSError) as error:
        raise QualityError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from error
    return parser


def _value(path: Path, section: dict[str, str], key: str) -> str:
    if not section.get(key):
        raise QualityError(f"{path}: no {key} in [{GROUP}]")
    return section[key].strip()


def _numbers(path: Path, section: dict[str, str], key: str, count: int) -> tuple[float, ...]:
    text = _value(path, section, key)
    try:
        numbers = tuple(float(part) for part in text.split(";") if part.strip())
    except ValueError:
        raise QualityError(f"{path}: {key}={text}: not numbers") from None
    if len(numbers) != count:
        raise QualityError(f"{path}: {key}={text}: {len(numbers)} numbers, not {count}")
    return numbers


def _labels(path: Path) -> tuple[str, ...]:
    try:
        return tuple(line for line in path.read_text().splitlines() if line)
    except (OSError, UnicodeDecodeError) as error:
        raise QualityError(f"{path}: the labels cannot be read") from error


def _thresholds(path: Path, classes: int) -> tuple[float, ...]:
    """Of [class-attrs-all], and of [class-attrs-N] for a class of its own."""
    parser, found = _parser(path), []
    for place in range(classes):
        own = f"class-attrs-{place}"
        name = own if parser.has_section(own) else "class-attrs-all"
        section = dict(parser[name]) if parser.has_section(name) else {}
        limits = [key for key in OBJECT_LIMITS if section.get(key, "0") != "0"]
        if limits:
            raise QualityError(f"{path}: {limits[0]} drops boxes", "set it to 0")
        found.append(_numbers(path, section, "pre-cluster-threshold", 1)[0])
    return tuple(found)


def _check_parser(path: Path, section: dict[str, str], facts: dict[str, Any]) -> None:
    _value(path, section, "custom-lib-path")
    wanted = {"network-type": "network_type", "parse-bbox-func-name": "parser"}
    for key, fact in wanted.items():
        value = str(facts["deepstream"][fact])
        if _value(path, section, key) != value:
            told = f"{path}: {key}={section[key]} does not read the layers of this graph"
            raise QualityError(told, f"set it to {value}")


def _check_app(folder: Path, config: Config) -> None:
    """The pipeline plays this configuration, with its batch size."""
    path = folder / deepstream.APP
    section = _section(path, "primary-gie")
    if section.get("config-file") != config.path.name or section.get("enable") != "1":
        raise QualityError(f"{path}: [primary-gie] does not play {config.path.name}")
    if section.get("batch-size") != str(config.batch_size):
        raise QualityError(f"{path}: batch-size={section.get('batch-size')}, and {config.path.name} says otherwise")

