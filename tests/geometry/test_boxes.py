import pytest
import torch
from torch import Tensor
from torchvision.ops import box_iou

from tltpy.geometry import boxes


def make(count: int, seed: int = 0, batch: tuple[int, ...] = ()) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    low = torch.rand(*batch, count, 2, generator=generator, dtype=torch.float64) * torch.tensor([120.0, 60.0])
    size = torch.rand(*batch, count, 2, generator=generator, dtype=torch.float64) * torch.tensor([70.0, 35.0]) + 0.1
    return torch.cat([low, low + size], dim=-1)


def test_conversions_are_inverse() -> None:
    xyxy = make(7, batch=(3,))
    cxcywh = boxes.xyxy_to_cxcywh(xyxy)
    torch.testing.assert_close(boxes.cxcywh_to_xyxy(cxcywh), xyxy)
    assert boxes.xyxy_to_cxcywh(torch.tensor([[10.0, 20, 30, 60]])).tolist() == [[20, 40, 20, 40]]


def test_area_of_an_inverted_box_is_zero() -> None:
    assert boxes.areas(torch.tensor([[0.0, 0, 4, 3], [4, 3, 0, 0], [4, 0, 0, 3]])).tolist() == [12, 0, 0]


def test_iou_matrix_agrees_with_torchvision_and_broadcasts() -> None:
    a, b = make(5, 1, (2, 1)), make(8, 2, (3,))
    found = boxes.iou_matrix(a, b)
    assert found.shape == (2, 3, 5, 8)
    for i in range(2):
        for j in range(3):
            torch.testing.assert_close(found[i, j], box_iou(a[i, 0], b[j]))


def test_iou_is_symmetric_bounded_and_one_with_itself() -> None:
    a, b = make(40, 3), make(30, 4)
    found = boxes.iou_matrix(a, b)
    torch.testing.assert_close(found, boxes.iou_matrix(b, a).T)
    assert found.min() >= 0 and 0.2 < found.max() < 1
    torch.testing.assert_close(boxes.iou_matrix(a, a).diagonal(), torch.ones(40, dtype=a.dtype))
    torch.testing.assert_close(boxes.iou_pairs(a[:30], b), found[:30].diagonal())


def test_iou_of_empty_boxes_is_zero_and_has_a_gradient() -> None:
    a = torch.zeros(2, 4, requires_grad=True)
    found = boxes.iou_matrix(a, torch.zeros(3, 4))
    found.sum().backward()
    assert found.tolist() == [[0] * 3] * 2
    assert a.grad is not None and a.grad.isfinite().all()
    assert boxes.iou_matrix(torch.zeros(0, 4), make(3)).shape == (0, 3)


def test_iou_of_sizes_is_iou_of_centred_boxes() -> None:
    a_hw, b_hw = make(6, 5)[:, 2:], make(9, 6)[:, 2:]

    def centred(hw: Tensor) -> Tensor:
        return boxes.cxcywh_to_xyxy(torch.cat([torch.zeros_like(hw), hw.flip(-1)], dim=-1))

    torch.testing.assert_close(boxes.iou_sizes(a_hw, b_hw), boxes.iou_matrix(centred(a_hw), centred(b_hw)))


def test_clip_keeps_what_is_inside_and_empties_what_is_outside() -> None:
    clipped = boxes.clip_boxes(torch.tensor([[-5.0, 2, 9, 40], [1, 2, 3, 4], [60, -9, 70, -1]]), (30, 50))
    assert clipped.tolist() == [[0, 2, 9, 30], [1, 2, 3, 4], [50, 0, 50, 0]]
    assert boxes.areas(clipped).tolist() == [252, 4, 0]


@pytest.mark.parametrize("rows", [2, 3])
def test_transform_is_the_hull_of_the_four_moved_corners(rows: int) -> None:
    matrix = torch.tensor([[0.8, -0.6, 30], [0.5, 1.1, -7], [0, 0, 1]], dtype=torch.float64)[:rows]
    xyxy = make(11, 7)
    corners = torch.stack([xyxy[:, [0, 1]], xyxy[:, [2, 1]], xyxy[:, [2, 3]], xyxy[:, [0, 3]]], dim=1)  # [N, 4, 2]
    moved = corners @ matrix[:2, :2].T + matrix[:2, 2]
    hull = torch.cat([moved.amin(dim=1), moved.amax(dim=1)], dim=-1)
    torch.testing.assert_close(boxes.transform_boxes(xyxy, matrix), hull)


def test_transform_without_turning_is_undone_by_the_inverse() -> None:
    flip = torch.tensor([[-2.0, 0, 99], [0, 0.5, 3]])
    back = torch.tensor([[-0.5, 0, 49.5], [0, 2, -6]])
    xyxy = make(4).float()
    torch.testing.assert_close(boxes.transform_boxes(boxes.transform_boxes(xyxy, flip), back), xyxy)
