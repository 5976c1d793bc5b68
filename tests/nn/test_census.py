"""A run of a network is seen as it is: calls, costs, types, what is left over of normalisations."""

import pytest
import torch
from torch import Tensor, nn

from tltpy.nn import census, cost


class Knot(nn.Module):
    """Everything that the census tells, once: {"x": [B, 3, 10, 14]}."""

    def __init__(self) -> None:
        super().__init__()
        self.plain = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
        self.twice = nn.Conv2d(8, 8, 3, padding=1)
        self.behind_twice = nn.ModuleList([nn.BatchNorm2d(8), nn.BatchNorm2d(8)])
        self.split = nn.Conv2d(8, 8, 1)
        self.behind_split = nn.BatchNorm2d(8)
        self.alone = nn.BatchNorm2d(8)
        self.again = nn.ReLU()
        self.never = nn.Sequential(nn.Conv2d(8, 8, 1), nn.ReLU())
        self.borrowed = nn.Linear(8, 5)  # its weight is used, it is not called

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        x = self.plain(inputs["x"])
        for norm in self.behind_twice:
            x = norm(self.twice(x))
        y = self.split(x)
        x = self.again(self.behind_split(y)) + y
        x = self.again(self.alone(x))
        scores = nn.functional.linear(x.mean((2, 3)), self.borrowed.weight)
        return {"scores": scores, "best": scores.argmax(1)}


@pytest.fixture(scope="module")
def found() -> census.Census:
    return census.take(Knot(), {"x": torch.zeros(2, 3, 10, 14)})


def test_modules(found: census.Census) -> None:
    layers = {layer.name: layer for layer in found.layers}
    assert len(layers) == len(list(Knot().named_modules()))
    assert layers[""].kind == "Knot" and layers[""].parameters == cost.parameters(Knot())
    assert layers["plain.0"].macs == 2 * 8 * 3 * 9 * 140 and layers["plain.0"].output == (2, 8, 10, 14)
    assert layers["plain"].macs == layers["plain.0"].macs and layers["plain"].parameters == 8 * 27 + 8 + 16
    assert layers["twice"].calls == 2 and layers["twice"].macs == 2 * 2 * 8 * 8 * 9 * 140
    assert layers[""].output is None
    assert layers[""].macs == cost.macs(Knot(), {"x": torch.zeros(2, 3, 10, 14)})[""]


def test_what_is_dead_and_what_is_shared(found: census.Census) -> None:
    assert [layer.name for layer in found.dead()] == ["never"]
    assert {layer.name: layer.calls for layer in found.shared()} == {"twice": 2, "again": 2}


def test_normalisations_that_stay(found: census.Census) -> None:
    told = {one.normalisation: (one.convolution, one.reason) for one in found.unfused}
    assert told == {
        "behind_twice.0": ("twice", "the convolution is called 2 times"),
        "behind_twice.1": ("twice", "the convolution is called 2 times"),
        "behind_split": ("split", "what the convolution gives also goes elsewhere"),
        "alone": (None, "no convolution is in front of it"),
    }


def test_types_of_the_operations(found: census.Census) -> None:
    assert found.types["convolution"] == {"float32 -> float32": 4}
    assert found.types["argmax"] == {"float32 -> int64": 1}
    assert "view" not in found.types


def test_the_network_is_as_before() -> None:
    network = Knot().train()
    network.alone.eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    census.take(network, {"x": torch.rand(2, 3, 10, 14)})
    assert network.training and network.plain.training and not network.alone.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def test_names_above() -> None:
    assert census.above("") == []
    assert census.above("a.b.c") == ["", "a", "a.b"]
