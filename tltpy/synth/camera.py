"""A pinhole camera like KITTI's left colour camera, above a plane that may rise or fall ahead of it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

KITTI_WIDTH, KITTI_FOCAL_PX = 1242, 721.5377  # the raw data of 26 September 2011, camera 2
KITTI_CENTRE = (609.5593 / 1242, 172.8540 / 375)  # share of the width, of the height
BASELINES_M = (
    0.0,
    -0.5372,
    0.0622,
    -0.4708,
)  # where cameras 0 to 3 stand, as the fourth column of P over the focal length


@dataclass(frozen=True, kw_only=True)
class Camera:
    """`slope` is how far the ground falls (positive) a metre ahead: KITTI's boxes know no pitch, so the plane
    carries it."""

    size_wh: tuple[int, int]
    ground_m: float = 1.65
    slope: float = 0.0

    @property
    def focal_px(self) -> float:
        return KITTI_FOCAL_PX * self.size_wh[0] / KITTI_WIDTH

    @property
    def centre_px(self) -> tuple[float, float]:
        return self.size_wh[0] * KITTI_CENTRE[0], self.size_wh[1] * KITTI_CENTRE[1]

    @property
    def horizon_px(self) -> float:
        """The row the ground vanishes in."""
        return self.centre_px[1] + self.focal_px * self.slope

    @property
    def offset_m(self) -> float:
        """How far the picture's camera stands left of the frame's origin."""
        return BASELINES_M[2]

    def matrix(self, camera: int = 2) -> NDArray[np.float64]:
        """P0 to P3 of the calibration file, (3, 4)."""
        focal, (u, v) = self.focal_px, self.centre_px
        return np.array([[focal, 0, u, focal * BASELINES_M[camera]], [0, focal, v, 0], [0, 0, 1, 0]])

    def ground_y(self, z: float) -> float:
        return self.ground_m + self.slope * z

    def project(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, 3) metres, all with z > 0, to (N, 2) pixels."""
        (u, v), z = self.centre_px, points[:, 2]
        return np.stack(
            [u + self.focal_px * (points[:, 0] + self.offset_m) / z, v + self.focal_px * points[:, 1] / z], 1
        )
