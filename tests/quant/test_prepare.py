"""A prepared network: what it is made of, its modes, its state."""

import copy
from typing import Any

import pytest
import torch
from quantizing import Applied, Detector, batches, calibrate, calibrated, images, settled
from torch import Tensor, nn
from torch.nn import functional as F

from tltpy.errors import UsageError
from tltpy.quant.fixed import to_fixed_point
from tltpy.quant.prepare import prepare
from tltpy.quant.quantized import Quantized
from tltpy.quant.settings import Settings
from tltpy.quant.weighted import Weighted


@pytest.fixture(scope="module")
def detector() -> nn.Module:
    torch.manual_seed(2)
    network = Detector()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias, std=0.2)
    return settled(network, images(0, 6))


def outputs(network: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    with torch.no_grad():
        return network(batch)  # type: ignore[no-any-return]


def apart(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    assert list(found) == list(expected)
    return max(float((found[name] - value).abs().max() / value.abs().max()) for name, value in expected.items())


def test_ops_and_their_names(detector: nn.Module) -> None:
    quantized = prepare(detector, images(0, 1)[0], Settings())
    names = [op.name for op in quantized.ops]
    assert names == [
        "image", "stem.0:conv2d", "stem.2:leaky_relu", "one.0:conv2d", "one.2:leaky_relu", "two.0:conv2d", "add",
        "down.0:conv2d", "shortcut.0:conv2d", "add_2", "lateral.0:conv2d", "coarse:conv2d", "cat", "fine:conv2d",
    ]  # fmt: skip
    ops = {op.name: op for op in quantized.ops}
    assert ops["stem.0:conv2d"].quantizers == ("stem.0.weight_quantizer", "quantizers.stem__0__conv2d")
    assert ops["stem.0:conv2d"].activation is None and ops["down.0:conv2d"].activation == "relu"
    assert ops["lateral.0:conv2d"].activation == "relu6" and ops["add_2"].activation == "relu"
    assert ops["stem.0:conv2d"].macs == 16 * 12 * 20 * 27
    assert ops["fine:conv2d"].macs == 12 * 20 * 28 * 9 and ops["add"].macs == 0
    assert set(quantized.quantizers()) == {name for op in quantized.ops for name in op.quantizers}


@pytest.mark.parametrize("keep_batch_norm", [False, True])
def test_neither_observing_nor_quantizing_it_is_the_network(detector: nn.Module, keep_batch_norm: bool) -> None:
    quantized = prepare(detector, images(0, 1)[0], Settings(keep_batch_norm=keep_batch_norm))
    for size in ((2, 3, 24, 40), (1, 3, 24, 40), (3, 3, 32, 16)):
        batch = images(7, 1, size)[0]
        assert apart(outputs(quantized, batch), outputs(detector, batch)) < 1e-5


def test_preparing_leaves_the_network_alone(detector: nn.Module) -> None:
    before = copy.deepcopy(detector.state_dict())
    quantized = calibrated(detector, images(0, 2))
    with torch.no_grad():
        for parameter in quantized.parameters():
            parameter.add_(1.0)
    assert all(torch.equal(value, before[name]) for name, value in detector.state_dict().items())
    assert not detector.training


def test_one_example_is_enough(detector: nn.Module) -> None:
    quantized = prepare(detector, images(0, 1, (1, 3, 24, 40))[0], Settings())
    batch = images(7, 1, (3, 3, 32, 16))[0]
    assert apart(outputs(quantized, batch), outputs(detector, batch)) < 1e-5


@pytest.mark.parametrize("observer", ["min_max", "moving_average", "percentile", "mse", "kl"])
def test_every_observer_gives_a_network_near_the_float_one(detector: nn.Module, observer: str) -> None:
    quantized = calibrated(detector, images(1, 4), observer=observer, averaging=0.3)
    batch = images(1, 1)[0]
    assert 1e-4 < apart(outputs(quantized, batch), outputs(detector, batch)) < 0.4


def test_rounded_floats_are_near_the_integers(detector: nn.Module) -> None:
    quantized = calibrated(detector, images(1, 3))
    fixed = to_fixed_point(quantized)
    batch = images(5, 1)[0]
    ours, theirs = outputs(fixed, batch), outputs(quantized, batch)
    for name, value in ours.items():
        scale = float(fixed.graph.get_submodule(f"quantizers.{name}__conv2d").scale)
        assert float(((value - theirs[name]).abs() / scale).round().max()) <= 1


def test_training_reaches_every_weight(detector: nn.Module) -> None:
    for settings in ({}, {"keep_batch_norm": True}, {"learned_scales": True}, {"int16": (".*",)}):
        quantized = calibrated(detector, images(1, 2), **settings)
        quantized.train().set_mode(observe=True, quantize=True)
        sum(value.square().mean() for value in quantized(images(5, 1)[0]).values()).backward()  # type: ignore[union-attr]
        for name, parameter in quantized.named_parameters():
            assert parameter.grad is not None and bool(parameter.grad.abs().sum() > 0), name
            assert bool(parameter.grad.isfinite().all()), name


def test_training_brings_a_quantized_network_nearer() -> None:
    torch.manual_seed(4)
    network = Applied(lambda m, x: m.b(F.leaky_relu(m.a(x), 0.1)))
    seen = batches(1, 3)
    wanted = [outputs(network.eval(), batch)["y"] for batch in seen]
    with torch.no_grad():
        network.b.weight.add_(torch.randn(network.b.weight.shape) * 0.05)
    quantized = calibrated(network, seen, observer="mse")
    quantized.train().set_mode(observe=True, quantize=True)
    optimizer = torch.optim.Adam(quantized.parameters(), 3e-3)
    losses = []
    for _ in range(15):
        loss = sum(F.mse_loss(quantized(batch)["y"], want) for batch, want in zip(seen, wanted, strict=True))
        assert isinstance(loss, Tensor)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


def test_kept_batch_norm_learns_and_folds_exactly(detector: nn.Module) -> None:
    quantized = calibrated(detector, images(1, 3), keep_batch_norm=True)
    quantized.train()
    before = {name: value.clone() for name, value in quantized.named_buffers() if "running" in name}
    with torch.no_grad():
        quantized(images(5, 1)[0])
    after = dict(quantized.named_buffers())
    assert len(before) == 12 and all(not torch.equal(value, after[name]) for name, value in before.items())
    quantized.eval()
    batch = images(6, 1)[0]
    kept, fixed = outputs(quantized, batch), to_fixed_point(quantized)
    quantized.fold()
    folded = outputs(quantized, batch)
    assert all(torch.equal(folded[name], value) for name, value in kept.items())
    assert not any("running" in name for name, _ in quantized.named_buffers())
    assert apart(outputs(fixed, batch), outputs(to_fixed_point(quantized), batch)) == 0


def test_a_folded_network_is_that_which_was_folded_at_once(detector: nn.Module) -> None:
    late = calibrated(detector, images(1, 3), keep_batch_norm=True)
    late.fold()
    at_once = calibrated(detector, images(1, 3))
    assert list(late.state_dict()) == list(at_once.state_dict())
    batch = images(6, 1)[0]
    assert apart(outputs(late, batch), outputs(at_once, batch)) < 1e-6


def test_frozen_normalization_stays_frozen() -> None:
    class Frozen(nn.Sequential):
        def train(self, mode: bool = True) -> "Frozen":
            super().train(mode)
            self[1].eval()
            return self

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = Frozen(nn.Conv2d(8, 4, 3), nn.BatchNorm2d(4))
            self.body[0].weight.requires_grad_(False)

        def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
            return {"y": self.body(inputs["x"])}

    quantized = prepare(Network().eval(), batches()[0], Settings(keep_batch_norm=True))
    quantized.train()(batches()[0])
    part = next(module for module in quantized.modules() if isinstance(module, Weighted))
    assert part.batch_norm is not None and part.batch_norm.running_mean is not None
    assert float(part.batch_norm.running_mean.abs().sum()) == 0
    assert not part.weight.requires_grad
    part.fold()
    assert not part.weight.requires_grad


SETTINGS: list[dict[str, Any]] = [
    {}, {"keep_batch_norm": True}, {"learned_scales": True}, {"int16": ("add.*",)}, {"observer": "kl"},
]  # fmt: skip


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: next(iter(settings), "default"))
def test_the_state_goes_round(detector: nn.Module, settings: dict[str, Any]) -> None:
    torch.manual_seed(9)
    other = Detector().eval()  # of other weights
    before = prepare(detector, images(0, 1)[0], Settings(**settings))
    fresh = prepare(other, images(0, 1)[0], Settings(**settings))
    fresh.load_state_dict(before.state_dict(), strict=True)
    for quantized in (before, fresh):
        calibrate(quantized, images(1, 3))
    batch = images(6, 1)[0]
    assert apart(outputs(fresh, batch), outputs(before, batch)) == 0
    second = prepare(other, images(0, 1)[0], Settings(**settings))
    second.load_state_dict(before.state_dict(), strict=True)
    second.set_mode(observe=False, quantize=True)
    assert apart(outputs(second, batch), outputs(before, batch)) == 0
    fixed, empty = to_fixed_point(second), to_fixed_point(prepare(other, images(0, 1)[0], Settings(**settings)))
    empty.load_state_dict(fixed.state_dict(), strict=True)
    assert apart(outputs(empty, batch), outputs(fixed, batch)) == 0
    kinds = {value.dtype for name, value in fixed.state_dict().items() if name.endswith((".weight", ".bias"))}
    assert kinds == {torch.int8, torch.int32}


def test_a_state_fits_other_settings(detector: nn.Module) -> None:
    first = calibrated(detector, images(1, 3), observer="mse")
    second = prepare(detector, images(0, 1)[0], Settings(observer="moving_average", averaging=0.0))
    second.load_state_dict(first.state_dict(), strict=True)
    second.set_mode(observe=True, quantize=True)
    second.train()(images(5, 1)[0])
    for name, quantizer in second.activation_quantizers().items():
        assert torch.equal(quantizer.scale, first.activation_quantizers()[name].scale)


def test_a_copy_is_independent(detector: nn.Module) -> None:
    quantized = calibrated(detector, images(1, 2))
    copied = copy.deepcopy(quantized)
    batch = images(6, 1)[0]
    expected = outputs(quantized, batch)
    assert apart(outputs(copied, batch), expected) == 0
    for quantizer in copied.activation_quantizers().values():
        quantizer.scale.mul_(3.0)
    sources = [module.source for module in copied.modules() if isinstance(module, Weighted)]
    assert all(any(source is own for own in copied.activation_quantizers().values()) for source in sources)
    assert apart(outputs(quantized, batch), expected) == 0


def test_sixteen_bits_later_are_sixteen_bits_from_the_start(detector: nn.Module) -> None:
    flipped = calibrated(detector, images(1, 3), observer="mse")
    flipped.assign(int16=(".*",))
    built = calibrated(detector, images(1, 3), observer="mse", int16=(".*",))
    batch = images(6, 1)[0]
    assert apart(outputs(flipped, batch), outputs(built, batch)) == 0
    assert apart(outputs(to_fixed_point(flipped), batch), outputs(to_fixed_point(built), batch)) == 0
    assert apart(outputs(built, batch), outputs(detector, batch)) < apart(
        outputs(calibrated(detector, images(1, 3)), batch), outputs(detector, batch)
    )
    flipped.assign(int16=())
    eight = calibrated(detector, images(1, 3), observer="mse")
    assert apart(outputs(flipped, batch), outputs(eight, batch)) == 0


def test_only_some_ops(detector: nn.Module) -> None:
    quantized = calibrated(detector, images(1, 3))
    batch = images(6, 1)[0]
    quantized.set_mode(observe=False, quantize=True, only=["coarse:conv2d"])
    found, plain = outputs(quantized, batch), outputs(detector, batch)
    assert apart({"fine": found["fine"]}, {"fine": plain["fine"]}) < 1e-5
    both = apart({"coarse": found["coarse"]}, {"coarse": plain["coarse"]})
    assert both > 1e-4
    quantized.set_mode(observe=False, quantize=True, only=["coarse.weight_quantizer"])
    assert apart(outputs(quantized, batch), plain) > 1e-5
    with pytest.raises(KeyError, match="no-such-op"):
        quantized.set_mode(observe=False, quantize=True, only=["no-such-op"])


def test_float_ops_are_float_within(detector: nn.Module) -> None:
    quantized = calibrated(detector, images(1, 3), keep_float=(".*",))
    batch = images(6, 1)[0]
    assert apart(outputs(quantized, batch), outputs(detector, batch)) < 1e-5
    assert apart(outputs(to_fixed_point(quantized), batch), outputs(detector, batch)) < 1e-5


def test_patterns_that_match_nothing_are_told(detector: nn.Module) -> None:
    settings = Settings(int16=("add", "no.*"), keep_float=("cat",), fixed_ranges=(("image", 4.0), ("nothing", 1.0)))
    quantized = prepare(detector, images(0, 1)[0], settings)
    assert quantized.unknown == ("no.*", "nothing")
    quantized.assign(int16=("add_2",))
    assert quantized.unknown == ("nothing",)
    calibrate(quantized, images(1, 1))
    assert float(quantized.activation_quantizers()["quantizers.image"].scale) == 4.0 / 128


def test_frozen_scales_stay(detector: nn.Module) -> None:
    for learned in (False, True):
        quantized = calibrated(detector, images(1, 2), learned_scales=learned)
        quantized.freeze_scales()
        before = {name: part.scale.clone() for name, part in quantized.activation_quantizers().items()}
        quantized.train().set_mode(observe=True, quantize=True)
        trained = [parameter for parameter in quantized.parameters() if parameter.requires_grad]
        optimizer = torch.optim.SGD(trained, 0.1)
        sum(value.mean() for value in quantized(images(8, 1)[0]).values()).backward()  # type: ignore[union-attr]
        optimizer.step()
        assert all(torch.equal(part.scale, before[name]) for name, part in quantized.activation_quantizers().items())


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3, padding=1)
        self.drop = nn.Dropout(0.5)

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        x = self.drop(self.conv(inputs["x"]))
        return {"y": self.conv(F.relu(x, inplace=True)) + x}


def test_shared_layers_and_changes_in_place() -> None:
    torch.manual_seed(3)
    network = Shared().eval()
    quantized = prepare(network, batches()[0], Settings())
    assert [op.name for op in quantized.ops] == ["x", "conv:conv2d", "conv:conv2d_2", "add"]
    assert apart(outputs(quantized, batches()[1]), outputs(network, batches()[1])) < 1e-5


class Branching(nn.Module):
    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"y": inputs["x"] * 2 if float(inputs["x"].sum()) > 0 else inputs["x"]}


class Listing(nn.Module):
    def forward(self, inputs: dict[str, Tensor]) -> list[Tensor]:
        return [inputs["x"] * 2]


@pytest.mark.parametrize(("network", "message"), [(Branching(), "captured as a graph"), (Listing(), "dict of tensors")])
def test_networks_that_are_no_graphs_are_refused(network: nn.Module, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        prepare(network, batches()[0], Settings())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"observer": "best"}, "no observer"),
        ({"weight_bits": 4}, "7 and 8"),
        ({"percentile": 0.0}, "percentile"),
        ({"averaging": 2.0}, "averaging"),
        ({"int16": ("(",)}, "regular expression"),
        ({"fixed_ranges": (("x", 0.0),)}, "above 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Settings(**settings)


def test_uncalibrated_quantizers_change_nothing(detector: nn.Module) -> None:
    quantized: Quantized = prepare(detector, images(0, 1)[0], Settings())
    quantized.set_mode(observe=False, quantize=True)
    batch = images(6, 1)[0]
    assert apart(outputs(quantized, batch), outputs(detector, batch)) < 1e-5
