"""The pixels of offline.py on a device of torch: the same numbers, within a grey level or two.

cv2 rounds after each step and, in a warp, the position of a pixel to a fraction; here rounding comes last.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tltpy.detection.offline import GREY_BGR, Change
from tltpy.detection.warp import averaging


def apply(image: np.ndarray, change: Change, device: str) -> np.ndarray:
    """uint8 [H, W, 3] BGR -> uint8 [h, w, 3] BGR or [h, w, 1] grey, like offline.apply."""
    picture = torch.from_numpy(image).to(device).permute(2, 0, 1)[None].float()  # [1, 3, H, W]
    picture = _warp(picture, change.matrix, change.output_hw)
    if change.color is not None:
        order = [2, 1, 0]  # the matrix is for RGB
        matrix = torch.from_numpy(np.column_stack([change.color[order][:, order], change.color[order, 3]]))
        matrix = matrix.to(picture)
        picture = torch.einsum("dc,bchw->bdhw", matrix[:, :3], picture) + matrix[:, 3].view(1, 3, 1, 1)
        picture = picture.clamp(0, 255)
    if change.blur is not None:
        picture = _blur(picture, *change.blur)
    if change.channels == 1:
        picture = (picture * picture.new_tensor(GREY_BGR).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
    whole = picture[0].round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0)  # [h, w, C]
    return whole.contiguous().cpu().numpy()


def _warp(picture: Tensor, matrix: np.ndarray, output_hw: tuple[int, int]) -> Tensor:
    """[1, 3, H, W] -> [1, 3, h, w]: bilinear, zero outside, averaged first where it shrinks."""
    height, width = picture.shape[2:]
    (across, down), matrix = averaging(matrix, (height, width))
    if max(across, down) > 1:
        # each average stands at the pixel in the middle of its window, of the two in the middle at the second
        margins = (across // 2, across - 1 - across // 2, down // 2, down - 1 - down // 2)
        picture = F.avg_pool2d(F.pad(picture, margins, mode="reflect"), (down, across), stride=1)
    linear = np.linalg.inv(matrix[:, :2])
    back = np.column_stack([linear, -linear @ matrix[:, 2]])
    y, x = torch.meshgrid(
        torch.arange(output_hw[0], dtype=torch.float64, device=picture.device),
        torch.arange(output_hw[1], dtype=torch.float64, device=picture.device),
        indexing="ij",
    )
    places = [row[0] * x + row[1] * y + row[2] for row in back.tolist()]
    # grid_sample's -1 and 1 are the outer edges of the picture
    grid = torch.stack([(2 * places[0] + 1) / width - 1, (2 * places[1] + 1) / height - 1], dim=-1)  # [h, w, 2]
    return F.grid_sample(picture, grid[None].to(picture.dtype), padding_mode="zeros", align_corners=False)


def _blur(picture: Tensor, reach: int, sigma: float) -> Tensor:
    places = torch.arange(-reach, reach + 1, dtype=picture.dtype, device=picture.device)
    kernel = torch.exp(-0.5 * (places / sigma) ** 2)
    kernel = kernel / kernel.sum()
    padded = F.pad(picture, (reach,) * 4, mode="reflect")
    rows = F.conv2d(padded, kernel.view(1, 1, 1, -1).repeat(3, 1, 1, 1), groups=3)
    return F.conv2d(rows, kernel.view(1, 1, -1, 1).repeat(3, 1, 1, 1), groups=3)
