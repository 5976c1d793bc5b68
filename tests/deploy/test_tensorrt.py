"""TensorRT: what its builder is asked for, in both interfaces; plans run, and lie beside what tltpy knows of them.

The library here is fake_tensorrt, which computes with ONNX Runtime; test_on_a_gpu takes the real one.
"""

import contextlib
import importlib.util
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake_tensorrt
import onnx as library
import pytest
import torch
from shapes import KEY, Trained
from small_detector import Detector, pictures

from tltpy import artifact
from tltpy.deploy import engine, onnx, tensorrt
from tltpy.deploy.compare import compare
from tltpy.deploy.runtime import open_runtime
from tltpy.errors import BackendError, ModelFileError, UsageError
from tltpy.log import Log
from tltpy.steps import convert

REAL = importlib.util.find_spec("tensorrt") is not None
Cli = Callable[..., Any]


def install(patch: pytest.MonkeyPatch, major: int, dla_cores: int = 0) -> Any:
    """The fake library, its memory and its stream in this process."""
    module = fake_tensorrt.make(major, dla_cores)
    patch.setitem(sys.modules, "tensorrt", module)
    patch.setattr(tensorrt, "find_spec", lambda name: object())
    patch.setattr(tensorrt, "has_gpu", lambda: True)
    patch.setattr(tensorrt, "device", lambda: torch.device("cpu"))
    patch.setattr(tensorrt, "stream", lambda: contextlib.nullcontext(7))
    return module


@pytest.fixture(params=[10, 11])
def fake(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    return install(monkeypatch, request.param)


def converted(content: bytes, folder: Path, **wishes: Any) -> tuple[Path, str]:
    """A plan of a graph, and the log."""
    source, said = folder / "graph.onnx", io.StringIO()
    source.write_bytes(content)
    request = convert.ConvertRequest(source=source, engine=folder / "a.engine", backend="tensorrt", **wishes)
    convert.run(request, Log("tlt-test", stream=said))
    return folder / "a.engine", said.getvalue()


def test_a_plan_computes_what_the_graph_computes(fake: Any, detector_onnx: bytes, tmp_path: Path) -> None:
    path, _ = converted(detector_onnx, tmp_path, workspace=1 << 30, max_batch_size=4)
    asked = fake.asked[len(fake.asked) // 2 :]  # the first half built the probe
    shapes = [(size, 3, 48, 80) for size in (1, 4, 4)]
    assert asked == [
        ["set_memory_pool_limit", "WORKSPACE", 1 << 30],
        ["clear_flag", "TF32"],
        ["profile", {"Input": tuple(shapes)}],
        ["weights", "float32"],
    ]
    assert path.read_bytes().startswith(b"ftrt") and artifact.flavour(path) == "plan"
    facts = json.loads((tmp_path / "a.engine.json").read_text())
    assert facts["labels"] == ["car", "cyclist", "pedestrian"]
    assert facts["engine"] == {"backend": "tensorrt", "precision": "fp32", "built_with": fake.__version__}
    runtime = open_runtime(path)
    assert runtime.backend == "tensorrt" and runtime.metadata["labels"] == facts["labels"]
    for size in (1, 4, 7):
        inputs = {"Input": pictures(size, size)}
        assert compare(runtime(inputs), open_runtime(detector_onnx)(inputs), absolute=1e-4).equal
    assert [entry.name for entry in runtime.profile({"Input": pictures(2, 0)})] == ["layer one"]


def test_half_precision_by_a_flag_or_by_the_graph(fake: Any, detector_onnx: bytes, tmp_path: Path) -> None:
    _, said = converted(detector_onnx, tmp_path, precision="fp16", strict=True)
    asked = fake.asked[len(fake.asked) // 2 :]
    flags = [name for what, name, *_ in asked if what == "set_flag"]
    if fake.__version__.startswith("10"):
        assert flags == ["FP16", "OBEY_PRECISION_CONSTRAINTS"] and ["weights", "float32"] in asked
        assert "no effect" not in said
    else:
        assert flags == [] and ["weights", "float16"] in asked
        assert "-s has no effect: TensorRT 11.4.0 keeps to the types of the graph always" in said


def test_profiles_and_fixed_batches(fake: Any, detector_onnx: bytes, tmp_path: Path) -> None:
    shapes = ((2, 3, 48, 80), (3, 3, 48, 80), (5, 3, 48, 80))
    path, _ = converted(detector_onnx, tmp_path, profiles=(convert.Profile("Input", *shapes),))
    assert ["profile", {"Input": shapes}] in fake.asked
    runtime = open_runtime(path)
    assert runtime({"Input": pictures(3, 0)})["boxes"].shape == (3, 12, 4)
    with pytest.raises(UsageError, match=r"from \(2, 3, 48, 80\) on"):
        runtime({"Input": pictures(1, 0)})
    fake.asked.clear()
    files = engine.build(detector_onnx, backend="tensorrt", precision="fp32", batch_size=2)
    assert sorted(files) == ["", ".json"] and not any(what == "profile" for what, *_ in fake.asked)


def test_a_dla(monkeypatch: pytest.MonkeyPatch, detector_onnx: bytes) -> None:
    fake = install(monkeypatch, 10, dla_cores=2)
    tensorrt.build(detector_onnx, "fp16", tensorrt.Wishes(dla_core=1))
    assert ["default_device_type", fake.DeviceType.DLA] in fake.asked and ["DLA_core", 1] in fake.asked
    assert ["set_flag", "GPU_FALLBACK"] in fake.asked
    with pytest.raises(UsageError, match="no fp32"):
        tensorrt.build(detector_onnx, "fp32", tensorrt.Wishes(dla_core=1))
    with pytest.raises(BackendError, match="no DLA core 2: this machine has 2"):
        tensorrt.build(detector_onnx, "fp16", tensorrt.Wishes(dla_core=2))


def test_what_goes_wrong(
    monkeypatch: pytest.MonkeyPatch, detector_onnx: bytes, tmp_path: Path
) -> None:
    install(monkeypatch, 10)
    model = onnx.read(detector_onnx)
    model.graph.node.append(library.helper.make_node("Erf", [model.graph.output[1].name], ["erf"]))
    with pytest.raises(BackendError, match="cannot read this graph: .*importErf"):
        tensorrt.build(model.SerializeToString(), "fp32", tensorrt.Wishes())
    path, _ = converted(detector_onnx, tmp_path)
    facts = tensorrt.facts_file(path)
    kept = facts.read_text()
    facts.unlink()
    with pytest.raises(ModelFileError, match=r"a\.engine\.json: no such file"):
        open_runtime(path)
    facts.write_text(kept)
    path.write_bytes(b"of a later version")  # known as a plan by the file beside it
    with pytest.raises(BackendError, match="cannot open this plan"):
        open_runtime(path)


def test_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorrt, "find_spec", lambda name: None)
    with pytest.raises(BackendError, match="tensorrt is not installed") as caught:
        engine.require("tensorrt", "fp16")
    assert caught.value.exit_code == 6 and "pip install tltpy[tensorrt]" in caught.value.hints[0]
    install(monkeypatch, 8)
    with pytest.raises(BackendError, match=r"8\.4\.0 is too old"):
        engine.require("tensorrt", "fp16")
    install(monkeypatch, 10)
    monkeypatch.setattr(tensorrt, "has_gpu", lambda: False)
    with pytest.raises(BackendError, match="needs an NVIDIA GPU"):
        engine.require("tensorrt", "fp16")


@pytest.mark.parametrize("kind", ["batched", "efficient"])
def test_from_export_to_infer(
    here: Cli, trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The graph with a plugin, its plan, and what infer finds with either."""
    install(monkeypatch, 11)
    flags = ["-k", KEY, "-q"]
    graph, plan = tmp_path / "a.onnx", tmp_path / "a.engine"
    here("tlt-export", "yolo", "-m", trained.model, "-o", graph, "--target", "tensorrt", "--nms", kind, *flags, check=0)
    here("tlt-convert", "--backend", "tensorrt", "-t", "fp16", "-m", 3, "-e", plan, graph, *flags, check=0)
    found = []
    for model in (trained.model, graph, plan):
        seen = ["-e", trained.spec, "-i", trained.data / "images", "-l", tmp_path / f"l{len(found)}", "--json"]
        done = here("tlt-infer", "yolo", "-m", model, *seen, *flags, check=0)
        found.append(json.loads(done.stdout)["predictions"])
    assert sum(len(each["objects"]) for each in found[0]) >= 14
    for other, limit in ((found[1], 1e-4), (found[2], 0.02)):
        for one, two in zip(found[0], other, strict=True):
            assert [each["class"] for each in one["objects"]] == [each["class"] for each in two["objects"]]
            for a, b in zip(one["objects"], two["objects"], strict=True):
                assert a["score"] == pytest.approx(b["score"], abs=limit)
                assert a["box_xyxy"] == pytest.approx(b["box_xyxy"], abs=100 * limit)


@pytest.mark.gpu
@pytest.mark.skipif(not REAL or not torch.cuda.is_available(), reason="needs tensorrt and a CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_on_a_gpu(detector: Detector, detector_onnx: bytes, tmp_path: Path, precision: str) -> None:
    path, _ = converted(detector_onnx, tmp_path, precision=precision, max_batch_size=4)
    inputs = {"Input": pictures(7, 1)}
    found, wanted = open_runtime(path)(inputs), detector(inputs)
    assert float((found["scores"] - wanted["scores"]).abs().max()) < (1e-3 if precision == "fp32" else 1e-2)
