"""export and convert on a small model: what they write, what they refuse, what they say."""

import copy
import importlib.util
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx as library
import pytest
import torch
from pages import read_page

from tltpy import artifact, tasks
from tltpy.deploy import onnx, perf, processor
from tltpy.deploy.compare import Comparison, compare
from tltpy.deploy.proof import Proof
from tltpy.deploy.runtime import open_runtime
from tltpy.errors import ModelFileError, QualityError, UsageError, WrongKeyError
from tltpy.log import Log
from tltpy.spec import load
from tltpy.steps import convert, export, models

KEY = "secret"
SPEC = """
dataset_config {
  data_sources { tfrecords_path: "nothing/here*" image_directory_path: "nothing" }
  target_class_mapping { key: "car" value: "car" }
  target_class_mapping { key: "truck" value: "truck" }
}
augmentation_config {
  preprocessing { output_image_width: 96 output_image_height: 64 output_image_channel: 3 }
}
yolo_config { arch: "resnet" nlayers: 10 arch_conv_blocks: 0 }
nms_config { confidence_threshold: 0.004 clustering_iou_threshold: 0.4 top_k: 30 }
"""


def pictures(cfg: Any, count: int) -> dict[str, torch.Tensor]:
    """Inputs of made-up records."""
    task, rng = tasks.load("yolo"), np.random.default_rng(7)
    batch = task.collate([task.sample(task.example(cfg, rng), cfg, None) for _ in range(count)])
    return task.inputs(batch, None, cfg)


def config(text: str = SPEC) -> Any:
    return tasks.canonical("yolo", load.parse_text(text, tasks.message("yolo")).message)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sealed model with random weights, and statistics as training would leave them."""
    path = tmp_path_factory.mktemp("model") / "small.tlt"
    torch.manual_seed(3)
    network = tasks.load("yolo").build(config()).train()
    with torch.no_grad():
        for _ in range(25):
            network(pictures(config(), 4))
    artifact.save_model(
        path, key=KEY, task="yolo", tensors=network.state_dict(), metadata={"spec": models.spec_text(config())}
    )
    return path


@pytest.fixture(scope="module")
def exported(model: Path) -> tuple[Path, dict[str, Any], str]:
    """The graph with an engine beside it, the result, and the log."""
    said = io.StringIO()
    result = export.run(
        request(model, model.with_suffix(".etlt"), engine_file=model.with_suffix(".engine")), log_to(said)
    )
    return model.with_suffix(".etlt"), result, said.getvalue()


def request(model: Path, output: Path, **changes: Any) -> export.ExportRequest:
    fixed = {"task": "yolo", "cfg": None, "model": model, "output": output, "key": KEY}
    return export.ExportRequest(**{**fixed, **changes})


def log_to(stream: io.StringIO) -> Log:
    return Log("tlt-test", stream=stream)


def test_the_graph_is_the_model(model: Path, exported: tuple[Path, dict[str, Any], str]) -> None:
    path, result, said = exported
    graph = artifact.load_graph(path, KEY)
    task, opened = tasks.load("yolo"), models.open_network(model, KEY, "yolo")
    module = task.graphs(opened.network, opened.cfg)[0].module.eval()
    inputs = pictures(opened.cfg, 3)
    with torch.inference_mode():
        wanted = module(inputs)
    assert int(wanted["BatchedNMS"].min()) > 0
    for runtime in (open_runtime(graph.onnx), open_runtime(model.with_suffix(".engine"))):
        found = runtime(inputs)
        assert list(found) == ["BatchedNMS", "BatchedNMS_1", "BatchedNMS_2", "BatchedNMS_3"]
        assert [tuple(value.shape) for value in found.values()] == [(3, 1), (3, 30, 4), (3, 30), (3, 30)]
        assert found["BatchedNMS"].dtype == torch.int32
        assert compare(found, wanted).equal
    assert "made-up pictures" in said and result["graphs"][0]["digest"] == graph.digest


def test_the_graph_tells_what_it_is(model: Path, exported: tuple[Path, dict[str, Any], str]) -> None:
    graph = artifact.load_graph(exported[0], KEY)
    facts = open_runtime(graph.onnx).metadata
    assert facts["labels"] == ["car", "truck"] and facts["nms"]["iou_threshold"] == pytest.approx(0.4)
    assert facts["params"] > 1e6 and facts["flops"] > 1e6
    assert facts["model"] == artifact.load_model(model, KEY).digest
    assert facts["ranges"]["Input"][0] < 0 < facts["ranges"]["Input"][1]
    assert graph.metadata["lineage"][-1] == {"digest": facts["model"], "name": "small.tlt", "step": "export"}
    assert "nothing/here" in graph.metadata["spec"] and b"nothing/here" not in graph.onnx
    assert KEY.encode() not in exported[0].read_bytes()


def test_thresholds_come_from_the_spec_and_the_batch_size_is_fixed(model: Path, tmp_path: Path) -> None:
    cfg = config(SPEC.replace("top_k: 30", "top_k: 11"))
    result = export.run(
        request(model, tmp_path / "a.onnx", cfg=cfg, format="onnx", batch_size=3), log_to(io.StringIO())
    )
    runtime = open_runtime(tmp_path / "a.onnx")
    assert runtime.batch_size == 3 and runtime.outputs["BatchedNMS_1"].shape == (3, 11, 4)
    assert result["format"] == "onnx"
    library.checker.check_model(library.load(tmp_path / "a.onnx"), full_check=True)


def test_score_bits_are_for_the_plugin(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = config(SPEC.replace("top_k: 30", "top_k: 30 infer_nms_score_bits: 6"))
    monkeypatch.setattr(export, "prove", lambda *arguments: Proof(Comparison(True, "", 0.0), None))  # shown elsewhere
    for target, warned in (("portable", True), ("tensorrt", False)):
        said, path = io.StringIO(), tmp_path / f"{target}.onnx"
        export.run(request(model, path, cfg=cfg, format="onnx", target=target), log_to(said))
        assert ("infer_nms_score_bits has no effect" in said.getvalue()) == warned
        node = library.load(path).graph.node[-1]
        bits = [attribute.i for attribute in node.attribute if attribute.name == "scoreBits"]
        assert bits == ([] if warned else [6])


def test_a_graph_that_differs_is_not_written(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = onnx.write

    def other(module: torch.nn.Module, *arguments: Any, **options: Any) -> bytes:
        """Writes a graph with another weight."""
        changed = copy.deepcopy(module)
        next(changed.parameters()).data[3] *= 1.5
        return write(changed, *arguments, **options)

    monkeypatch.setattr(export.onnx, "write", other)
    with pytest.raises(QualityError, match="does not compute what the model computes") as caught:
        export.run(request(model, tmp_path / "a.etlt"), log_to(io.StringIO()))
    assert caught.value.exit_code == 7
    assert not list(tmp_path.iterdir())


def test_export_refuses(model: Path, exported: tuple[Path, dict[str, Any], str], tmp_path: Path) -> None:
    log = log_to(io.StringIO())
    with pytest.raises(UsageError, match="the file exists"):
        export.run(request(model, exported[0]), log)
    with pytest.raises(UsageError, match="small.engine: the file exists"):
        export.run(request(model, tmp_path / "b.etlt", engine_file=model.with_suffix(".engine")), log)
    with pytest.raises(WrongKeyError):
        export.run(request(model, tmp_path / "b.etlt", key="other"), log)
    with pytest.raises(ModelFileError, match="no tensor|not in the network|tensor"):
        other = config(SPEC.replace("nlayers: 10", "nlayers: 18"))
        export.run(request(model, tmp_path / "b.etlt", cfg=other), log)
    assert not list(tmp_path.iterdir())


def conversion(source: Path, engine: Path, **changes: Any) -> convert.ConvertRequest:
    return convert.ConvertRequest(**{"source": source, "engine": engine, "key": KEY, **changes})


def test_an_engine_of_a_sealed_graph_and_its_speed(
    exported: tuple[Path, dict[str, Any], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(perf, "SECONDS", 0.01)
    monkeypatch.setattr(processor, "load", lambda: 999.0)
    said = io.StringIO()
    shapes = ((1, 3, 64, 96), (2, 3, 64, 96), (4, 3, 64, 96))
    result = convert.run(
        conversion(
            exported[0], tmp_path / "a.engine", precision="fp16", dims=(3, 64, 96), nodes=("BatchedNMS",), perf=True,
            max_batch_size=2, against=exported[0], threads=1, profiles=(convert.Profile("Input", *shapes),),
        ),
        log_to(said),
    )
    runtime = open_runtime(tmp_path / "a.engine")
    assert runtime.batch_size is None and runtime.metadata["engine"]["precision"] == "fp16"
    assert (tmp_path / "a.engine").stat().st_size < 0.6 * len(artifact.load_graph(exported[0], KEY).onnx)
    assert 0 < result["error"] < 1e-2
    report = json.loads((tmp_path / "a.engine.perf/perf.json").read_text())
    assert [each["precision"] for each in report["measured"]] == ["fp16", "fp32"] and report["threads"] == 1
    assert [[entry["batch_size"] for entry in each["latencies"]] for each in report["measured"]] == [[1, 2, 4]] * 2
    assert [each["low"] <= each["ratio"] <= each["high"] for each in report["comparisons"]] == [True] * 3
    assert "frames/s" in (tmp_path / "a.engine.perf/perf.txt").read_text()
    page = read_page((tmp_path / "a.engine.perf/perf.html").read_text())
    assert "a.engine" in page.text and "the load was 999.0" in page.text and len(page.pictures) == 3
    assert "the machine is busy: the load was 999.0" in said.getvalue() and "float16" in said.getvalue()
    assert "times as fast" in convert.text(result) and json.dumps(result)


def test_a_profile_of_one_shape_fixes_the_batch(exported: tuple[Path, dict[str, Any], str], tmp_path: Path) -> None:
    shape = (2, 3, 64, 96)
    wish = conversion(exported[0], tmp_path / "a.engine", profiles=(convert.Profile("Input", shape, shape, shape),))
    convert.run(wish, log_to(io.StringIO()))
    assert open_runtime(tmp_path / "a.engine").batch_size == 2
    with pytest.raises(UsageError, match="the file exists"):
        convert.run(wish, log_to(io.StringIO()))


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A graph of another input."""
    helper, kind = library.helper, library.TensorProto.FLOAT
    ports = [helper.make_tensor_value_info(name, kind, ["batch", 3, 32, 40]) for name in ("Input", "out")]
    graph = helper.make_graph([helper.make_node("Relu", ["Input"], ["out"])], "g", ports[:1], ports[1:])
    path = tmp_path_factory.mktemp("wide") / "wide.onnx"
    library.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    return path


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"dims": (3, 96, 64)}, "takes Input of 3x64x96, not 3x96x64"),
    ({"nodes": ("BatchedNMS", "boxes")}, 'no output "boxes"'),
    ({"layout": "nhwc"}, "as nchw, not nhwc"),
    ({"profiles": (convert.Profile("image", *([(1, 3, 64, 96)] * 3)),)}, 'no input "image"'),
    ({"profiles": (convert.Profile("Input", *([(1, 3, 64, 64)] * 3)),)}, r"Input is \?x3x64x96, and -p gives"),
    ({"precision": "int8"}, "int8 needs a quantized model"),
    ({"backend": "openvino"}, "name it|is two files"),
    ({"perf": True, "against": Path("wide.onnx")}, "takes Input of 3x32x40, and .* Input of 3x64x96: no comparison"),
]


@pytest.mark.parametrize(("wish", "message"), WRONG, ids=lambda value: value if isinstance(value, str) else None)
def test_convert_refuses(
    exported: tuple[Path, dict[str, Any], str], wide: Path, tmp_path: Path, wish: dict[str, Any], message: str
) -> None:
    if wish.get("backend") == "openvino":
        pytest.importorskip("openvino")
    if "against" in wish:
        wish = {**wish, "against": wide}
    with pytest.raises(UsageError, match=message):
        convert.run(conversion(exported[0], tmp_path / "a.engine", **wish), log_to(io.StringIO()))
    assert not list(tmp_path.iterdir())


Cli = Callable[..., Any]


def test_the_executables(cli: Cli, model: Path, exported: tuple[Path, dict[str, Any], str], tmp_path: Path) -> None:
    source = exported[0]
    done = cli("tlt-converter", "-k", KEY, "-w", 1 << 30, "-e", tmp_path / "a.engine", source, check=0)
    assert done.stdout.startswith(f"{tmp_path}/a.engine") and "-w has no effect: only TensorRT" in done.stderr
    done = cli("tlt-export", "yolo", "-m", model, "-k", "wrong", "-o", tmp_path / "a.etlt", check=5)
    assert "key" in done.stderr
    done = cli("tlt-export", "yolo_v3", "-m", model, "-k", KEY, "--data_type", "int8", "--cal_image_dir", ".", check=2)
    assert "needs a quantized model" in done.stderr and "Traceback" not in done.stderr
    done = cli("tlt-convert", "-p", "Input,2x3x64x96,1x3x64x96,1x3x64x96", source, check=2)
    assert "the shapes must grow" in done.stderr
    if importlib.util.find_spec("tensorrt") is None:
        done = cli("tlt-convert", "-k", KEY, "--backend", "tensorrt", source, "-e", tmp_path / "b.engine", check=6)
        assert "pip install tltpy[tensorrt]" in done.stderr and "trtexec" in done.stderr
    done = cli("tlt-convert", tmp_path / "none.etlt", check=5)
    assert "none.etlt" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.engine"]
