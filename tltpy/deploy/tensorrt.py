"""TensorRT plans: built of a graph, and run, through the library's Python interface, 10.x and 11.x.

Up to 10.x a network is typed weakly, and flags of the builder allow float16. From 11.x on every network is strongly
typed and the flags are gone: there the graph itself is made half precise before (deploy.half). A plan is written as
TensorRT serialised it, so that every other program opens it, too; what tltpy must know lies in a JSON file beside it.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tltpy.deploy import half, onnx
from tltpy.deploy.sessions import METADATA, OperatorTime, Port
from tltpy.errors import BackendError, ModelFileError, UsageError

OLDEST = 10
MAX_BATCH = 16  # as tlt-converter's -m
BEGINNINGS = (b"ptrt", b"ftrt")  # of plans, as far as known
FACTS = ".json"  # ENGINE.json beside ENGINE
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Wishes:
    """What tlt-converter's flags ask of the builder: `workspace` in bytes (-w), `max_batch` of a free batch size (-m),
    `strict` types (-s), a DLA core (-u), shapes (least, usual, most) by the name of the input (-p)."""

    workspace: int | None = None
    max_batch: int | None = None
    strict: bool = False
    dla_core: int | None = None
    shapes: dict[str, tuple[Shape, Shape, Shape]] = field(default_factory=dict)


def require() -> Any:
    """The library; BackendError that says what to install where it, or a GPU, is missing."""
    if find_spec("tensorrt") is None:
        raise BackendError(
            "tensorrt is not installed",
            "pip install tltpy[tensorrt], or tensorrt-cu12 or tensorrt-cu13, whichever the driver's CUDA is; on a "
            "Jetson it is part of JetPack",
            "without it: `tlt-export --target tensorrt --format onnx`, and on the machine that has TensorRT "
            "`trtexec --onnx=GRAPH --saveEngine=ENGINE`",
        )
    import tensorrt

    if int(tensorrt.__version__.split(".")[0]) < OLDEST:
        raise BackendError(f"tensorrt {tensorrt.__version__} is too old", f"{OLDEST}.0 or newer is needed")
    if not has_gpu():
        hint = "build on the machine that will run it"
        raise BackendError("tensorrt needs an NVIDIA GPU, and there is none here", hint)
    return tensorrt


def has_gpu() -> bool:
    return torch.cuda.is_available()


def ignored(wishes: Wishes, precision: str) -> list[str]:
    """What of the wishes has no effect with the library that is installed, and why."""
    trt = require()
    if wishes.strict and not hasattr(trt.BuilderFlag, "OBEY_PRECISION_CONSTRAINTS"):
        return [f"-s has no effect: TensorRT {trt.__version__} keeps to the types of the graph always"]
    if wishes.strict and precision == "fp32":
        return ["-s has no effect: fp32 leaves no choice of types"]
    return []


def build(content: bytes, precision: str, wishes: Wishes) -> bytes:
    """The plan of a graph. BackendError where TensorRT cannot read or build it, UsageError for a DLA in fp32."""
    trt = require()
    typed = precision == "fp16" and not hasattr(trt.BuilderFlag, "FP16")
    if typed:
        model = onnx.read(content)
        content = onnx.seal(half.to_half(model), onnx.metadata_of(model))
    logger = trt.Logger(trt.Logger.ERROR)
    trt.init_libnvinfer_plugins(logger, "")
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(content):
        told = [str(parser.get_error(index)).splitlines()[0] for index in range(parser.num_errors)]
        raise BackendError(f"tensorrt {trt.__version__} cannot read this graph: {'; '.join(told[:3])}")
    config = builder.create_builder_config()
    if wishes.workspace:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, wishes.workspace)
    _set_types(trt, config, precision, typed, wishes.strict)
    if wishes.dla_core is not None:
        _set_dla(trt, builder, config, precision, wishes.dla_core)
    _add_profile(builder, network, config, wishes)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise BackendError(f"tensorrt {trt.__version__} cannot build this graph", "its own messages above say why")
    return bytes(plan)


def facts_file(path: Path) -> Path:
    return path.with_name(path.name + FACTS)


def is_plan(path: Path, head: bytes) -> bool:
    """Whether a file is a plan: by how it begins, or by the file beside it."""
    if head.startswith(BEGINNINGS):
        return True
    try:
        facts = json.loads(facts_file(path).read_text())
        return bool(facts["engine"]["backend"] == "tensorrt")
    except (OSError, ValueError, KeyError, TypeError):
        return False


class TensorRtSession:
    """Runs a plan on the GPU; arrays come from the host and go back to it."""

    backend = "tensorrt"

    def __init__(self, path: Path) -> None:
        trt = require()
        place = facts_file(path)
        try:
            self.metadata: dict[str, str] = {METADATA[1]: place.read_text()}
        except OSError as error:
            hint = f"it was written beside {path.name}: copy it along"
            raise ModelFileError(f"{place}: no such file", hint) from error
        self._trt, self._device = trt, device()
        self._runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))
        trt.init_libnvinfer_plugins(trt.Logger(trt.Logger.ERROR), "")
        self._engine = self._runtime.deserialize_cuda_engine(path.read_bytes())
        if self._engine is None:
            raise BackendError(
                f"{path}: tensorrt {trt.__version__} cannot open this plan",
                "a plan runs on the kind of GPU and the version that it was built with: build it here with tlt-convert",
            )
        self._context = self._engine.create_execution_context()
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        fed = [name for name in names if self._engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
        self.inputs = {name: self._port(name) for name in fed}
        self.outputs = {name: self._port(name) for name in names if name not in fed}
        tops = [self._engine.get_tensor_profile_shape(name, 0)[2][0] for name, port in self.inputs.items()
                if port.shape[0] is None]
        self.largest: int | None = min(tops, default=None)

    def run(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        held = [torch.from_numpy(array).to(self._device) for array in arrays]
        for name, tensor in zip(self.inputs, held, strict=True):
            if not self._context.set_input_shape(name, tuple(tensor.shape)):
                low = self._engine.get_tensor_profile_shape(name, 0)[0]
                raise UsageError(f"the plan takes {name} from {tuple(low)} on, and is fed {tuple(tensor.shape)}")
            self._context.set_tensor_address(name, tensor.data_ptr())
        found = []
        for name, port in self.outputs.items():
            shape = tuple(self._context.get_tensor_shape(name))
            kind = torch.from_numpy(np.empty(0, port.dtype)).dtype
            found.append(torch.empty(shape, dtype=kind, device=self._device))
            self._context.set_tensor_address(name, found[-1].data_ptr())
        with stream() as handle:
            if not self._context.execute_async_v3(handle):
                raise BackendError("tensorrt could not run the plan", "its own messages above say why")
        return [tensor.cpu().numpy() for tensor in found]

    def profile(self, arrays: list[np.ndarray], runs: int) -> list[OperatorTime]:
        times: dict[str, list[float]] = {}

        def report(_: Any, name: str, milliseconds: float) -> None:
            times.setdefault(name, []).append(milliseconds)

        # the library calls a method of its own class; the class is made here, where the library is there
        kind = type("Times", (self._trt.IProfiler,), {"report_layer_time": report})
        self._context.profiler = kind()
        for _ in range(runs + 1):
            self.run(arrays)
        return [OperatorTime(name, "layer", float(np.mean(each[1:] or each))) for name, each in times.items()]

    def _port(self, name: str) -> Port:
        shape = tuple(None if size < 0 else int(size) for size in self._engine.get_tensor_shape(name))
        return Port(shape, np.dtype(self._trt.nptype(self._engine.get_tensor_dtype(name))))


def device() -> torch.device:
    return torch.device("cuda")


@contextmanager
def stream() -> Iterator[int]:
    """The handle of a stream on which what was copied before is there, and that is done when the block ends."""
    current = torch.cuda.current_stream()
    yield int(current.cuda_stream)
    current.synchronize()


def _set_types(trt: Any, config: Any, precision: str, typed: bool, strict: bool) -> None:
    flags = trt.BuilderFlag
    if hasattr(flags, "TF32") and precision == "fp32":
        config.clear_flag(flags.TF32)  # on by default, and it rounds to 10 bits
    if precision == "fp16" and not typed:
        config.set_flag(flags.FP16)
        if strict and hasattr(flags, "OBEY_PRECISION_CONSTRAINTS"):
            config.set_flag(flags.OBEY_PRECISION_CONSTRAINTS)


def _set_dla(trt: Any, builder: Any, config: Any, precision: str, core: int) -> None:
    if precision == "fp32":
        raise UsageError("a DLA computes no fp32", "-t fp16")
    if not 0 <= core < builder.num_DLA_cores:
        raise BackendError(f"no DLA core {core}: this machine has {builder.num_DLA_cores}", "leave -u away")
    config.default_device_type = trt.DeviceType.DLA
    config.DLA_core = core
    config.set_flag(trt.BuilderFlag.GPU_FALLBACK)


def _add_profile(builder: Any, network: Any, config: Any, wishes: Wishes) -> None:
    """Shapes of inputs with a free dimension; none where there is no such input."""
    profile, used = builder.create_optimization_profile(), False
    for index in range(network.num_inputs):
        value = network.get_input(index)
        shape = [int(size) for size in value.shape]
        if min(shape) >= 0:
            continue
        most = wishes.max_batch or MAX_BATCH
        shapes: Sequence[Shape] = wishes.shapes.get(value.name) or [(size, *shape[1:]) for size in (1, most, most)]
        profile.set_shape(value.name, *shapes)
        used = True
    if used:
        config.add_optimization_profile(profile)
