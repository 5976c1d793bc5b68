"""Rounding, requantization and saturation against plain Python integers and single float operations."""

import numpy as np
import pytest
import torch
from torch import nn

from tltpy.quant import fake
from tltpy.quant.integers import Codes, Grid, Pair, Parts, Products, quantize, to_codes
from tltpy.quant.settings import Settings

F32 = np.float32


def grid(scale: float, zero: int = 128, low: int = 0, high: int = 255) -> Grid:
    return Grid(torch.tensor(scale), zero, low, high)


def saturated(value: int, low: int, high: int) -> int:
    return max(low, min(high, value))


@pytest.mark.parametrize(("zero", "low", "high"), [(128, 0, 255), (0, 0, 255), (0, -32768, 32767)])
def test_quantizing_rounds_half_to_even_and_saturates(zero: int, low: int, high: int) -> None:
    halves = torch.arange(-600, 600) / 2.0
    values = torch.cat([halves, torch.tensor([1e9, -1e9, 33000.0, -33000.0])]) * 0.25
    found = quantize(values, grid(0.25, zero, low, high))
    # Python's round() rounds half to even
    expected = [saturated(round(float(value) / 0.25) + zero, low, high) for value in values]
    assert found.tolist() == expected


def test_fake_quantization_is_what_the_codes_stand_for() -> None:
    values = torch.randn(4000) * 3
    for zero in (0, 128):
        where = grid(0.0173, zero)
        rounded = fake.fake_quantize(values, where.scale, torch.tensor(0.0 - zero), torch.tensor(255.0 - zero))
        assert torch.equal(rounded, Codes(quantize(values, where), where).floats())


def test_requantization_is_one_float32_product() -> None:
    rng = np.random.default_rng(3)
    sums = rng.integers(-(2**26), 2**26, (2, 5, 3, 4))
    weight = rng.uniform(1e-4, 1e-2, 5).astype(F32)
    sx, target = F32(0.031), grid(57.3, 128)
    found = to_codes(
        Products(torch.from_numpy(sums).double(), torch.tensor(sx), torch.from_numpy(weight), 1), target
    ).values
    for place in np.ndindex(sums.shape):
        ratio = F32(F32(sx * weight[place[1]]) / F32(57.3))
        scaled = F32(F32(int(sums[place])) * ratio)
        assert int(found[place]) == saturated(round(float(scaled)) + 128, 0, 255)


def test_products_are_summed_exactly() -> None:
    x = torch.full((1, 2**15), 255.0, dtype=torch.float64)
    product = fake_linear()(x, torch.full((1, 2**15), 127.0, dtype=torch.float64), torch.ones(1).double())
    assert int(product) == 255 * 127 * 2**15 + 1  # more than float32 resolves


def fake_linear() -> "object":
    from tltpy.quant.weighted import Product

    return Product("linear")


@pytest.mark.parametrize("zeros", [(128, 128, 128), (0, 128, 0), (128, 0, 128)])
def test_sum_of_two_tensors(zeros: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(4)
    a, b = rng.integers(0, 256, (2, 3000))
    sa, sb, sc = F32(0.0213), F32(0.0071), F32(0.0307)
    za, zb, zc = zeros
    pair = Pair("add", codes(a, grid(float(sa), za)), codes(b, grid(float(sb), zb)))
    found = to_codes(pair, grid(float(sc), zc)).values.long().numpy()
    ra, rb = F32(sa / sc), F32(sb / sc)
    fixed = F32(F32(zc) - F32(F32(ra * F32(za)) + F32(rb * F32(zb))))
    partial = (a * float(ra) + float(fixed)).astype(F32)  # exact in float64, rounded once
    total = (b * float(rb) + partial.astype(np.float64)).astype(F32)
    assert (found == np.clip(np.round(total), 0, 255)).all()
    real = (a - za) * float(sa) + (b - zb) * float(sb)
    assert np.abs(found - np.clip(real / float(sc) + zc, 0, 255)).max() <= 0.501


def test_product_of_two_tensors() -> None:
    rng = np.random.default_rng(5)
    a, b = rng.integers(0, 256, (2, 3000))
    pair = Pair("mul", codes(a, grid(0.02)), codes(b, grid(1 / 255, 0)))
    found = to_codes(pair, grid(0.019)).values.numpy()
    real = (a - 128) * 0.02 * b / 255 / 0.019 + 128
    assert np.abs(found - np.clip(real, 0, 255)).max() <= 0.501


def test_concatenation_keeps_codes_of_the_same_grid_and_moves_others() -> None:
    same, other = grid(0.05), grid(0.02)
    x, y = torch.arange(256).double(), torch.arange(256).double()
    found = to_codes(Parts((Codes(x, same), Codes(y, other)), 0), same).values
    assert torch.equal(found[:256], x)
    assert found[256:].tolist() == [round(float(F32(F32(v - 128) * F32(0.02)) / F32(0.05))) + 128 for v in range(256)]


def codes(values: np.ndarray, where: Grid) -> Codes:
    return Codes(torch.from_numpy(values).double(), where)


def test_weights_have_a_scale_a_channel_and_a_floor() -> None:
    weight = torch.randn(4, 3, 2, 2)
    weight[1] = 0.0
    weight[2] *= 1e-6
    part = fake.WeightQuantizer(8)
    scale = part.scale(weight, 0, None, torch.tensor(0.1))
    greatest = weight.abs().amax((1, 2, 3)) / 127
    assert torch.equal(scale[[0, 3]], greatest[[0, 3]])
    assert torch.allclose(scale[1:3], greatest.max() * 1e-3)
    found = part.codes(weight, scale, 0)
    assert found.dtype == torch.int8 and int(found.min()) >= -127
    assert int(found[0].abs().max()) == 127
    narrow = fake.WeightQuantizer(7)
    assert int(narrow.codes(weight, narrow.scale(weight, 0, None, torch.tensor(0.1)), 0).abs().max()) == 63


def test_a_large_bias_of_a_dead_channel_fits_32_bits() -> None:
    weight, bias = torch.zeros(2, 3), torch.tensor([1e4, 0.5])
    weight[1] = 1e-5
    part, unit = fake.WeightQuantizer(8), torch.tensor(1e-6)
    scale = part.scale(weight, 0, bias, unit)
    assert float((bias / (unit * scale)).abs().max()) < 2**31 - 1


def test_gradients_pass_within_the_range_alone() -> None:
    x = torch.tensor([-20.0, -12.8, -3.0, 0.0, 5.55, 12.7, 12.74, 12.8, 30.0], requires_grad=True)
    fake.fake_quantize(x, torch.tensor(0.1), torch.tensor(-128.0), torch.tensor(127.0)).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 1, 1, 1, 1, 1, 1, 0, 0]


def test_the_gradient_of_a_learned_scale() -> None:
    scale = torch.tensor(0.1, requires_grad=True)
    x = torch.tensor([0.234, 100.0, -100.0])
    fake.fake_quantize(x, scale, torch.tensor(-128.0), torch.tensor(127.0)).sum().backward()
    # Esser et al. 2020, equation 3: rounding error within the range, the bound beyond; equation 4 for the factor
    expected = ((2 - 2.34) + 127 - 128) / np.sqrt(3 * 127)
    assert scale.grad is not None
    assert float(scale.grad) == pytest.approx(expected, rel=1e-4)


def quantizer(**settings: object) -> fake.ActivationQuantizer:
    return fake.ActivationQuantizer(Settings(observer="min_max", **settings))  # type: ignore[arg-type]


def seen(part: fake.ActivationQuantizer, *values: float) -> tuple[float, int]:
    part.observing = True
    part(torch.tensor(values))
    part.finish()
    return float(part.scale), int(part.zero_point)


def test_grids_of_activations() -> None:
    assert seen(quantizer(), -1.0, 2.0) == (pytest.approx(2 / 127.5), 128)
    assert seen(quantizer(), 0.0, 2.0) == (pytest.approx(2 / 255), 0)
    wide = quantizer()
    wide.bits = 16
    assert seen(wide, 0.0, 2.0) == (pytest.approx(2 / 32767.5), 0)
    fixed = quantizer()
    fixed.fixed_reach = 128.0
    assert seen(fixed, -3.0, 5.0) == (1.0, 128)
    fixed.fixed_reach = 255.0
    fixed.observer.low.zero_()
    assert seen(fixed, 3.0) == (1.0, 0)


def test_no_code_lies_beyond_the_limit_of_relu6() -> None:
    part = fake.ActivationQuantizer(Settings(observer="min_max"), nonnegative=True, limit=6.0)
    scale, zero = seen(part, 0.0, 9.0)
    assert zero == 0 and float(F32(scale) * F32(255)) <= 6.0
    assert scale == pytest.approx(6 / 255)


def test_training_moves_the_scale() -> None:
    part = quantizer(averaging=0.1)
    seen(part, -1.0, 1.0)
    part.quantizing = True
    part.train()
    part(torch.tensor([3.0, -2.0]))
    assert float(part.scale) == pytest.approx((0.9 * 1 + 0.1 * 3) / 127.5)
    part.eval()
    part(torch.tensor([9.0]))
    assert float(part.scale) == pytest.approx(1.2 / 127.5)
    part.train()
    part.averaging = 0.0
    part(torch.tensor([9.0]))
    assert float(part.scale) == pytest.approx(1.2 / 127.5)


def test_a_learned_scale_is_a_parameter() -> None:
    part = quantizer(learned_scales=True)
    assert isinstance(part.scale, nn.Parameter)
    assert not list(quantizer().parameters())
