"""Builds engines: files that one library runs at its best, from the bytes of an ONNX graph."""

import json
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tltpy.deploy import half, onnx, plugins, tensorrt
from tltpy.deploy.compare import relative_error
from tltpy.deploy.runtime import open_runtime
from tltpy.deploy.sessions import DISABLED, METADATA, QUANTIZED, require_openvino
from tltpy.deploy.tensorrt import Wishes
from tltpy.errors import QualityError, UsageError

BACKENDS = ("onnxruntime", "openvino", "tensorrt")
PRECISIONS = ("fp32", "fp16", "int8")
ERROR_LIMIT = {"fp32": 1e-3, "fp16": 2e-2, "int8": 2e-2}  # of a raw output, relative to its length
SUFFIXES = {"onnxruntime": (".onnx",), "openvino": (".xml", ".bin"), "tensorrt": ("", tensorrt.FACTS)}


def build(
    content: bytes, *, backend: str, precision: str, batch_size: int | None = None, wishes: Wishes | None = None
) -> dict[str, bytes]:
    """The files of an engine: suffix -> bytes. The metadata of the graph goes along.

    onnxruntime: one ONNX file with constants folded and redundant operators gone; what suits one processor alone is
    left to the moment when it is opened, so the file may go to any machine. openvino: .xml and .bin. tensorrt: the plan
    as the library wrote it, for this GPU and this version, and .json with the metadata.

    Args:
        batch_size: makes the engine for that one size.
        wishes: of tensorrt.

    Raises:
        UsageError: int8 of a graph that was not quantized, or another precision of one that was.
        BackendError: the backend is not installed, or this version cannot build for it.
        ModelFileError: damaged bytes.
    """
    require(backend, precision)
    _agree(content, precision)
    if backend != "tensorrt" and plugins.holds(content):
        hint = "export it with --target portable, or build with --backend tensorrt"
        raise UsageError("the graph is made for TensorRT: it holds one of its plugins", hint)
    if batch_size is not None:
        content = onnx.fix_batch(content, batch_size)
    metadata = onnx.metadata_of(onnx.read(content))
    metadata["engine"] = {"backend": backend, "precision": precision, "built_with": _version(backend)}
    if backend == "openvino":
        return _openvino(content, precision, metadata)
    if backend == "tensorrt":
        plan = tensorrt.build(content, precision, wishes or Wishes())
        return {"": plan, tensorrt.FACTS: json.dumps(metadata, indent=1).encode()}
    if precision == "fp16":
        # ONNX Runtime would cast what its CPU part cannot do in float16 back to float32, for good
        return {".onnx": onnx.seal(half.to_half(onnx.read(content)), metadata)}
    return {".onnx": onnx.seal(_simplified(content), metadata)}


def require(backend: str, precision: str) -> None:
    """Raises what `build` would, before any work is done."""
    if backend == "openvino":
        require_openvino()
    if backend == "tensorrt":
        tensorrt.require()


def own_precision(content: bytes) -> str:
    """That of a graph as it is: int8 where it computes with integers, else fp32."""
    return "int8" if QUANTIZED in content else "fp32"


def _agree(content: bytes, precision: str) -> None:
    quantized = own_precision(content) == "int8"
    if precision == "int8" and not quantized:
        raise UsageError(
            "int8 needs a quantized model, and this one holds float weights",
            "build the engine with -t fp16 or -t fp32, or export a model of the stage int_infer",
        )
    if precision != "int8" and quantized:
        raise UsageError(f"the graph computes with integers: it cannot be built for {precision}", "-t int8")


def places(backend: str, path: Path) -> dict[str, Path]:
    """suffix -> path of the files of an engine that is called `path`; UsageError for a name that it cannot have."""
    suffixes = SUFFIXES[backend]
    if backend != "openvino":
        return {suffix: path if suffix != tensorrt.FACTS else tensorrt.facts_file(path) for suffix in suffixes}
    if path.suffix != suffixes[0]:
        raise UsageError(
            f"{path}: an {backend} engine is two files, {' and '.join(suffixes)}",
            f"name it -e {path.with_suffix(suffixes[0])}",
        )
    return {suffix: path.with_suffix(suffix) for suffix in suffixes}


def verify(
    content: bytes, *, backend: str, precision: str, inputs: dict[str, Tensor], wishes: Wishes | None = None
) -> float:
    """The largest relative error of a raw output, of an engine against the graph it is built from.

    The raw outputs are compared, not the final ones: suppression turns a difference in the last bit into another list.
    Raises QualityError where the error is above ERROR_LIMIT or a number is not finite.
    """
    raw = half.boundary(onnx.read(content))
    probe = onnx.with_outputs(content, raw)
    wanted = open_runtime(probe)(inputs)
    files = build(probe, backend=backend, precision=precision, wishes=wishes)
    with tempfile.TemporaryDirectory() as folder:
        for suffix, part in files.items():
            (Path(folder) / f"probe{suffix}").write_bytes(part)
        found = open_runtime(Path(folder) / f"probe{next(iter(files))}")(inputs)
    errors = {name: relative_error(found[name], wanted[name]) for name in raw}
    finite = all(bool(torch.isfinite(value).all()) for value in found.values() if value.is_floating_point())
    worst = max(errors.values(), default=0.0)
    if worst > ERROR_LIMIT[precision] or not finite:
        raise QualityError(
            f"the {precision} engine differs from the graph: relative error {worst:.2g} of a raw output, "
            f"{ERROR_LIMIT[precision]:.2g} is allowed",
            "weights or activations beyond the range of float16 do that: build the engine with -t fp32",
        )
    return worst


def made_up(content_inputs: dict[str, Any], metadata: dict[str, Any], batch_size: int) -> dict[str, Tensor]:
    """Smooth random inputs in the range of real ones, where the metadata tell it under "ranges": {name: [low, high]}.

    Args:
        content_inputs: name -> (shape, dtype), as Runtime.inputs; free dimensions other than the batch become 8.
    """
    rng = np.random.default_rng(0)
    found = {}
    for name, (shape, dtype) in content_inputs.items():
        low, high = metadata.get("ranges", {}).get(name, (0.0, 1.0))
        sizes = [batch_size if shape[0] is None else shape[0], *(size or 8 for size in shape[1:])]
        coarse = torch.from_numpy(rng.random([*sizes[:-2], *(-(-size // 16) for size in sizes[-2:])], np.float32))
        if len(sizes) == 4:
            coarse = torch.nn.functional.interpolate(coarse, size=sizes[-2:], mode="bilinear", align_corners=False)
        else:
            coarse = torch.from_numpy(rng.random(sizes, np.float32))
        found[name] = (low + (high - low) * coarse).to(torch.from_numpy(np.empty(0, dtype)).dtype)
    return found


def _version(backend: str) -> str:
    """Of the library; the wheels of TensorRT have names of their own, one a CUDA."""
    return str(tensorrt.require().__version__) if backend == "tensorrt" else version(backend)


def _simplified(content: bytes) -> Any:
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "graph.onnx"
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(path)
        providers = ["CPUExecutionProvider"]
        onnxruntime.InferenceSession(content, options, providers=providers, disabled_optimizers=DISABLED)
        model = onnx.read(path.read_bytes())
    used = {node.domain for node in model.graph.node} | {""}
    kept = [entry for entry in model.opset_import if entry.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    return model


def _openvino(content: bytes, precision: str, metadata: dict[str, Any]) -> dict[str, bytes]:
    openvino = require_openvino()
    model = openvino.Core().read_model(content)
    model.set_rt_info(json.dumps(metadata), list(METADATA))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "graph.xml"
        openvino.save_model(model, path, compress_to_fp16=precision == "fp16")
        return {suffix: path.with_suffix(suffix).read_bytes() for suffix in SUFFIXES["openvino"]}
