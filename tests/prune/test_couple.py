"""Which channels belong together: by hand, by torch_pruning, and where the answer is that nothing may be cut."""

import copy
import warnings

import numpy as np
import pytest
import torch
import torchvision
from topologies import CASES, Tensors, build, conv, inputs, unit
from torch import nn

from tltpy import prune
from tltpy.prune.couple import Coupling, couple


class Picture(nn.Module):
    """A network of one tensor as one of dicts."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: Tensors) -> Tensors:
        return {"y": self.network(inputs["x"])}


@pytest.mark.parametrize("name", CASES)
def test_groups_are_those_worked_out_by_hand(name: str) -> None:
    found = couple(build(name), inputs())
    open_groups = {tuple(dict.fromkeys(group.layers)) for group in found.groups if not group.frozen}
    assert open_groups == CASES[name].groups


def test_the_halves_of_a_residual_with_a_concatenated_branch() -> None:
    groups = {group.layers: group.channels for group in couple(build("residual concat"), inputs()).groups}
    first, second = groups["a.0", "b"], groups["a.0", "c"]
    assert first[0].tolist() == first[1].tolist() == list(range(16))
    assert second[0].tolist() == list(range(16, 40)) and second[1].tolist() == list(range(24))


def test_offsets_of_a_concatenation() -> None:
    found = couple(build("concat"), inputs())
    a, b, c = (found.slots[f"{name}.0.weight", 0] for name in "abc")
    entering = found.slots["out.weight", 1]
    assert entering.tolist() == [-1, -1, -1, *a, *b, *c, *a]
    assert (found.slots["norm.running_var", 0] == entering).all()


def resnet18() -> nn.Module:
    return Picture(torchvision.models.resnet18(num_classes=7))


def densenet() -> nn.Module:
    return Picture(torchvision.models.DenseNet(growth_rate=8, block_config=(2, 3), num_init_features=16))


@pytest.mark.parametrize("make", [resnet18, densenet, *(lambda n=n: build(n) for n in ("residual chain", "neck"))])
def test_agrees_with_the_dependency_graph_of_torch_pruning(make: object) -> None:
    assert callable(make)
    network = make().eval()
    found = couple(network, inputs())
    checked = 0
    for layer, met in _torch_pruning(network, list(found.filters)):
        ours = found.slots[found.filters[layer]]
        for other, index, root in met:
            checked += 1
            assert found.slots[found.filters[other]][index] == ours[root], (layer, other, index, root)
        owners = {(other, index) for other, index, _ in met}
        reached = _owners(found, set(ours.tolist()))
        assert owners == reached
    assert checked > 50


def _owners(found: Coupling, classes: set[int]) -> set[tuple[str, int]]:
    return {
        (layer, index)
        for layer, slot in found.filters.items()
        for index, owner in enumerate(found.slots[slot].tolist())
        if owner in classes
    }


def _torch_pruning(network: nn.Module, layers: list[str]) -> list[tuple[str, list[tuple[str, int, int]]]]:
    """For each layer: (layer met, its filter, the filter of the first layer that it meets)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch_pruning as tp

        graph = tp.DependencyGraph().build_dependency(
            network, inputs(), forward_fn=lambda model, example: list(model(example).values())
        )
    names = {module: name for name, module in network.named_modules()}
    result = []
    for layer in layers:
        module = network.get_submodule(layer)
        cut = tp.prune_linear_out_channels if isinstance(module, nn.Linear) else tp.prune_conv_out_channels
        width = module.weight.shape[0]
        met = []
        for item in graph.get_pruning_group(module, cut, list(range(width))):
            target, handler = item.dep.target.module, item.dep.handler
            filters = isinstance(target, nn.Conv2d | nn.Linear) and graph.is_out_channel_pruning_fn(handler)
            if filters and "out" in handler.__name__:
                pairs = zip(item.idxs, item.root_idxs, strict=True)
                met += [(names[target], index, root) for index, root in pairs]
        result.append((layer, met))
    return result


class Opaque(nn.Module):
    """`a` and `b` go through something that is not understood, `c` and `d` go on."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        width = 8 if kind == "chunk" else 16
        self.a, self.c, self.d, self.out = unit(3, 16), unit(width, 24), unit(24, 16), conv(16, 5)
        self.odd = {
            "grouped": conv(16, 16, groups=4), "group norm": nn.GroupNorm(4, 16), "softmax": nn.Softmax(1),
            "layer norm": nn.LayerNorm([16, 16, 24]),
        }.get(kind, nn.Identity())

    def forward(self, inputs: Tensors) -> Tensors:
        x = self.odd(self.a(inputs["x"]))
        if self.kind == "chunk":
            x = x.chunk(2, dim=1)[1]
        elif self.kind == "split view":
            x = x.view(2, 4, 4, *x.shape[2:]).transpose(1, 2).reshape(x.shape)
        elif self.kind == "input":
            x = x + inputs["x"].repeat(1, 6, 1, 1)[:, :16]
        elif self.kind == "in place":
            x[:, 3] = 0.0
        return {"y": self.out(self.d(self.c(x)))}


@pytest.mark.parametrize(
    "kind", ["grouped", "group norm", "layer norm", "softmax", "chunk", "split view", "input", "in place"]
)
def test_what_is_not_understood_keeps_its_channels(kind: str) -> None:
    network = Opaque(kind).eval()
    expected = network(inputs())["y"].shape
    cuts = prune.plan(network, inputs(), prune.Settings(threshold=9.0, min_num_filters=4, granularity=1))
    after = {row.layer: row.after for row in cuts.rows}
    assert after["a.0"] == 16 and after["c.0"] == after["d.0"] == 4
    assert all(row.note.startswith("kept: ") for row in cuts.rows if row.layer in ("a.0", "out"))
    prune.apply(network, cuts)
    assert network(inputs())["y"].shape == expected


def test_the_network_is_left_as_it_was() -> None:
    network = build("residual")
    network.train()
    network.b[1].eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    couple(network, inputs())
    assert network.training and network.a[1].training and not network.b[1].training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_frozen_parameters_are_pruned_like_others() -> None:
    network = build("chain")
    network.a.requires_grad_(False)
    cuts = prune.plan(network, inputs(), prune.Settings(threshold=9.0, min_num_filters=8))
    prune.apply(network, cuts)
    assert len(network.a[0].weight) == 8 and not network.a[0].weight.requires_grad


def test_excluded_layers_keep_their_group_and_lose_inputs() -> None:
    network = build("residual")
    settings = prune.Settings(threshold=9.0, min_num_filters=8, excluded=("c", "b.0"))
    after = {row.layer: row.after for row in prune.plan(network, inputs(), settings).rows}
    assert after == {"a.0": 24, "b.0": 32, "c": 24, "b2.0": 8, "d.0": 8, "e": 8, "out": 5}
    cuts = prune.plan(network, inputs(), prune.Settings(threshold=9.0, min_num_filters=8, excluded=("c",)))
    prune.apply(network, cuts)
    assert network.c.weight.shape == (24, 8, 3, 3)


def test_a_layer_that_did_not_run_may_be_excluded() -> None:
    network = build("chain")
    network.idle = conv(3, 8)
    cuts = prune.plan(network, inputs(), prune.Settings(threshold=9.0, excluded=("idle",)))
    assert "idle" not in {row.layer for row in cuts.rows}


def test_a_shared_weight_is_one_layer_whichever_name_excludes_it() -> None:
    for name in ("p", "q"):
        settings = prune.Settings(threshold=9.0, min_num_filters=8, excluded=(name,))
        after = {row.layer: row.after for row in prune.plan(build("shared"), inputs(), settings).rows}
        assert after["p"] == 32 and after["both.0"] == 8


def test_classes_are_whole() -> None:
    network = build("residual chain")
    found = couple(copy.deepcopy(network), inputs())
    positions = np.concatenate([group.classes for group in found.groups])
    assert len(positions) == len(set(positions.tolist()))
    assert set(positions.tolist()) == {i for ids in found.slots.values() for i in ids.tolist()} - {-1}
