"""Runs a graph or an engine as if it were a module: a dict of tensors in, a dict of tensors out."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tltpy.deploy import onnx, plugins, tensorrt
from tltpy.deploy.sessions import METADATA, OnnxRuntimeSession, OpenVinoSession, OperatorTime, Port, Session
from tltpy.errors import ModelFileError, UsageError


class Runtime:
    """A network that is ready to run.

    `inputs` and `outputs` map names to (shape, dtype), None standing for a free dimension; the first is the batch.
    """

    def __init__(self, *, session: Session, name: str) -> None:
        self._session = session
        self._name = name
        self.backend = session.backend
        self.metadata = _metadata(session.metadata)
        aliases = self.metadata.get("aliases", {})
        self.inputs: dict[str, Port] = session.inputs
        self.outputs: dict[str, Port] = {aliases.get(name, name): port for name, port in session.outputs.items()}
        sizes = {port.shape[0] for port in self.inputs.values()}
        self.batch_size: int | None = sizes.pop() if len(sizes) == 1 else None
        """The only batch size that the engine takes by itself, None for any."""

    def __call__(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Outputs on the device of the inputs. An engine of a fixed batch size is fed in slices, the last one filled
        up. UsageError for inputs whose names or shapes are not those of the graph."""
        size, device = self._check(inputs)
        step = self.batch_size or min(size, self._session.largest or size)
        if step == size:
            found = self._run(inputs)
        else:
            parts = [self._run(_slice(inputs, start, step)) for start in range(0, size, step)]
            found = {name: torch.cat([part[name] for part in parts])[:size] for name in self.outputs}
        return {name: value.to(device) for name, value in found.items()}

    def profile(self, inputs: dict[str, Tensor], runs: int = 10) -> list[OperatorTime]:
        """Mean time of every operator, the slowest first; operators that the library fused are one."""
        self._check(inputs)
        return sorted(self._session.profile(self._arrays(inputs), runs), key=lambda entry: -entry.milliseconds)

    def _run(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        arrays = self._session.run(self._arrays(inputs))
        found = {name: torch.from_numpy(array) for name, array in zip(self.outputs, arrays, strict=True)}
        return _tidy(found, self.metadata.get("boxes"))

    def _arrays(self, inputs: dict[str, Tensor]) -> list[np.ndarray]:
        """The tensors' own memory where it is on the CPU, contiguous and of the right type."""
        return [
            np.ascontiguousarray(inputs[name].detach().cpu().numpy(), dtype=port.dtype)
            for name, port in self.inputs.items()
        ]

    def _check(self, inputs: dict[str, Tensor]) -> tuple[int, torch.device]:
        for name, port in self.inputs.items():
            if name not in inputs:
                raise UsageError(f"{self._name}: the graph has an input {name}, which this task does not feed")
            wanted, given = port.shape[1:], tuple(inputs[name].shape[1:])
            fits = len(wanted) == len(given) and all(w in (None, g) for w, g in zip(wanted, given, strict=True))
            if not fits:
                raise UsageError(
                    f"{self._name}: the graph takes {name} of {dims(wanted)} and is fed {dims(given)}",
                    "export it again with this spec, or give the spec that it was exported with",
                )
        first = inputs[next(iter(self.inputs))]
        return len(first), first.device


def open_runtime(
    source: str | Path | bytes, *, name: str | None = None, threads: int | None = None, device: str = "cpu"
) -> Runtime:
    """Opens the bytes of an ONNX file, or a file: ONNX, an engine built from it, OpenVINO (.xml beside its .bin), or a
    TensorRT plan (beside its .json).

    Args:
        name: stands in messages in place of the path.
        threads: of one run; None lets the library choose.
        device: "cpu" or "cuda".

    Raises:
        ModelFileError: no such file, or damaged.
        BackendError: the library or the device that it needs is not there.
    """
    name = name or (str(source) if not isinstance(source, bytes) else "graph")
    if not isinstance(source, bytes):
        path = Path(source)
        if path.suffix.lower() == ".bin":
            path = path.with_suffix(".xml")
        if not path.is_file():
            raise ModelFileError(f"{path}: no such file")
        if path.suffix.lower() == ".xml":
            return Runtime(session=OpenVinoSession(path, threads=threads), name=name)
        source = path.read_bytes()
        if tensorrt.is_plan(path, source[:16]):
            return Runtime(session=tensorrt.TensorRtSession(path), name=name)
    cuda = torch.device(device).type == "cuda"
    if plugins.holds(source):
        return Runtime(session=plugins.PluginSession(source, name=name, threads=threads, cuda=cuda), name=name)
    return Runtime(session=OnnxRuntimeSession(source, name=name, threads=threads, cuda=cuda), name=name)


def dims(shape: tuple[int | None, ...]) -> str:
    """3x384x1248."""
    return "x".join("?" if size is None else str(size) for size in shape)


def _metadata(texts: dict[str, str]) -> dict[str, Any]:
    parsed = onnx.parse_metadata(texts)
    inner = parsed.get(METADATA[1])
    return inner if isinstance(inner, dict) and len(parsed) == 1 else parsed


def _tidy(outputs: dict[str, Tensor], names: dict[str, str] | None) -> dict[str, Tensor]:
    """Zeros behind the last box of lists [B, K, ...]: what stands there differs from one library to the next."""
    if names is None or not set(names.values()) <= set(outputs):
        return outputs
    count = outputs[names["count"]].reshape(-1, 1)
    there = torch.arange(outputs[names["scores"]].shape[1]) < count  # [B, K]
    tidy = dict(outputs)
    for part in ("boxes", "scores", "classes"):
        value = outputs[names[part]]
        tidy[names[part]] = torch.where(there.view(*there.shape, *[1] * (value.dim() - 2)), value, 0)
    return tidy


def _slice(inputs: dict[str, Tensor], start: int, size: int) -> dict[str, Tensor]:
    """`size` examples from `start`; behind the end the last one again."""
    places = torch.arange(start, start + size)
    return {name: value[places.clamp(max=len(value) - 1).to(value.device)] for name, value in inputs.items()}
