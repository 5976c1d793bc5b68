"""What every task answers: the one page on which verbs (tltpy.steps) and nouns (tltpy.tasks.*) meet.

A *record* is a frozen dataclass of the task: one example as read from disk, its pixels opened on demand. A *sample*
and a *batch* are dicts of tensors, *inputs* and *outputs* dicts of tensors named like the inputs and outputs of the
exported graph. `cfg` is the task's canonical spec message (tasks.canonical). The keys and shapes of the dicts stand in
the docstring of each task's data, model and decode modules.

`evaluate` and `infer` feed `inputs` to a module of `graphs` or to an engine built from it and cannot tell which.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch import Tensor, nn

from tltpy.data.loader import Draw
from tltpy.report.picture import Picture

Record = Any
Config = Any
State = Any
Prediction = Any
Tensors = dict[str, Tensor]
Mean = Callable[[Tensor], Tensor]
"""Mean of a scalar tensor over all processes of the run; the identity where there is one process."""


@dataclass(frozen=True)
class Graph:
    """One network to export: `module` maps a dict of `inputs` to a dict with the keys `outputs`, in this order.

    `metadata` travels with the graph as JSON. Its keys, each where it applies:

    labels      class names in the order of the ids
    input       name, layout, color ("BGR", "RGB" or "grey"), bits (of a channel), mean (one value a channel), scale:
                the input is scale * (pixel - mean); size_hw, fit ("letterbox": aspect ratio kept, centred, margin
                filled with the mean; "stretch"), resize (the same in words)
    boxes       names of the outputs "count" [B, 1], "boxes" [B, K, 4] (xmin, ymin, xmax, ymax; 0..1 of the input),
                "scores" [B, K], "classes" [B, K]. With it stands in the `data` of every Presentation a list "objects"
                of {"class", "box_xyxy" (pixels of the picture as stored), "score"}, and every record has image() ->
                uint8 [H, W, 3] BGR (8 bits a channel)
    nms         confidence_threshold, iou_threshold, top_k, candidates (of a class), score_bits and the name of its
                field in the spec: how `candidates` becomes `module`
    deepstream  network_type, parser, library, output_blobs: what DeepStream has to be told besides

    `candidates`, where the outputs are "boxes", is the module without its last selection: {"candidate_boxes" [B, N, 1,
    4], "candidate_scores" [B, N, C]}, for players that have a selection of their own.
    """

    name: str
    module: nn.Module
    example: Tensors  # inputs of a batch of two, on the CPU
    outputs: tuple[str, ...]
    metadata: dict[str, Any] = field(default_factory=dict)
    candidates: nn.Module | None = None


@dataclass(frozen=True)
class Presentation:
    """What infer writes for one record."""

    data: dict[str, Any]  # for JSON
    image: np.ndarray  # uint8 [H, W, 3], BGR
    labels: str  # the text of a label file in the format of the task's data sets
    labels_suffix: str = ".txt"


class Records(Protocol):
    """Records at random access. `warnings` are for the log; `weights` [N] say how often each is drawn, None: all
    alike."""

    @property
    def warnings(self) -> Sequence[str]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Record: ...

    def weights(self) -> np.ndarray | None: ...


@dataclass(frozen=True)
class Seen:
    """What a measurement was made of; `training` and a varied `batch` of it where the model was just trained."""

    validation: Records
    training: Records | None = None
    batch: dict[str, Any] | None = None


class Metric(Protocol):
    """Gathers predictions; `result` holds at least the task's headline number under `headline`, more with `detail`.

    The key "index" of a batch says which validation records it holds, where `pictures` may be asked for them.
    """

    headline: str
    higher_is_better: bool

    def update(self, predictions: Sequence[Prediction], batch: dict[str, Any]) -> None: ...

    def result(self, detail: bool = False) -> dict[str, Any]: ...

    def table(self, detail: bool = False) -> str: ...

    def pictures(self, seen: Seen) -> list[Picture]:
        """What is worth seeing of the predictions and of the data behind them, in the order of reading."""
        ...

    def state(self) -> list[Any]: ...

    def merge(self, states: Iterable[list[Any]]) -> None: ...


@dataclass(frozen=True)
class Task:
    """The clauses of the contract; every one is a plain function."""

    stem: Callable[[Config], str]
    """Name of the model files, e.g. yolo_resnet18."""
    read: Callable[[Config, str | Path], Records]
    """"training" or "validation" of the spec, or an image / a folder of images without labels."""
    example: Callable[[Config, np.random.Generator], Record]
    """A made-up record that needs no file."""
    sample: Callable[[Record, Config, Draw | None], dict[str, Any]]
    """Opens and encodes a record; varied at random when a draw is given (then it is for training)."""
    collate: Callable[[list[dict[str, Any]]], dict[str, Any]]
    build: Callable[[Config], nn.Module]
    """The network with random weights: inputs dict -> raw outputs dict."""
    loss: Callable[[nn.Module, dict[str, Any], Config, Mean], Tensors]
    """Runs the network and returns scalars; "loss" is what is minimised, the rest is for the log."""
    ideal: Callable[[dict[str, Any], Config], Tensors]
    """The raw outputs of a network that makes no error on the batch (tests: decode of it is the truth)."""
    inputs: Callable[[dict[str, Any], State, Config], Tensors]
    """What a module or an engine is fed; its keys are the names of the exported graph's inputs."""
    decode: Callable[[Tensors, dict[str, Any], State, Config], tuple[list[Prediction], State]]
    """Outputs of a graph -> one prediction a record, and what the next batch needs to know (None: nothing)."""
    metric: Callable[[Config], Metric]
    keep: Callable[[nn.Module], list[str]]
    """Names of the layers whose output width must not change."""
    graphs: Callable[[nn.Module, Config], list[Graph]]
    present: Callable[[Record, Prediction, Config, float], Presentation]
    """A record and its prediction above a score -> what infer writes."""
