"""tlt-calops and tlt-model-check as they are typed: what they print, and how they end."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx as library
import pytest
import torch
from shapes import KEY, SPEC, make_data

from tltpy import artifact, tasks
from tltpy.nn import cost
from tltpy.spec.load import load
from tltpy.steps import models

Cli = Callable[..., Any]
DEPTH_1 = """\
graph yolo: Input 1x3x64x96
module             type            parameters              MACs   share  output
(all)              Detector         9,063,260       215,577,600  100.0%
  taps             Taps             7,270,336       190,611,456   88.4%
  yolo_conv1       Sequential         131,584           786,432    0.4%  1x256x2x3
  yolo_conv1_6     ConvUnit         1,180,672         7,077,888    3.3%  1x512x2x3
  conv_big_object  Conv2d               3,591            21,504    0.0%  1x7x2x3
  yolo_conv2       ConvUnit            33,024           196,608    0.1%  1x128x2x3
  yolo_conv3       Sequential          49,408         1,179,648    0.5%  1x128x4x6
  yolo_conv3_6     ConvUnit           295,424         7,077,888    3.3%  1x256x4x6
  conv_mid_object  Conv2d               3,598            86,016    0.0%  1x14x4x6
  yolo_conv4       ConvUnit             8,320           196,608    0.1%  1x64x4x6
  yolo_conv5       Sequential          12,416         1,179,648    0.5%  1x64x8x12
  yolo_conv5_6     ConvUnit            73,984         7,077,888    3.3%  1x128x8x12
  conv_sm_object   Conv2d                 903            86,016    0.0%  1x7x8x12
  postprocess      Postprocess              0                 0    0.0%

parameters         9,063,260
MACs             215,577,600  (0.216 G)
FLOPs            431,155,200  (0.431 G, two for each MAC)
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, here: Cli) -> Path:
    """A spec, a model with random weights (statistics as a training leaves them), a pruned one, and its graph."""
    folder = tmp_path_factory.mktemp("tools")
    make_data(folder / "data", count=2)
    (folder / "spec.txt").write_text(
        SPEC.format(root=folder / "data", epochs=1, network="", training="", period=1)
    )
    cfg = tasks.canonical("yolo", load(folder / "spec.txt", tasks.message("yolo")).message)
    torch.manual_seed(0)
    network = tasks.load("yolo").build(cfg).train()
    for _ in range(3):
        network({"Input": torch.randn(4, 3, 64, 96) * 50})
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):  # equal ones would be stored once
                parameter.add_(torch.randn_like(parameter))
    metadata = {"spec": models.spec_text(cfg)}
    artifact.save_model(folder / "a.tlt", key=KEY, task="yolo", tensors=network.state_dict(), metadata=metadata)
    here("tlt-prune", "-m", folder / "a.tlt", "-o", folder / "b.tlt", "-k", KEY, "--target-params", 0.6, "-q", check=0)
    here("tlt-export", "yolo", "-m", folder / "b.tlt", "-k", KEY, "-o", folder / "b.etlt", "-q", check=0)
    (folder / "b.onnx").write_bytes(artifact.load_graph(folder / "b.etlt", KEY).onnx)
    return folder


def test_the_tree_of_an_untrained_network(here: Cli, files: Path) -> None:
    done = here("tlt-calops", "yolo", "-e", files / "spec.txt", "--depth", 1, check=0)
    assert done.stdout == DEPTH_1 and done.stderr == ""


def counted(here: Cli, files: Path, *arguments: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        here("tlt-calops", "yolo_v3", "-e", files / "spec.txt", "--json", *arguments, check=0).stdout
    )
    return found


def test_a_model_and_what_was_made_of_it_cost_the_same(here: Cli, files: Path) -> None:
    full, pruned, sealed, plain = (
        counted(here, files, "-m", files / name, "-k", KEY) for name in ("a.tlt", "b.tlt", "b.etlt", "b.onnx")
    )
    assert (full["parameters"], full["macs"], full["flops"]) == (9063260, 215577600, 431155200)
    assert 0.3 < pruned["parameters"] / full["parameters"] < 0.61 and pruned["macs"] < full["macs"]
    assert pruned["macs"] == sealed["macs"] == plain["macs"]
    network = models.open_network(files / "b.tlt", KEY, "yolo").network
    assert pruned["parameters"] == cost.parameters(network)
    # a normalisation has a scale and a shift, of which a shift remains
    channels = sum(m.num_features for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d))
    assert sealed["parameters"] == pruned["parameters"] - channels
    inner = {row["name"].removeprefix("network."): row["macs"] for row in sealed["graphs"][0]["modules"]}
    assert [inner[row["name"]] == row["macs"] for row in pruned["graphs"][0]["modules"]
            if row["kind"] == "Conv2d"] == [True] * 25  # fmt: skip


def test_as_csv(here: Cli, files: Path) -> None:
    done = here("tlt-calops", "yolo", "-e", files / "spec.txt", "--csv", check=0)
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    leaves = [row for row in rows if row["type"] == "Conv2d"]
    assert sum(int(row["macs"]) for row in leaves) == int(rows[0]["macs"]) == 215577600
    assert rows[0]["module"] == "" and rows[0]["graph"] == "yolo"
    assert sum(int(row["parameters"]) for row in rows if row["type"] in ("Conv2d", "BatchNorm2d")) == 9063260


def test_shapes_and_methods(here: Cli, files: Path) -> None:
    done = here("tlt-calops", "yolo", "-e", files / "spec.txt", "--input-shape", "Input:2,3,128,96", "--json", check=0)
    assert json.loads(done.stdout)["macs"] == 4 * 215577600
    assert "counted is the network alone" in done.stderr
    assert counted(here, files, "--method", "hook")["macs"] == 215577600
    for shape, says in (("1,1,64,96", "does not take inputs of this shape"), ("1,3,64", "has 4 dimensions, not 3"),
                        ("image:1,3,64,96", 'no input "image"'), ("1,3,64,wide", "no list of whole numbers"),
                        ("1,3,0,96", "a size below 1")):  # fmt: skip
        done = here("tlt-calops", "yolo", "-e", files / "spec.txt", "--input-shape", shape, check=2)
        assert says in done.stderr and done.stdout == ""


def test_a_graph_that_runs(here: Cli, files: Path) -> None:
    flags = ["yolo", "-e", files / "spec.txt", "-k", KEY]
    done = here("tlt-model-check", *flags, "-m", files / "b.tlt", check=0)
    assert done.stderr == "exporting the graph yolo\nasking onnxruntime about the graph yolo\n"
    assert "  every operator runs\n  layers that multiply: 25 in float32\n" in done.stdout
    assert "  modules never used in a run: none\n" in done.stdout
    assert "float32 -> float32" in done.stdout
    done = here("tlt-model-check", *flags, "-m", files / "b.etlt", "--data_type", "fp16", "--json", "-q", check=0)
    result = json.loads(done.stdout)
    assert result["offenders"] == 0 and result["precision"] == "fp16" and result["graphs"][0]["layers"]
    assert "dead" not in result["graphs"][0]


def test_tensorrt_is_judged_by_a_table_where_it_is_not_installed(here: Cli, files: Path) -> None:
    done = here(
        "tlt-model-check", "yolo", "-e", files / "spec.txt", "-m", files / "b.onnx", "--backend", "tensorrt", check=0
    )
    assert "asked: the documented operators of TensorRT 10 (tensorrt is not installed here)" in done.stdout
    assert "warning: tensorrt is not installed" in done.stderr


def test_an_operator_that_nobody_knows_is_named(here: Cli, files: Path, tmp_path: Path) -> None:
    model = library.load(files / "b.onnx")
    node = next(node for node in model.graph.node if node.op_type == "LeakyRelu")
    name, node.op_type, node.domain = node.name, "Squish", "com.example"
    del node.attribute[:]
    model.opset_import.append(library.helper.make_opsetid("com.example", 1))
    library.save(model, tmp_path / "odd.onnx")
    done = here("tlt-model-check", "yolo", "-e", files / "spec.txt", "-m", tmp_path / "odd.onnx", "-q", check=7)
    assert "operators do not run as they should:" in done.stdout and f"{name} (Squish): " in done.stdout
    error, hint = done.stderr.splitlines()
    assert error.startswith("tlt-model-check: error: ") and "on onnxruntime in fp32" in error
    assert hint.startswith("tlt-model-check: hint: ")


def test_what_is_refused(here: Cli, files: Path, tmp_path: Path) -> None:
    flags = ["yolo", "-e", files / "spec.txt"]
    (tmp_path / "a.engine").write_bytes(b"ptrt" + bytes(99))
    (tmp_path / "bad.txt").write_text("yolo_config { nlayers: many }")
    for code, says, *arguments in (
        (2, "int8 needs a quantized model", "tlt-model-check", *flags, "--data_type", "int8"),
        (5, "but a TensorRT plan", "tlt-calops", *flags, "-m", tmp_path / "a.engine"),
        (5, "the key does not open this file", "tlt-calops", *flags, "-m", files / "a.tlt", "-k", "other"),
        (5, "no such model file", "tlt-model-check", *flags, "-m", tmp_path / "none.tlt", "-k", KEY),
        (3, "bad.txt:1:", "tlt-calops", "yolo", "-e", tmp_path / "bad.txt"),
        (2, "--csv and --json exclude each other", "tlt-calops", *flags, "--csv", "--json"),
    ):
        done = here(*arguments, check=code)
        assert says in done.stderr and done.stdout == "", done.stderr
