"""A `tensorrt` that notes what it is asked for, and runs what it was given through ONNX Runtime.

`make(10)` has the interface of TensorRT 10 (flags for float16, weak typing), `make(11)` that of 11 (every network is
strongly typed: BuilderFlag has neither FP16, INT8 nor OBEY_PRECISION_CONSTRAINTS). The names were found in the
library's own Python bindings, 10.16 and 11.4; how they are called is as its documentation has it.
"""

import ctypes
import json
from enum import IntEnum
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnx
import torch

from tltpy.deploy.runtime import open_runtime

COMMON = ("DEBUG", "GPU_FALLBACK", "TF32", "SPARSE_WEIGHTS")
WEAK = ("FP16", "INT8", "OBEY_PRECISION_CONSTRAINTS")
MAGIC = b"ftrt"


class DataType(IntEnum):
    FLOAT = 0
    INT32 = 3


TYPES = {np.dtype(np.float32): DataType.FLOAT, np.dtype(np.int32): DataType.INT32}


def make(major: int, dla_cores: int = 0) -> Any:
    """The module; `module.asked` gathers [name, arguments...] of what the builder was told."""
    module: Any = ModuleType("tensorrt")
    module.__version__ = f"{major}.4.0"
    module.asked = []
    module.BuilderFlag = IntEnum("BuilderFlag", [*COMMON, *(WEAK if major < 11 else ())])
    module.MemoryPoolType = IntEnum("MemoryPoolType", ["WORKSPACE", "TACTIC_DRAM"])
    module.DeviceType = IntEnum("DeviceType", ["GPU", "DLA"])
    module.TensorIOMode = IntEnum("TensorIOMode", ["NONE", "INPUT", "OUTPUT"])
    module.DataType = DataType
    module.nptype = lambda kind: {value: key for key, value in TYPES.items()}[kind].type
    module.IProfiler = type("IProfiler", (), {})
    module.Logger = type("Logger", (), {"ERROR": 1, "__init__": lambda self, level: None})
    module.init_libnvinfer_plugins = lambda logger, namespace: True
    module.Builder = lambda logger: Builder(module, dla_cores)
    module.OnnxParser = lambda network, logger: Parser(network)
    module.Runtime = lambda logger: SimpleNamespace(deserialize_cuda_engine=lambda plan: opened(module, plan))
    return module


class Config:
    def __init__(self, module: Any) -> None:
        self._asked = module.asked
        self.flags = {module.BuilderFlag.TF32}
        self.profiles: list[Any] = []

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("default_device_type", "DLA_core"):
            self._asked.append([name, value])
        object.__setattr__(self, name, value)

    def set_memory_pool_limit(self, pool: Any, size: int) -> None:
        self._asked.append(["set_memory_pool_limit", pool.name, size])

    def set_flag(self, flag: Any) -> None:
        self.flags.add(flag)
        self._asked.append(["set_flag", flag.name])

    def clear_flag(self, flag: Any) -> None:
        self.flags.discard(flag)
        self._asked.append(["clear_flag", flag.name])

    def add_optimization_profile(self, profile: Any) -> int:
        self.profiles.append(profile.shapes)
        self._asked.append(["profile", profile.shapes])
        return len(self.profiles) - 1


class Builder:
    def __init__(self, module: Any, dla_cores: int) -> None:
        self._module = module
        self.num_DLA_cores = dla_cores

    def create_network(self, flags: int = 0) -> Any:
        assert flags == 0
        return SimpleNamespace(content=b"", num_inputs=0)

    def create_builder_config(self) -> Config:
        return Config(self._module)

    def create_optimization_profile(self) -> Any:
        shapes: dict[str, Any] = {}
        return SimpleNamespace(shapes=shapes, set_shape=lambda name, *each: shapes.update({name: each}))

    def build_serialized_network(self, network: Any, config: Config) -> Any:
        free = any(min(network.get_input(i).shape) < 0 for i in range(network.num_inputs))
        if free and not config.profiles:
            return None  # as the library does
        halved = any(each.data_type == onnx.TensorProto.FLOAT16 for each in network.model.graph.initializer)
        self._module.asked.append(["weights", "float16" if halved else "float32"])
        front = json.dumps(config.profiles).encode()
        return MAGIC + len(front).to_bytes(4, "little") + front + network.content


class Parser:
    def __init__(self, network: Any) -> None:
        self._network = network
        self.num_errors = 0

    def parse(self, content: bytes) -> bool:
        model = onnx.load_model_from_string(content)
        if any(node.op_type == "Erf" for node in model.graph.node):
            self.num_errors = 1
            return False
        inputs = []
        for value in model.graph.input:
            sizes = [size.dim_value if not size.dim_param else -1 for size in value.type.tensor_type.shape.dim]
            inputs.append(SimpleNamespace(name=value.name, shape=sizes))
        self._network.content, self._network.model = content, model
        self._network.num_inputs, self._network.get_input = len(inputs), inputs.__getitem__
        return True

    def get_error(self, index: int) -> str:
        return "In node 3 (importErf): UNSUPPORTED_NODE"


def opened(module: Any, plan: bytes) -> Any:
    """An engine, None for bytes that are no plan of this library."""
    if not plan.startswith(MAGIC) or len(plan) < 8:
        return None
    size = int.from_bytes(plan[4:8], "little")
    return Engine(module, json.loads(plan[8 : 8 + size]), plan[8 + size :])


class Engine:
    def __init__(self, module: Any, profiles: list[Any], content: bytes) -> None:
        self._module, self._profiles = module, profiles
        # what the engine calls its outputs, whatever the metadata say
        model = onnx.load_model_from_string(content)
        del model.metadata_props[:]
        self.runtime = open_runtime(model.SerializeToString(), threads=1)
        self.names = [*self.runtime.inputs, *self.runtime.outputs]
        self.num_io_tensors = len(self.names)

    def port(self, name: str) -> Any:
        return {**self.runtime.inputs, **self.runtime.outputs}[name]

    def get_tensor_name(self, index: int) -> str:
        return self.names[index]

    def get_tensor_mode(self, name: str) -> Any:
        modes = self._module.TensorIOMode
        return modes.INPUT if name in self.runtime.inputs else modes.OUTPUT

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(-1 if size is None else size for size in self.port(name).shape)

    def get_tensor_dtype(self, name: str) -> DataType:
        return TYPES[np.dtype(self.port(name).dtype)]

    def get_tensor_profile_shape(self, name: str, index: int) -> list[tuple[int, ...]]:
        return [tuple(shape) for shape in self._profiles[index][name]]

    def create_execution_context(self) -> "Context":
        return Context(self)


class Context:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}
        self.profiler: Any = None

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        known = self._engine.get_tensor_shape(name)
        if known[0] < 0:
            low, _, high = self._engine.get_tensor_profile_shape(name, 0)
            if not low[0] <= shape[0] <= high[0]:
                return False
        self._shapes[name] = shape
        return all(want in (-1, size) for want, size in zip(known, shape, strict=True))

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        batch = next(iter(self._shapes.values()))[0]
        return tuple(batch if size < 0 else size for size in self._engine.get_tensor_shape(name))

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = address
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        inputs = {name: torch.from_numpy(self._memory(name, shape)).clone() for name, shape in self._shapes.items()}
        for name, value in self._engine.runtime(inputs).items():
            self._memory(name, tuple(value.shape))[...] = value.numpy()
        if self.profiler is not None:
            self.profiler.report_layer_time("layer one", 0.5)
        return True

    def _memory(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        dtype = np.dtype(self._engine.port(name).dtype)
        size = int(np.prod(shape)) * dtype.itemsize
        raw = (ctypes.c_char * size).from_address(self._addresses[name])
        return np.frombuffer(raw, dtype).reshape(shape)
