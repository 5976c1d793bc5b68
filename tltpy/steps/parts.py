"""The graphs of a task one by one, for the tools that look into a network: of an untrained one, a .tlt, or a graph that
was exported."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tltpy import artifact, tasks
from tltpy.errors import ModelFileError
from tltpy.steps import models, stages

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tltpy.tasks.contract import Graph

FLOAT = "float"


@dataclass(frozen=True)
class Part:
    """One graph: a module of `graph` with the `network` that it is part of, or the `content` of an ONNX file."""

    name: str
    graph: "Graph | None" = None
    network: "nn.Module | None" = None
    content: bytes | None = None

    def inputs(self) -> "dict[str, Tensor]":
        """Of one example."""
        assert self.graph is not None
        return {name: value[:1] for name, value in self.graph.example.items()}

    def shown(self, name: str) -> str:
        """What users know a module, or the node of a graph, by: its name in the network, without what is around."""
        path, colon, operation = name.partition(":")
        for prefix, inner in self._renamed():
            if path == prefix or path.startswith(f"{prefix}."):
                path = f"{inner}{path[len(prefix):]}".removeprefix(".")
                break
        return f"{path}{colon}{operation}"

    def _renamed(self) -> list[tuple[str, str]]:
        """(name within the graph, name within the network) of the parts of the network, the longest first."""
        if self.graph is None or self.network is None:
            return []
        known = {id(module): name for name, module in self.network.named_modules()}
        own = [(name, known[id(m)]) for name, m in self.graph.module.named_modules() if name and id(m) in known]
        return sorted(own, key=lambda pair: -len(pair[0]))


@dataclass(frozen=True)
class Opened:
    """`kind` in words, `stage` of the life; `network` None where there is but a graph."""

    kind: str
    stage: str
    parts: tuple[Part, ...]
    network: "nn.Module | None" = None


def open_parts(path: Path | None, key: str | None, name: str, cfg: Any) -> Opened:
    """The graphs of task `name` by the spec; without a path of the network with random weights.

    ModelFileError for a file of another task and for an engine, which does not tell what is in it.
    """
    if path is None:
        import torch

        torch.manual_seed(cfg.random_seed)
        return _of_network(tasks.load(name).build(cfg).eval(), "untrained network", FLOAT, name, cfg)
    found = artifact.flavour(path)
    if found == "model":
        opened = stages.in_integers(models.open_network(path, key, name, cfg))
        stage = opened.file.header.stage
        return _of_network(opened.network, f"{stage} model", stage, name, opened.cfg)
    if found == "graph":
        graph = artifact.load_graph(path, key)
        if graph.header.task != name:
            raise ModelFileError(f"{path}: this is a graph of {graph.header.task}, not of {name}")
        return _of_graph(str(graph.metadata.get("graph", path.stem)), graph.onnx)
    if found == "onnx":
        return _of_graph(path.stem, path.read_bytes())
    artifact.load_model(path, key)  # says what the file is instead
    raise AssertionError(f"{path}: {found} was opened as a model")


def _of_network(network: "nn.Module", kind: str, stage: str, name: str, cfg: Any) -> Opened:
    parts = tuple(Part(graph.name, graph, network) for graph in tasks.load(name).graphs(network, cfg))
    return Opened(kind, stage, parts, network)


def _of_graph(name: str, content: bytes) -> Opened:
    from tltpy.deploy import support

    return Opened("graph", "quantized" if support.quantized(content) else FLOAT, (Part(name, content=content),))
