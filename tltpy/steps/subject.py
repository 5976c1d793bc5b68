"""What evaluate and infer run: a network from a .tlt, a sealed or plain graph, an engine, or an untrained network.

All of them are one function from the inputs dict to the outputs dict of the task's graph.
"""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tltpy import artifact, tasks
from tltpy.deploy.runtime import open_runtime
from tltpy.errors import ModelFileError
from tltpy.nn import cost
from tltpy.steps import models
from tltpy.steps.evaluation import Runner


@dataclass(frozen=True)
class Subject:
    """`params` and `flops` (of one example) are None where an engine does not tell them.

    `digest` names a sealed file, `lineage` the files that it comes from, oldest first (models.lineage); of a plain
    graph and of an engine the digest of the model alone is known.
    """

    runner: Runner
    kind: str
    params: int | None
    flops: int | None
    size_bytes: int | None
    digest: str | None = None
    lineage: tuple[dict[str, Any], ...] = ()


def open_subject(path: Path | None, key: str | None, name: str, cfg: Any, device: torch.device) -> Subject:
    """The file's network or engine on a device; without a path the network with random weights."""
    if path is None:
        torch.manual_seed(cfg.random_seed)
        return _of_network(tasks.load(name).build(cfg), "untrained", name, cfg, device, None)
    found = artifact.flavour(path)
    if found == "model":
        opened = models.open_network(path, key, name, cfg)
        made = _of_network(opened.network, f"{opened.file.header.stage} model", name, cfg, device, path)
        lineage = tuple(opened.file.metadata.get("lineage", ()))
        return replace(made, params=opened.params, digest=opened.file.digest, lineage=lineage)
    if found == "graph":
        graph = artifact.load_graph(path, key)
        if graph.header.task != name:
            raise ModelFileError(f"{path}: this is a graph of {graph.header.task}, not of {name}")
        made = _of_runtime(open_runtime(graph.onnx, name=str(path), device=device.type), name, cfg, path)
        return replace(made, digest=graph.digest, lineage=tuple(graph.metadata.get("lineage", ())))
    if found in ("onnx", "openvino", "engine", "plan"):
        return _of_runtime(open_runtime(path, device=device.type), name, cfg, path)
    artifact.load_model(path, key)  # says what the file is instead
    raise AssertionError(f"{path}: {found} was opened as a model")


def latency_ms(subject: Subject, inputs: dict[str, Tensor], *, runs: int = 30, budget_s: float = 3.0) -> float:
    """Median time of one run on `inputs`, after three that do not count."""
    times: list[float] = []
    started = time.perf_counter()
    with torch.inference_mode():
        for number in range(runs + 3):
            before = time.perf_counter()
            outputs = subject.runner(inputs)
            next(iter(outputs.values())).cpu()  # waits for a GPU
            if number >= 3:
                times.append(time.perf_counter() - before)
            if times and time.perf_counter() - started > budget_s:
                break
    return 1000.0 * sorted(times)[len(times) // 2]


def _of_network(network: Any, kind: str, name: str, cfg: Any, device: torch.device, path: Path | None) -> Subject:
    graph = tasks.load(name).graphs(network, cfg)[0]
    single = {key: value[:1] for key, value in graph.example.items()}
    params, flops = cost.parameters(network), cost.flops(network, single)
    module = graph.module.to(device).to(memory_format=torch.channels_last).eval()
    return Subject(module, kind, params, flops, path.stat().st_size if path else None)


def _of_runtime(runtime: Any, name: str, cfg: Any, path: Path) -> Subject:
    models.refuse_other_labels(runtime.metadata.get("labels"), name, cfg, path)
    size = sum(part.stat().st_size for part in {path, path.with_suffix(".bin")} if part.exists())
    facts = runtime.metadata
    source = ({"digest": facts["model"], "name": "", "step": "export"},) if "model" in facts else ()
    kind = f"{runtime.backend} engine"
    return Subject(runtime, kind, facts.get("params"), facts.get("flops"), size, lineage=source)
