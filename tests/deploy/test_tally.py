"""Counting a graph: what it costs is what the network costs that it was made of."""

from typing import Any

import numpy as np
import onnx as library
import pytest
import torch
from small_detector import Detector
from torch import Tensor, nn

from tltpy.deploy import onnx, tally
from tltpy.errors import UsageError
from tltpy.nn import cost

helper, FLOAT = library.helper, library.TensorProto.FLOAT


class Zoo(nn.Module):
    """All that multiplies and adds."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 6, 3, stride=2, padding=1)
        self.grouped = nn.Conv2d(6, 12, (3, 1), padding=(1, 0), groups=3, bias=False)
        self.up = nn.ConvTranspose2d(12, 5, 2, stride=2)
        self.linear = nn.Linear(10, 7)
        self.again = nn.Linear(7, 7, bias=False)

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        x = self.up(self.grouped(self.conv(inputs["x"])).relu())  # [B, 5, 8, 10]
        rows = self.again(self.again(self.linear(x)))  # [B, 5, 8, 7]
        return {"out": rows @ rows.transpose(2, 3)}


@pytest.fixture(scope="module")
def zoo() -> tuple[Zoo, bytes]:
    torch.manual_seed(1)
    network = Zoo().eval()
    return network, onnx.write(network, {"x": torch.rand(2, 4, 8, 10)}, ("out",), metadata={})


def test_a_graph_costs_what_its_network_costs(zoo: tuple[Zoo, bytes]) -> None:
    network, content = zoo
    nodes = tally.count(content)
    assert sum(node.macs or 0 for node in nodes) == cost.macs(network, {"x": torch.rand(1, 4, 8, 10)})[""]
    assert sum(node.parameters for node in nodes) == cost.parameters(network)
    assert None not in [node.macs for node in nodes]


def test_nodes_are_named_after_their_modules(zoo: tuple[Zoo, bytes], detector_onnx: bytes) -> None:
    paths = {node.name.partition(":")[0] for node in tally.count(zoo[1]) if node.parameters}
    assert {"conv", "grouped", "up", "linear", "again"} <= paths
    folded = next(node for node in tally.count(detector_onnx) if node.kind == "Conv")
    assert folded.name == "stem.0:Conv"  # not after the normalisation that it took in
    names = [node.name for node in onnx.read(detector_onnx).graph.node]
    assert len(set(names)) == len(names) and all(names)


def test_a_folded_normalisation_is_a_bias(detector: Detector, detector_onnx: bytes) -> None:
    counted = sum(node.parameters for node in tally.count(detector_onnx))
    assert counted == cost.parameters(detector) - 16  # scale and shift of 16 channels become 16 biases


def test_shapes_that_are_given(zoo: tuple[Zoo, bytes], detector_onnx: bytes) -> None:
    one, four = (sum(n.macs or 0 for n in tally.count(zoo[1], {"x": (size, 4, 8, 10)})) for size in (1, 4))
    assert four == 4 * one
    for shapes, says in (
        ({"y": (1, 4, 8, 10)}, 'no input "y"'),
        ({"x": (1, 4, 8)}, "has 4 dimensions, not 3"),
        ({"x": (1, 4, 8, 12)}, "made for 10 in dimension 3, not 12"),
    ):
        with pytest.raises(UsageError, match=says):
            tally.count(zoo[1], shapes)
    assert tally.inputs(detector_onnx) == {"Input": [1, 3, 48, 80]}


def graph(nodes: list[Any], weights: dict[str, np.ndarray], shape: list[Any], out: list[Any]) -> bytes:
    ports = [helper.make_tensor_value_info("x", FLOAT, shape), helper.make_tensor_value_info("out", FLOAT, out)]
    stored = [library.numpy_helper.from_array(value, name) for name, value in weights.items()]
    made = helper.make_graph(nodes, "g", ports[:1], ports[1:], stored)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    content: bytes = model.SerializeToString()
    return content


def test_a_quantized_weight_is_a_parameter() -> None:
    weights = {
        "w": np.ones((6, 4, 3, 3), np.int8), "s": np.full(6, 0.1, np.float32), "z": np.zeros(6, np.int8),
        "b": np.ones(6, np.int32), "zb": np.zeros(6, np.int32),
    }  # fmt: skip
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s", "z"], ["wf"], axis=0),
        helper.make_node("DequantizeLinear", ["b", "s", "zb"], ["bf"], axis=0),
        helper.make_node("Conv", ["x", "wf", "bf"], ["out"], "head:conv"),
    ]
    counted = tally.count(graph(nodes, weights, ["n", 4, 7, 9], ["n", 6, 5, 7]))
    assert [(node.kind, node.parameters, node.macs) for node in counted[2:]] == [("Conv", 222, 5 * 7 * 6 * 36)]


def test_what_cannot_be_told_is_none() -> None:
    lonely = helper.make_node("Einsum", ["x", "x"], ["out"], equation="nchw,nchw->n")
    assert [node.macs for node in tally.count(graph([lonely], {}, [1, 4, 7, 9], [1]))] == [None]
    free = graph([helper.make_node("Relu", ["x"], ["out"])], {}, ["n", 4, "h", "w"], ["n", 4, "h", "w"])
    with pytest.raises(UsageError, match="leaves dimension 2 free"):
        tally.count(free)
    assert tally.count(free, {"x": (1, 4, 5, 6)})[0].output == (1, 4, 5, 6)
