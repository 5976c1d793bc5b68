"""The running average against the recurrence written out in float64."""

import pytest
import torch
from torch import nn

from tltpy.optim.averaging import Average


def network() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5))


def step(net: nn.Module, number: int) -> None:
    generator = torch.Generator().manual_seed(number)
    with torch.no_grad():
        for value in net.state_dict().values():
            if value.is_floating_point():
                value.add_(torch.randn(value.shape, generator=generator))
            else:
                value.add_(1)


@pytest.mark.parametrize("decay", [0.998, 0.3])
def test_average_is_the_recurrence(decay: float) -> None:
    net = network()
    average = Average(net, decay)
    expected = net.state_dict()["0.weight"].double().clone()
    for number in range(1, 12):
        step(net, number)
        average.update(net)
        kept = min(decay, (1 + number) / (10 + number))
        expected = kept * expected + (1 - kept) * net.state_dict()["0.weight"].double()
    torch.testing.assert_close(average.state["0.weight"].double(), expected, rtol=1e-5, atol=1e-6)
    assert average.steps == 11


def test_average_holds_its_own_copy_of_the_whole_state() -> None:
    net = network()
    average = Average(net)
    assert average.state.keys() == net.state_dict().keys()
    before = {name: value.clone() for name, value in average.state.items()}
    step(net, 1)
    assert all(torch.equal(average.state[name], before[name]) for name in before)
    assert all(not value.requires_grad for value in average.state.values())


def test_counters_are_copied_and_statistics_averaged() -> None:
    net = network()
    average = Average(net)
    for number in range(3):
        step(net, number)
        average.update(net)
    assert average.state["1.num_batches_tracked"] == 3
    assert average.state["1.num_batches_tracked"].dtype == torch.int64
    assert not torch.equal(average.state["1.running_mean"], net.state_dict()["1.running_mean"])


def test_average_of_a_constant_is_the_constant() -> None:
    net = network()
    average = Average(net)
    for _ in range(5):
        average.update(net)
    for name, value in net.state_dict().items():
        torch.testing.assert_close(average.state[name], value)


def test_going_on_from_a_saved_average_is_as_if_never_stopped() -> None:
    net = network()
    through, stopped = Average(net), Average(net)
    for number in range(4):
        step(net, number)
        through.update(net)
        stopped.update(net)
    again = Average(network())
    again.load({name: value.clone() for name, value in stopped.state.items()}, stopped.steps)
    step(net, 9)
    through.update(net)
    again.update(net)
    assert all(torch.equal(through.state[name], again.state[name]) for name in through.state)
