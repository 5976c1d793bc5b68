"""Every clause of the contract, asked of every task."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tltpy import tasks
from tltpy.data.loader import Draw
from tltpy.tasks.contract import Seen, Task


class Stored(list[Any]):
    """Records in memory."""

    warnings = ()

    def weights(self) -> None:
        return None


@pytest.fixture
def task(task_name: str) -> Task:
    return tasks.load(task_name)


def rng(seed: int = 3) -> np.random.Generator:
    return np.random.default_rng(seed)


def draw(seed: int) -> Draw:
    return Draw(rng(seed))


def batch_of(task: Task, cfg: Any, count: int, training: bool = False) -> dict[str, Any]:
    records = [task.example(cfg, rng(seed)) for seed in range(count)]
    return task.collate([task.sample(record, cfg, draw(9) if training else None) for record in records])


def same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if hasattr(a, "__dataclass_fields__"):
        return all(same(getattr(a, name), getattr(b, name)) for name in a.__dataclass_fields__)
    return bool(a == b)


def test_the_spec_of_the_small_experiment_has_no_problem(task_name: str, cfg: Any) -> None:
    assert [finding for finding in tasks.check(task_name, cfg) if not finding.warning] == []


def test_every_alias_leads_to_the_task(task_name: str) -> None:
    entry = tasks.entry(task_name)
    assert all(tasks.entry(alias) is entry for alias in (entry.name, *entry.aliases))


def test_example_is_a_pure_function_of_the_generator(task: Task, cfg: Any) -> None:
    assert same(task.example(cfg, rng(1)), task.example(cfg, rng(1)))
    assert not same(task.example(cfg, rng(1)), task.example(cfg, rng(2)))


def test_sample_varies_with_the_generator_alone(task: Task, cfg: Any) -> None:
    record = task.example(cfg, rng())
    assert same(task.sample(record, cfg, draw(1)), task.sample(record, cfg, draw(1)))
    assert not same(task.sample(record, cfg, draw(1)), task.sample(record, cfg, draw(2)))
    assert same(task.sample(record, cfg, None), task.sample(record, cfg, None))


def test_loss_is_finite_and_every_parameter_has_a_gradient(task: Task, cfg: Any) -> None:
    torch.manual_seed(0)
    network = task.build(cfg).train()
    losses = task.loss(network, batch_of(task, cfg, 3, training=True), cfg, lambda value: value)
    assert all(value.ndim == 0 and bool(value.isfinite()) for value in losses.values())
    losses["loss"].backward()
    without = [name for name, value in network.named_parameters() if value.grad is None or not value.grad.any()]
    assert without == []


def test_output_keys_are_the_same_in_training_and_evaluation(task: Task, cfg: Any) -> None:
    network = task.build(cfg)
    inputs = task.inputs(batch_of(task, cfg, 2), None, cfg)
    assert network.train()(inputs).keys() == network.eval()(inputs).keys()


def test_two_in_a_batch_are_two_alone(task: Task, cfg: Any) -> None:
    torch.manual_seed(0)
    network = task.build(cfg).eval()
    both = task.inputs(batch_of(task, cfg, 2), None, cfg)
    with torch.no_grad():
        together = network(both)
        apart = [network({name: value[i : i + 1] for name, value in both.items()}) for i in (0, 1)]
    for name, value in together.items():
        torch.testing.assert_close(value, torch.cat([one[name] for one in apart]), rtol=1e-3, atol=1e-3)


def test_metric_of_what_is_decoded_from_the_truth_is_perfect(task: Task, cfg: Any) -> None:
    batch = batch_of(task, cfg, 5)
    predictions, _ = task.decode(task.ideal(batch, cfg), batch, None, cfg)
    metric = task.metric(cfg)
    metric.update(predictions, batch)
    best = metric.result()[metric.headline]
    assert best == pytest.approx(1.0 if metric.higher_is_better else 0.0, abs=1e-6)
    assert f"{best:.1f}" in metric.table()


def test_metric_of_an_untrained_network_is_worse(task: Task, cfg: Any) -> None:
    torch.manual_seed(0)
    batch = batch_of(task, cfg, 3)
    graph = task.graphs(task.build(cfg).eval(), cfg)[0]
    with torch.no_grad():
        predictions, _ = task.decode(graph.module(task.inputs(batch, None, cfg)), batch, None, cfg)
    metric, ideal = task.metric(cfg), task.metric(cfg)
    metric.update(predictions, batch)
    ideal.update(task.decode(task.ideal(batch, cfg), batch, None, cfg)[0], batch)
    values = [m.result()[m.headline] for m in (metric, ideal)]
    assert values[0] < values[1] if metric.higher_is_better else values[0] > values[1]


def test_metrics_merge(task: Task, cfg: Any) -> None:
    batch = batch_of(task, cfg, 4)
    whole = task.metric(cfg)
    whole.update(task.decode(task.ideal(batch, cfg), batch, None, cfg)[0], batch)
    parts = []
    for seeds in ((0, 1), (2, 3)):
        part = task.collate([task.sample(task.example(cfg, rng(seed)), cfg, None) for seed in seeds])
        metric = task.metric(cfg)
        metric.update(task.decode(task.ideal(part, cfg), part, None, cfg)[0], part)
        parts.append(metric.state())
    merged = task.metric(cfg)
    merged.merge(parts)
    assert merged.result() == whole.result()


def test_metric_shows_predictions_and_data(task: Task, cfg: Any) -> None:
    records = Stored([task.example(cfg, rng(seed)) for seed in range(4)])
    batch = task.collate([task.sample(record, cfg, None) for record in records])
    metric = task.metric(cfg)
    metric.update(task.decode(task.ideal(batch, cfg), batch, None, cfg)[0], {**batch, "index": [0, 1, 2, 3]})
    varied = task.collate([task.sample(record, cfg, Draw(rng(9))) for record in records])
    few, all_ = metric.pictures(Seen(records)), metric.pictures(Seen(records, records, varied))
    assert {one.about for one in few} == {"predictions"} and {one.about for one in all_} == {"predictions", "data"}
    assert len({one.name for one in all_}) == len(all_) > len(few) > 0
    for one in all_:
        head = {".png": b"\x89PNG", ".jpg": b"\xff\xd8\xff"}[one.suffix]
        assert one.data.startswith(head) and one.title and one.alt and one.caption
    assert metric.pictures(Seen(records)) == few, "the same numbers give the same bytes"


def test_layers_to_keep_exist(task: Task, cfg: Any) -> None:
    network = task.build(cfg)
    names = dict(network.named_modules())
    assert task.keep(network) and all(name in names for name in task.keep(network))


def test_graph_maps_its_example_to_its_outputs(task: Task, cfg: Any) -> None:
    for graph in task.graphs(task.build(cfg).eval(), cfg):
        with torch.no_grad():
            outputs = graph.module(graph.example)
        assert tuple(outputs) == graph.outputs
        assert all(value.shape[0] == 2 for value in (*outputs.values(), *graph.example.values()))


def test_graph_in_onnx_runtime_equals_the_module(task: Task, cfg: Any) -> None:
    from tltpy.deploy import onnx
    from tltpy.deploy.compare import compare
    from tltpy.deploy.runtime import open_runtime

    torch.manual_seed(0)
    graph = task.graphs(task.build(cfg).eval(), cfg)[0]
    inputs = task.inputs(batch_of(task, cfg, 3), None, cfg)
    written = onnx.write(graph.module.eval(), graph.example, graph.outputs, metadata=graph.metadata)
    runtime = open_runtime(written)
    with torch.no_grad():
        eager = graph.module(inputs)
    outputs = runtime(inputs)
    assert runtime.metadata["labels"] == graph.metadata["labels"]
    # a network with random weights has many boxes of nearly one score, which may change places
    found = compare(outputs, eager, absolute=1e-3, relative=1e-3, share=0.1)
    assert found.equal, found.describe()


def test_presentation_has_the_size_of_the_stored_picture(task: Task, cfg: Any) -> None:
    record = task.example(cfg, rng())
    batch = task.collate([task.sample(record, cfg, None)])
    predictions, _ = task.decode(task.ideal(batch, cfg), batch, None, cfg)
    shown = task.present(record, predictions[0], cfg, 0.3)
    assert shown.image.dtype == np.uint8 and shown.image.shape == record.image().shape
    assert shown.labels.count("\n") == len(shown.data["objects"]) > 0
    nothing = task.present(record, predictions[0], cfg, 1.0)
    assert nothing.labels == "" and np.array_equal(nothing.image, record.image())
