"""A small detector and its graph, made once."""

import pytest
import torch
from small_detector import OUTPUTS, Detector, pictures
from torch import nn

from tltpy.deploy import onnx


@pytest.fixture(scope="session")
def detector() -> Detector:
    torch.manual_seed(5)
    network = Detector()
    nn.init.normal_(network.head.weight, std=0.3)
    with torch.no_grad():
        for _ in range(4):
            network.stem(pictures(8, 1) / 64)  # statistics that are not the initial ones
        network.stem[1].weight.uniform_(0.5, 1.5)
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def detector_onnx(detector: Detector) -> bytes:
    metadata = {"labels": ["car", "cyclist", "pedestrian"], "ranges": {"Input": [-100, 150]}}
    return onnx.write(detector, {"Input": pictures(2, 0)}, OUTPUTS, metadata=metadata)
