"""Cutting and fitting: a pruned network computes what that with zeroed filters computed, and its file loads."""

import copy
import warnings

import numpy as np
import pytest
import torch
import torchvision
from topologies import CASES, Tensors, build, conv, inputs, vary
from torch import nn

from tltpy import prune
from tltpy.errors import ModelFileError, UsageError
from tltpy.nn import cost
from tltpy.prune.couple import couple
from tltpy.tasks.yolo.architectures import ARCHITECTURES
from tltpy.tasks.yolo.model import YoloV3

LOOSE = prune.Settings(threshold=0.0, granularity=1, min_num_filters=1)
HARD = prune.Settings(equalization="intersection", threshold=0.97, granularity=4, min_num_filters=8)


def silence(network: nn.Module, seed: int, example: Tensors) -> int:
    """Zeroes some filters of each open group, with all that would let them speak; returns how many."""
    found = couple(network, example)
    rng = np.random.default_rng(seed)
    dead: set[int] = set()
    for group in found.groups:
        if not group.frozen:
            dead |= set(rng.choice(group.classes, size=len(group.classes) // 3, replace=False).tolist())
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    filters = set(found.filters.values())
    with torch.no_grad():
        for (name, dim), ids in found.slots.items():
            tensor = tensors[name]
            if (name, dim) in filters or (dim == 0 and tensor.dim() == 1 and "running_var" not in name):
                gone = np.flatnonzero([owner in dead for owner in ids.tolist()])
                tensor.index_fill_(dim, torch.as_tensor(gone), 0.0)
    return len(dead)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("seed", [0, 1])
def test_removing_zeroed_filters_changes_no_output(name: str, seed: int) -> None:
    network = build(name, seed)
    removed = silence(network, seed, inputs())
    expected = network(inputs())
    cuts = prune.plan(network, inputs(), LOOSE)
    before, after = sum(row.before for row in cuts.rows), sum(row.after for row in cuts.rows)
    assert removed > 0 and before - after >= removed
    prune.apply(network, cuts)
    for key, value in network(inputs()).items():
        # a gate that is cut with its map says sigmoid(0) no more, but what it gated was zero
        torch.testing.assert_close(value, expected[key], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("arch", "layers"), [("resnet", 50), *((arch, next(iter(sizes))) for arch, sizes in ARCHITECTURES.items())]
)
def test_removing_zeroed_filters_of_a_detector_changes_no_output(arch: str, layers: int) -> None:
    torch.manual_seed(3)
    network = YoloV3(arch=arch, layers=layers, conv_blocks=0, anchors=[1, 1, 1], classes=2)
    vary(network.eval())
    example = {"Input": torch.randn(2, 3, 32, 64)}
    removed = silence(network, 3, example)
    expected = network(example)
    found = prune.survey(network, example, LOOSE)
    open_layers = {layer for group, _ in found.scores if not group.frozen for layer in group.layers}
    assert len(open_layers | found.coupling.follows) == len(found.coupling.filters) - 3  # all but the output layers
    cuts = prune.choose(found, 0.0)
    prune.apply(network, cuts)
    assert removed > 100 and cuts.ratio < 0.7
    for key, value in network(example).items():
        scale = float(expected[key].detach().abs().max())
        torch.testing.assert_close(value, expected[key], atol=1e-4 * scale, rtol=1e-3)
        assert scale > 1e-3


@pytest.mark.parametrize("name", CASES)
def test_threshold_zero_changes_nothing(name: str) -> None:
    network = build(name)
    expected = network(inputs())
    cuts = prune.plan(network, inputs(), prune.Settings(threshold=0.0))
    assert not cuts.keep and cuts.ratio == 1.0
    prune.apply(network, cuts)
    assert all(torch.equal(value, expected[key]) for key, value in network(inputs()).items())


@pytest.mark.parametrize("name", CASES)
def test_plans_foretell_cost_and_fit_builds_the_same_network(name: str) -> None:
    network = build(name)
    found = prune.survey(network, inputs(), HARD, cost.macs(network, inputs()))
    cuts = prune.choose(found, HARD.threshold)
    full = copy.deepcopy(network)
    prune.apply(network, cuts)
    assert cuts.parameters == (cost.parameters(full), cost.parameters(network))
    assert cuts.flops == (cost.flops(full, inputs()), cost.flops(network, inputs()))
    assert 0.0 < cuts.ratio < 0.9 and 0.0 < cuts.flops_ratio < 0.9

    state = network.state_dict()
    prune.fit(full, {key: tensor.shape for key, tensor in state.items()})
    full.load_state_dict(state, strict=True)
    expected = network(inputs())
    assert all(torch.equal(value, expected[key]) for key, value in full(inputs()).items())
    assert repr(full) == repr(network)


@pytest.mark.parametrize("name", CASES)
def test_a_pruned_network_trains(name: str) -> None:
    network = build(name)
    prune.apply(network, prune.plan(network, inputs(), HARD))
    network.train()
    optimizer = torch.optim.Adam(network.parameters())
    sum(value.square().mean() for value in network(inputs()).values()).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    optimizer.step()


def test_a_pruned_network_exports() -> None:
    network = build("neck")
    prune.apply(network, prune.plan(network, inputs(), HARD))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own
        program = torch.export.export(network, (inputs(),))
    expected = network(inputs())
    assert all(torch.equal(value, expected[key]) for key, value in program.module()(inputs()).items())


def test_modules_say_their_new_widths() -> None:
    network = build("depthwise")
    prune.apply(network, prune.plan(network, inputs(), prune.Settings(threshold=9.0, min_num_filters=8)))
    convolution, normalization = network.dw[0], network.dw[1]
    assert (convolution.in_channels, convolution.out_channels, convolution.groups) == (8, 8, 8)
    assert convolution.weight.shape == (8, 1, 3, 3) and normalization.num_features == 8
    assert (network.pw[0].in_channels, network.out.in_channels, network.out.out_channels) == (8, 8, 5)
    assert network.act.num_parameters == 8 and network.scale.shape == (8, 1, 1)
    network = build("flatten")
    prune.apply(network, prune.plan(network, inputs(), prune.Settings(threshold=9.0, min_num_filters=8)))
    assert (network.up.in_channels, network.up.out_channels) == (8, 8)
    assert (network.hidden.in_features, network.hidden.out_features, network.out.in_features) == (8 * 6, 8, 8)


def test_shared_tensors_stay_shared() -> None:
    network = build("shared")
    prune.apply(network, prune.plan(network, inputs(), HARD))
    assert network.q.weight is network.p.weight and len(network.p.weight) < 32
    full = build("shared", seed=7)
    prune.fit(full, {key: tensor.shape for key, tensor in network.state_dict().items()})
    full.load_state_dict(network.state_dict())
    assert full.q.weight is full.p.weight and full.q.out_channels == network.p.out_channels


def test_gradients_of_the_full_network_are_dropped() -> None:
    network = build("chain")
    network(inputs())["y"].sum().backward()
    prune.apply(network, prune.plan(network, inputs(), HARD))
    assert network.a[0].weight.grad is None


@pytest.mark.parametrize("measure", ["parameters", "flops"])
@pytest.mark.parametrize("name", ["residual", "neck", "depthwise"])
def test_the_search_stops_at_the_mildest_threshold(name: str, measure: str) -> None:
    network = build(name)
    settings = prune.Settings(granularity=2, min_num_filters=2)
    found = prune.survey(network, inputs(), settings, cost.macs(network, inputs()))
    values = np.unique(np.concatenate([[0.0], *(statistic for _, statistic in found.scores)]))
    for share in (0.3, 0.5, 0.8):
        cuts = prune.search(found, share, measure)
        remains = {"parameters": cuts.ratio, "flops": cuts.flops_ratio}
        assert remains[measure] <= share
        milder = values[values < cuts.threshold]
        assert len(milder)
        weaker = prune.choose(found, float(milder[-1]))
        assert {"parameters": weaker.ratio, "flops": weaker.flops_ratio}[measure] > share


def test_a_share_out_of_reach_is_refused() -> None:
    network = build("chain")
    found = prune.survey(network, inputs(), prune.Settings(min_num_filters=40))
    with pytest.raises(UsageError, match="no threshold leaves 0.2 or less of the parameters"):
        prune.search(found, 0.2, "parameters")


def shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def test_what_does_not_fit_is_named() -> None:
    good = shapes(build("chain"))
    wrong = [
        ({**good, "b.0.weight": (40, 24, 1, 1)}, r"b\.0\.weight of shape \[40, 24, 1, 1\].*\[40, 24, 3, 3\]"),
        ({**good, "b.0.weight": (48, 24, 3, 3)}, r"b\.0\.weight of shape"),
        ({**good, "b.0.weight": (40, 24)}, r"b\.0\.weight of shape"),
        ({**good, "a.1.bias": (0,)}, r"a\.1\.bias of shape"),
        ({**good, "c.weight": (3,)}, "has a tensor c.weight, which the network"),
        ({name: shape for name, shape in good.items() if name != "a.1.bias"}, r"has no tensor a\.1\.bias"),
    ]
    for given, message in wrong:
        network = build("chain")
        with pytest.raises(ModelFileError, match=message):
            prune.fit(network, given)
        assert shapes(network) == good


def test_costs_of_a_known_layer() -> None:
    network = nn.Module()
    network.layer = conv(3, 8, 3)
    network.forward = lambda inputs: {"y": network.layer(inputs["x"])}
    counted = cost.macs(network, inputs())
    assert counted == {"": 2 * 16 * 24 * 8 * 3 * 9, "layer": 2 * 16 * 24 * 8 * 3 * 9}
    assert cost.flops(network, inputs()) == 2 * counted[""]
    assert cost.parameters(network) == 8 * 3 * 9 + 8


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "efficientnet_b0"])
def test_costs_are_those_that_torchvision_publishes(name: str) -> None:
    network = torchvision.models.get_model(name)
    meta = torchvision.models.get_model_weights(name).IMAGENET1K_V1.meta
    counted = cost.macs(network, torch.zeros(2, 3, 224, 224))
    assert counted[""] / 2e9 == pytest.approx(meta["_ops"], abs=6e-4)  # published in 10^9, three decimals
    assert cost.parameters(network) == meta["num_params"]
    children = [count for child, count in counted.items() if child and "." not in child]
    assert sum(children) == counted[""]
