"""Every backbone through its life: trained, pruned, exported, converted, and the engine measured beside the model.

That of resnet is told at length in test_lifecycle.py.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from shapes import FAST, KEY, SPEC

from tltpy import artifact
from tltpy.deploy.runtime import open_runtime
from tltpy.tasks.yolo.architectures import ARCHITECTURES

Cli = Callable[..., Any]
# what else is asked of a training on the way
MORE = {"vgg": "freeze_blocks: 1", "squeezenet": "freeze_blocks: 0", "mobilenet_v2": "freeze_bn: true",
        "darknet": "force_relu: true"}  # fmt: skip


def spec_of(arch: str, layers: int, root: Path) -> str:
    text = SPEC.format(
        root=root,
        epochs=1,
        network=f"{FAST} {MORE.get(arch, '')}",
        training="optimizer { sgd { momentum: 0 nesterov: false } }",  # its state takes no room
        period=1,
    )
    for old, new in {
        'arch: "resnet" nlayers: 10': f'arch: "{arch}"' + (f" nlayers: {layers}" if layers else ""),
        "batch_size_per_gpu: 4": "batch_size_per_gpu: 5",  # two steps
        "confidence_threshold: 0.05": "confidence_threshold: 0.001",  # after so few steps it is sure of nothing
    }.items():
        assert old in text
        text = text.replace(old, new)
    return text


@pytest.mark.slow
@pytest.mark.parametrize("arch", [arch for arch in ARCHITECTURES if arch != "resnet"])
def test_a_backbone_lives_its_life(arch: str, here: Cli, shapes: Path, tmp_path: Path) -> None:
    """Most of the time goes into PyTorch's exporter."""
    layers = next(iter(ARCHITECTURES[arch]))
    spec, pruned, graph, engine = (tmp_path / name for name in ("spec.txt", "pruned.tlt", "yolo.etlt", "yolo.engine"))
    spec.write_text(spec_of(arch, layers, shapes))

    def run(executable: str, *arguments: object) -> dict[str, Any]:
        done = here(executable, *arguments, "--json", "-q", env={"TLT_KEY": KEY}, check=0)
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    trained = run("tlt-train", "yolo", "-e", spec, "-r", tmp_path / "out")
    assert Path(trained["last"]).name == f"yolo_{arch}{layers or ''}_last.tlt"
    assert 0 < trained["last_epoch"]["loss"] < float("inf")
    cut = run("tlt-prune", "-m", trained["best"], "-o", pruned, "--target-params", 0.3, "-nf", 8)
    assert 0.1 < cut["parameters"]["ratio"] <= 0.3
    run("tlt-export", "yolo", "-m", pruned, "-o", graph)
    assert [entry["step"] for entry in artifact.load_graph(graph, KEY).metadata["lineage"]] == ["prune", "export"]
    run("tlt-convert", "-e", engine, graph)
    found = open_runtime(engine)({"Input": torch.randn(2, 3, 64, 96) * 50})
    assert int(found["BatchedNMS"].min()) == 20  # all that top_k lets through
    measured = run("tlt-evaluate", "yolo", "-e", spec, "-m", engine, "--align", pruned)
    assert measured["examples"] == 10 and set(measured["metric"]["AP"]) == {"disc", "bar"}
    assert measured["params"] == cut["parameters"]["after"]
    outputs = measured["align"]["outputs"]
    assert outputs["BatchedNMS"]["bit_equal"] == 1.0 and outputs["BatchedNMS_2"]["largest_difference"] < 1e-5
