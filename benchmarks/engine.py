"""The ONNX Runtime engine against eager PyTorch: the same graph, threads and pictures, turn by turn in one run.

python benchmarks/engine.py [SPEC] [--threads N] [--batch N]

The network has random weights: they do not change what is computed. Its batch normalisation has seen a few pictures, so
that scores are not all the same. Aim: the engine is at least 1.3 times as fast.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from tltpy import tasks
from tltpy.deploy import engine, onnx
from tltpy.deploy.runtime import open_runtime
from tltpy.spec import load

ROUNDS = 15


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("spec", nargs="?", default="specs/yolo/kitti_resnet18.txt")
    parser.add_argument("--task", default="yolo")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--batch", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    task = tasks.load(options.task)
    cfg = tasks.canonical(options.task, load.load(options.spec, tasks.message(options.task)).message)
    inputs = _inputs(task, cfg, options.batch)
    graph = task.graphs(_network(task, cfg, inputs), cfg)[0]
    module = graph.module.eval()

    start = time.perf_counter()
    content = onnx.write(module, graph.example, graph.outputs, metadata=graph.metadata)
    print(f"export {time.perf_counter() - start:.1f} s, {len(content) / 1e6:.1f} MB")
    (built,) = engine.build(content, backend="onnxruntime", precision="fp32").values()
    runtime = open_runtime(built, threads=options.threads)

    wide = {name: value.contiguous(memory_format=torch.channels_last) for name, value in inputs.items()}
    last = task.graphs(_network(task, cfg, inputs), cfg)[0].module.eval().to(memory_format=torch.channels_last)
    runners: dict[str, Callable[[], Any]] = {
        "eager": lambda: module(inputs),
        "eager, channels last": lambda: last(wide),
        "engine": lambda: runtime(inputs),
    }
    times = _interleaved(runners)
    shapes = ", ".join(f"{name} {list(value.shape)}" for name, value in inputs.items())
    print(f"{options.spec}: {shapes}, {options.threads} threads")
    for name, spent in times.items():
        print(f"{name:<22} {1000 * spent:8.1f} ms   {times['eager'] / spent:5.2f} x eager")
    best = min(spent for name, spent in times.items() if name != "engine")
    print(f"engine against the better eager: {best / times['engine']:.2f} x")


def _interleaved(runners: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Median seconds of each; all of them take turns, so that other work on the machine strikes all alike."""
    times: dict[str, list[float]] = {name: [] for name in runners}
    with torch.inference_mode():
        for turn in range(ROUNDS + 2):
            for name, run in runners.items():
                start = time.perf_counter()
                run()
                if turn >= 2:
                    times[name].append(time.perf_counter() - start)
    return {name: statistics.median(spent) for name, spent in times.items()}


def _network(task: Any, cfg: Any, inputs: dict[str, torch.Tensor]) -> torch.nn.Module:
    torch.manual_seed(0)
    network = task.build(cfg).train()
    with torch.no_grad():
        for _ in range(3):
            network({name: value.repeat(2, 1, 1, 1) for name, value in inputs.items()})
    return network.eval()


def _inputs(task: Any, cfg: Any, batch: int) -> dict[str, torch.Tensor]:
    rng = np.random.default_rng(0)
    found: dict[str, torch.Tensor] = task.inputs(
        task.collate([task.sample(task.example(cfg, rng), cfg, None) for _ in range(batch)]), None, cfg
    )
    return found


if __name__ == "__main__":
    main()
