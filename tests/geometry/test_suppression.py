"""Suppression against its definition, box by box, and against torchvision."""

import subprocess
import sys

import pytest
import torch
import torchvision
from torch import Tensor

from tltpy.geometry.suppression import suppress


def slow(boxes: Tensor, scores: Tensor, iou_threshold: float, score_threshold: float) -> Tensor:
    """Greedy suppression of one group, as one would explain it."""
    stay = torch.zeros(len(boxes), dtype=torch.bool)
    for index in sorted(range(len(boxes)), key=lambda index: (-float(scores[index]), index)):
        if scores[index] <= score_threshold:
            continue
        x0, y0, x1, y1 = boxes[index]
        rivals = boxes[stay]
        both = (torch.minimum(x1, rivals[:, 2]) - torch.maximum(x0, rivals[:, 0])).clamp(min=0)
        both = both * (torch.minimum(y1, rivals[:, 3]) - torch.maximum(y0, rivals[:, 1])).clamp(min=0)
        areas = (rivals[:, 2] - rivals[:, 0]) * (rivals[:, 3] - rivals[:, 1])
        stay[index] = not bool((both / ((x1 - x0) * (y1 - y0) + areas - both) > iou_threshold).any())
    return stay


def random_boxes(groups: int, count: int, seed: int, steps: int = 0) -> tuple[Tensor, Tensor]:
    """Boxes 0..1 and scores; with `steps` everything lies on a grid, so that ties abound."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.rand(groups, count, 2, generator=generator)
    sizes = torch.rand(groups, count, 2, generator=generator) * 0.5
    boxes = torch.cat((centres - sizes / 2, centres + sizes / 2), dim=2)
    scores = torch.rand(groups, count, generator=generator)
    if steps:
        boxes, scores = (boxes * steps).round() / steps, (scores * steps).round() / steps
    return boxes, scores


@pytest.mark.parametrize(("groups", "count", "steps"), [(7, 31, 0), (5, 40, 4), (1, 9, 8), (3, 1, 0)])
@pytest.mark.parametrize(("iou", "score"), [(0.5, 0.3), (0.0, 0.0), (1.0, 0.5), (0.25, 0.75)])
def test_is_the_greedy_rule(groups: int, count: int, steps: int, iou: float, score: float) -> None:
    boxes, scores = random_boxes(groups, count, seed=groups * count, steps=steps)
    wanted = torch.stack([slow(*group, iou, score) for group in zip(boxes, scores, strict=True)])
    assert torch.equal(suppress(boxes, scores, iou, score), wanted)


@pytest.mark.parametrize("spread", [0.1, 1.0])
def test_equals_torchvision(spread: float) -> None:
    boxes, scores = random_boxes(11, 300, seed=1)
    boxes = boxes * spread
    found = suppress(boxes, scores, 0.45, -1.0)
    for group in range(len(boxes)):
        wanted = torchvision.ops.nms(boxes[group], scores[group], 0.45)
        assert torch.equal(found[group].nonzero()[:, 0], wanted.sort().values)


def test_is_idempotent_and_leaves_no_overlap() -> None:
    boxes, scores = random_boxes(6, 120, seed=2)
    stay = suppress(boxes, scores, 0.4, 0.1)
    again = suppress(boxes, torch.where(stay, scores, 0.0), 0.4, 0.1)
    assert torch.equal(stay, again)
    for group in range(len(boxes)):
        overlaps = torchvision.ops.box_iou(boxes[group][stay[group]], boxes[group][stay[group]]).fill_diagonal_(0)
        assert float(overlaps.max()) <= 0.4


def test_the_number_of_groups_at_once_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    boxes, scores = random_boxes(13, 50, seed=3)
    whole = suppress(boxes, scores, 0.5, 0.2)
    monkeypatch.setattr("tltpy.geometry.suppression.PAIRS_CPU", 1)
    assert torch.equal(suppress(boxes, scores, 0.5, 0.2), whole)
    single = [suppress(b[None], s[None], 0.5, 0.2) for b, s in zip(boxes, scores, strict=True)]
    assert torch.equal(torch.cat(single), whole)


def test_of_equals_the_first_stays() -> None:
    boxes = torch.tensor([0.1, 0.2, 0.5, 0.9]).expand(2, 5, 4)
    scores = torch.tensor([[0.5, 0.5, 0.5, 0.5, 0.5], [0.4, 0.5, 0.4, 0.5, 0.5]])
    assert suppress(boxes, scores, 0.5, 0.1).nonzero().tolist() == [[0, 0], [1, 1]]


def test_a_long_chain_is_followed_to_its_end() -> None:
    """Each box overlaps its neighbours alone, so every second one stays."""
    left = torch.arange(64.0) * 0.5
    boxes = torch.stack((left, torch.zeros(64), left + 1, torch.ones(64)), dim=1)[None]
    stay = suppress(boxes, torch.linspace(1, 0.5, 64)[None], 0.2, 0.0)
    assert stay[0].nonzero()[:, 0].tolist() == list(range(0, 64, 2))


def test_thresholds_are_strict() -> None:
    boxes = torch.tensor([[[0.0, 0.0, 2.0, 1.0], [0.0, 0.0, 1.0, 1.0]]])  # they overlap by exactly one half
    scores = torch.tensor([[0.75, 0.5]])
    assert suppress(boxes, scores, 0.5, 0.25).tolist() == [[True, True]]
    assert suppress(boxes, scores, 0.49, 0.25).tolist() == [[True, False]]
    assert suppress(boxes, scores, 0.5, 0.5).tolist() == [[True, False]]


def test_empty_boxes_and_groups() -> None:
    point = torch.zeros(2, 3, 4)
    assert suppress(point, torch.ones(2, 3), 0.5, 0.0).all()  # boxes without area overlap nothing
    assert not suppress(*random_boxes(4, 6, seed=4), 0.5, 2.0).any()
    assert suppress(torch.zeros(0, 3, 4), torch.zeros(0, 3), 0.5, 0.0).shape == (0, 3)
    assert suppress(torch.zeros(2, 0, 4), torch.zeros(2, 0), 0.5, 0.0).shape == (2, 0)


def test_the_operator_is_registered_well() -> None:
    torch.library.opcheck(torch.ops.tltpy.suppress.default, (*random_boxes(3, 8, seed=5), 0.5, 0.1))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_is_the_same_on_the_gpu() -> None:
    boxes, scores = random_boxes(50, 200, seed=6, steps=32)
    assert torch.equal(suppress(boxes.cuda(), scores.cuda(), 0.5, 0.1).cpu(), suppress(boxes, scores, 0.5, 0.1))


def test_gradients_do_not_matter_and_the_compiler_stays_away() -> None:
    """In a process of its own: torch's compiler takes longer to import than most commands take to run."""
    script = (
        "import sys, torch\nfrom tltpy.geometry.suppression import suppress\n"
        "boxes = torch.tensor([[[0, 0, 2, 2], [0, 0, 2, 2.1], [5, 5, 6, 7]]]).requires_grad_()\n"
        "stay = suppress(boxes, torch.tensor([[0.9, 0.8, 0.7]]).requires_grad_(), 0.5, 0.1)\n"
        "assert stay.tolist() == [[True, False, True]], stay\n"
        "assert 'torch._dynamo' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
