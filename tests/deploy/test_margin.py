"""Black margins in front of a graph: they become the mean's, and nothing else changes."""

import numpy as np
import onnx as library
import pytest
import torch
from small_detector import OUTPUTS, Detector, pictures

from tltpy.deploy import half, margin, onnx
from tltpy.deploy.runtime import open_runtime

MEAN = [103.939, 116.779, 123.68]
INPUT = {"name": "Input", "mean": MEAN, "scale": 1.0, "size_hw": [48, 80]}
BLACK = -torch.tensor(MEAN)[:, None]


def seen(content: bytes, picture: torch.Tensor) -> torch.Tensor:
    """What the network behind the margins sees of a picture [3, 48, 80]."""
    return open_runtime(onnx.with_outputs(content, ["Input_inside"]))({"Input": picture[None]})["Input_inside"][0]


def with_margins(picture: torch.Tensor, top: int, bottom: int, left: int, right: int) -> torch.Tensor:
    """The picture, black at its borders."""
    found = picture.clone()
    for rows in (found[:, :top], found[:, 48 - bottom :]):
        rows[:] = BLACK[:, :, None]
    for columns in (found[:, :, :left], found[:, :, 80 - right :]):
        columns[:] = BLACK[:, :, None]
    return found


@pytest.fixture(scope="module", params=[18, 17])
def graph(request: pytest.FixtureRequest, detector: Detector, detector_onnx: bytes) -> bytes:
    if request.param == 18:
        return margin.repaired(detector_onnx, INPUT)
    content = onnx.write(detector, {"Input": pictures(2, 0)}, OUTPUTS, metadata={"labels": ["a"]}, opset=17)
    return margin.repaired(content, INPUT)


@pytest.mark.parametrize(
    ("margins", "gone"),
    [
        ((5, 5, 0, 0), (5, 5, 0, 0)),
        ((5, 6, 0, 0), (5, 6, 0, 0)),
        ((0, 0, 7, 8), (0, 0, 7, 8)),
        ((1, 1, 0, 0), (1, 1, 0, 0)),
        ((20, 0, 0, 0), (0, 0, 0, 0)),  # a night sky
        ((20, 3, 0, 0), (3, 4, 0, 0)),  # ... over a letterbox: one row below is not black and stays
        ((0, 9, 0, 4), (0, 1, 0, 1)),
    ],
)
def test_margins_as_a_letterbox_leaves_them(
    graph: bytes, margins: tuple[int, int, int, int], gone: tuple[int, int, int, int]
) -> None:
    picture = (pictures(1, 6)[0].clamp(-90, 120)).round()
    given = with_margins(picture, *margins)
    wanted = given.clone()
    top, bottom, left, right = gone
    bottom, right = min(bottom, margins[1]), min(right, margins[3])
    wanted[:, :top], wanted[:, 48 - bottom :], wanted[:, :, :left], wanted[:, :, 80 - right :] = 0, 0, 0, 0
    assert torch.equal(seen(graph, given), wanted)


def test_a_picture_without_margins_stays(graph: bytes, detector_onnx: bytes) -> None:
    inputs = {"Input": pictures(3, 2)}
    found, wanted = open_runtime(graph)(inputs), open_runtime(detector_onnx)(inputs)
    assert int(wanted["count"].min()) > 0
    assert all(torch.allclose(found[name], wanted[name], atol=1e-5) for name in OUTPUTS)
    assert float(seen(graph, BLACK[:, :, None].expand(3, 48, 80)).abs().max()) == 0


def test_a_dark_row_is_not_black(graph: bytes) -> None:
    picture = pictures(1, 6)[0].clamp(-90, 120)
    dark = with_margins(picture, 4, 4, 0, 0)
    dark[1, 3, 40] += 1  # one grey level in one pixel of the last row above the picture
    rows = seen(graph, dark)
    assert float(rows[:, :3].abs().max()) == 0 and torch.equal(rows[:, 3:44], dark[:, 3:44])


def test_half_precision_finds_the_same_margins(graph: bytes) -> None:
    picture = with_margins(pictures(1, 6)[0].clamp(-90, 120).round(), 6, 7, 0, 0)
    model = half.to_half(onnx.read(graph))
    library.checker.check_model(model, full_check=True)
    found = open_runtime(model.SerializeToString())({"Input": picture[None]})
    wanted = open_runtime(graph)({"Input": picture[None]})
    assert np.abs(found["scores"].numpy() - wanted["scores"].numpy()).max() < 5e-3
