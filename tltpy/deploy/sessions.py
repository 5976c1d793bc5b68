"""The libraries that run networks, behind one face: arrays in, arrays out, and how long each operator took."""

import tempfile
from collections import defaultdict
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from tltpy.errors import BackendError, ModelFileError

METADATA = ("tltpy", "metadata")  # where an OpenVINO file keeps our metadata
# the one makes equal constants one, which the change of weights to unsigned does not survive; the other quantizes
# operators that a graph keeps in float
QUANTIZED = b"QuantizeLinear"  # stands in every graph with integer layers
DISABLED = ["ConstantSharing", "WeightBiasQuantization"]
AGAIN = "copy it again from where it came, or make it again with tlt-export or tlt-convert"


class Port(NamedTuple):
    """One input or output; None stands for a dimension that is free."""

    shape: tuple[int | None, ...]
    dtype: np.dtype


@dataclass(frozen=True)
class OperatorTime:
    """Mean time of one operator in one run."""

    name: str
    kind: str
    milliseconds: float


class Session(Protocol):
    backend: str
    inputs: dict[str, Port]
    outputs: dict[str, Port]
    metadata: dict[str, str]
    largest: int | None  # batch that it takes; None where there is no limit

    def run(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        """Inputs and outputs in the order of `inputs` and `outputs`."""
        ...

    def profile(self, arrays: list[np.ndarray], runs: int) -> list[OperatorTime]: ...


class OnnxRuntimeSession:
    """Runs ONNX files, on the GPU where `cuda` is asked for and the library can."""

    backend = "onnxruntime"
    largest: int | None = None

    def __init__(self, content: bytes, *, name: str, threads: int | None, cuda: bool) -> None:
        import onnxruntime

        self._content, self._threads = content, threads
        available = onnxruntime.get_available_providers()
        if cuda and "CUDAExecutionProvider" not in available:
            raise BackendError("this onnxruntime has no CUDA", "pip install onnxruntime-gpu in place of onnxruntime")
        self._providers = ["CUDAExecutionProvider", "CPUExecutionProvider"] if cuda else ["CPUExecutionProvider"]
        self._session = self._open(name)
        self.inputs = {value.name: _port(value) for value in self._session.get_inputs()}
        self.outputs = {value.name: _port(value) for value in self._session.get_outputs()}
        self.metadata: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)

    def run(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        found: list[np.ndarray] = self._session.run(None, dict(zip(self.inputs, arrays, strict=True)))
        return found

    def profile(self, arrays: list[np.ndarray], runs: int) -> list[OperatorTime]:
        import json

        with tempfile.TemporaryDirectory() as folder:
            session = self._open("graph", profile=str(Path(folder) / "run"))
            for _ in range(runs):
                session.run(None, dict(zip(self.inputs, arrays, strict=True)))
            events = json.loads(Path(session.end_profiling()).read_text())
        spent: dict[tuple[str, str], list[float]] = defaultdict(list)
        for event in events:
            name = event.get("name", "")
            if event.get("cat") == "Node" and name.endswith("_kernel_time"):
                kind = event["args"].get("op_name", "?")
                spent[name.removesuffix("_kernel_time"), kind].append(event["dur"] / 1000)
        # the first run also allocates
        return [OperatorTime(*key, float(np.mean(times[1:] or times))) for key, times in spent.items()]

    def _open(self, name: str, profile: str | None = None) -> Any:
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as state

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        if self._threads:
            options.intra_op_num_threads = self._threads
        # processors with AVX2 but no VNNI saturate sums of 8-bit products, unless weights are made unsigned
        options.add_session_config_entry("session.x64quantprecision", "1")
        if profile:
            options.enable_profiling, options.profile_file_prefix = True, profile
        try:
            return onnxruntime.InferenceSession(
                self._content, options, providers=self._providers, disabled_optimizers=DISABLED
            )
        except state.NotImplemented as error:
            raise BackendError(f"{name}: onnxruntime {version('onnxruntime')} lacks an operator: {error}") from error
        except (state.InvalidProtobuf, state.InvalidGraph, state.Fail, state.InvalidArgument) as error:
            raise ModelFileError(f"{name}: not an ONNX graph, or damaged", AGAIN, _said(error)) from error


class OpenVinoSession:
    """Runs OpenVINO files (.xml with its .bin) on the CPU."""

    backend = "openvino"
    largest: int | None = None

    def __init__(self, path: Path, *, threads: int | None) -> None:
        openvino = require_openvino()
        self._core = openvino.Core()
        try:
            self._model = self._core.read_model(path)
        except RuntimeError as error:
            raise ModelFileError(f"{path}: not an OpenVINO model, or damaged", AGAIN, _said(error)) from error
        self.metadata: dict[str, str] = {}
        if self._model.has_rt_info(list(METADATA)):
            self.metadata = {METADATA[1]: self._model.get_rt_info(list(METADATA)).value}
        self._options: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
        if '"precision": "fp32"' in self.metadata.get(METADATA[1], ""):
            self._options["INFERENCE_PRECISION_HINT"] = "f32"  # else some processors round to bfloat16
        if threads:
            self._options["INFERENCE_NUM_THREADS"] = threads
        self._compiled = self._compile({})
        self.inputs = {port.any_name: _openvino_port(port) for port in self._compiled.inputs}
        self.outputs = {port.any_name: _openvino_port(port) for port in self._compiled.outputs}

    def run(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        found = self._compiled(arrays, share_inputs=True)
        return [found[place] for place in range(len(self.outputs))]

    def profile(self, arrays: list[np.ndarray], runs: int) -> list[OperatorTime]:
        request = self._compile({"PERF_COUNT": True}).create_infer_request()
        spent: dict[tuple[str, str], list[float]] = defaultdict(list)
        for _ in range(runs):
            request.infer(arrays, share_inputs=True)
            for entry in request.profiling_info:
                if entry.status == entry.Status.EXECUTED:
                    spent[entry.node_name, entry.node_type].append(entry.real_time.total_seconds() * 1000)
        return [OperatorTime(*key, float(np.mean(times[1:] or times))) for key, times in spent.items()]

    def _compile(self, options: dict[str, Any]) -> Any:
        try:
            return self._core.compile_model(self._model, "CPU", {**self._options, **options})
        except RuntimeError as error:
            raise BackendError("openvino cannot run this graph", _first_line(error)) from error


def require_openvino() -> Any:
    """The library; BackendError where it is not installed."""
    if find_spec("openvino") is None:
        raise BackendError("openvino is not installed", "pip install tltpy[openvino]")
    import openvino

    return openvino


def _port(value: Any) -> Port:
    names = {"float": "float32", "double": "float64"}
    kind = value.type.removeprefix("tensor(").removesuffix(")")
    shape = tuple(size if isinstance(size, int) else None for size in value.shape)
    return Port(shape, np.dtype(names.get(kind, kind)))


def _openvino_port(port: Any) -> Port:
    shape = tuple(None if size.is_dynamic else size.get_length() for size in port.get_partial_shape())
    return Port(shape, np.dtype(port.get_element_type().to_dtype()))


def _said(error: Exception) -> str:
    return f"the library says: {_first_line(error)}"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
