"""Training speed, as ratios measured side by side in one run.

iteration   the whole training iteration (loader, augmentation, targets, loss, backward, penalty, step) over the bare
            forward and backward of the same network on ready tensors: at most 1.15 is the aim
loader      pictures a second of the loader alone, one worker, nothing cached, over bare decoding: at least 0.6
evaluation  tlt-evaluate's loop (loading, network, suppression, average precision) over bare forward passes: at most
1.25

usage: python benchmarks/training.py [--spec SPEC] [--steps N] [--size WxH] [--batch N] [--threads N]
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from tltpy import tasks
from tltpy.data.loader import Loader, Workers
from tltpy.log import Log
from tltpy.spec.load import load
from tltpy.steps import evaluation, processes, train

ROOT = Path(__file__).resolve().parent.parent
PICTURES = 48


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--spec", default=str(ROOT / "specs/yolo/kitti_resnet18.txt"))
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--size", default="416x416")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        cfg = experiment(options, Path(folder))
        request = train.TrainRequest(task="yolo", cfg=cfg, results_dir=Path(folder) / "out", key="k", dry_run=True)
        group = processes.join()
        training = train.Training(request, group, Log("benchmark", quiet=True))
        training.events = None
        network = f"{cfg.yolo_config.arch}{cfg.yolo_config.nlayers}"
        print(f"{network}, {options.size}, batch {options.batch}, {options.threads} threads, {group.device}")
        report("iteration", *iterations(training, options.steps), unit="s a step")
        report("evaluation", *evaluations(training), unit="s")
        report("loader", *loading(training), unit="pictures/s")
        training.loader.close()
        training.validation.close()


def experiment(options: Any, folder: Path) -> Any:
    """The spec at another input size, on made pictures of KITTI's size with a dozen boxes each."""
    os.environ.setdefault("TLT_OUT", str(folder))
    os.environ.setdefault("TLT_DATA", str(folder))
    rng = np.random.default_rng(0)
    (folder / "images").mkdir()
    (folder / "labels").mkdir()
    for number in range(PICTURES):
        coarse = rng.integers(0, 255, (47, 156, 3)).astype(np.uint8)
        noise = rng.integers(-12, 12, (375, 1242, 3))
        image = np.clip(cv2.resize(coarse, (1242, 375), interpolation=cv2.INTER_CUBIC) + noise, 0, 255)
        cv2.imwrite(str(folder / f"images/{number:06d}.png"), image.astype(np.uint8))
        boxes = rng.uniform((0, 0, 20, 20), (1100, 300, 140, 75), (12, 4))
        rows = [f"Car 0 0 0 {x:.0f} {y:.0f} {x + w:.0f} {y + h:.0f} 0 0 0 0 0 0 0\n" for x, y, w, h in boxes]
        (folder / f"labels/{number:06d}.txt").write_text("".join(rows))
    width, height = map(int, options.size.split("x"))
    cfg = tasks.canonical("yolo", load(options.spec, tasks.message("yolo")).message)
    data = cfg.dataset_config
    data.ClearField("target_class_mapping")
    data.target_class_mapping["car"] = "car"
    del data.data_sources[:]
    for sources in (data.data_sources, data.validation_data_sources):
        sources.add(label_directory_path=str(folder / "labels"), image_directory_path=str(folder / "images"))
    pre = cfg.augmentation_config.preprocessing
    pre.output_image_width, pre.output_image_height, pre.crop_right, pre.crop_bottom = width, height, 0, 0
    cfg.training_config.batch_size_per_gpu = cfg.eval_config.batch_size = options.batch
    return cfg


def iterations(training: train.Training, steps: int) -> tuple[list[float], list[float]]:
    """Seconds of whole iterations and of bare forward and backward, in turn."""
    network, cfg, task = training.network.train(), training.cfg, training.task
    ready = task.inputs(next(iter(training.loader.epoch(0))), None, cfg)
    whole, bare = [], []
    batches = (batch for epoch in range(10_000) for batch in training.loader.epoch(epoch))
    training.trainee.position.step = 0
    for number in range(steps + 2):
        started = time.perf_counter()
        training._step(processes.to_device(next(batches), training.group.device), 0)
        middle = time.perf_counter()
        outputs = network(ready)
        sum(value.sum() for value in outputs.values()).backward()
        network.zero_grad(set_to_none=True)
        ended = time.perf_counter()
        if number >= 2:  # the first ones warm up
            whole.append(middle - started)
            bare.append(ended - middle)
    return whole, bare


def evaluations(training: train.Training) -> tuple[list[float], list[float]]:
    """Seconds of the evaluation of all pictures and of the bare forward passes."""
    network, cfg, task = training.network.eval(), training.cfg, training.task
    graph = task.graphs(network, cfg)[0].module
    inputs = task.inputs(next(iter(training.validation.epoch(0))), None, cfg)
    whole, bare = [], []
    for number in range(3):
        started = time.perf_counter()
        metric = evaluation.measure(task, cfg, graph, training.validation, group=training.group, log=training.log)
        metric.result()
        middle = time.perf_counter()
        with torch.inference_mode():
            for _ in range(training.validation.steps):
                network(inputs)
        ended = time.perf_counter()
        if number:
            whole.append(middle - started)
            bare.append(ended - middle)
    return whole, bare


def loading(training: train.Training) -> tuple[list[float], list[float]]:
    """Pictures a second of the loader and of bare decoding, one thread each."""
    records = training.loader.recipe.records.records  # without the cache
    recipe = type(training.loader.recipe)(
        records, training.loader.recipe.sample, training.loader.recipe.collate, 0, training=True
    )
    cv2.setNumThreads(1)
    whole, bare = [], []
    for number in range(4):
        loader = Loader(recipe, training.loader.batch_size, Workers(1))
        started = time.perf_counter()
        for _ in loader.epoch(number):
            pass
        middle = time.perf_counter()
        for record in records:
            cv2.imread(str(record.image_path))
        ended = time.perf_counter()
        loader.close()
        if number:
            whole.append(len(records) / (middle - started))
            bare.append(len(records) / (ended - middle))
    return whole, bare


def report(name: str, whole: list[float], bare: list[float], unit: str) -> None:
    ours, theirs = statistics.median(whole), statistics.median(bare)
    print(f"{name:<12}{ours:10.3f}  bare {theirs:10.3f} {unit}   ratio {ours / theirs:.3f}")


if __name__ == "__main__":
    main()
