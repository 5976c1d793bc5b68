"""Torch tensors as the layout of model files sees them: a type, a shape, and bytes."""

import numpy as np
import torch
from torch import Tensor

from tltpy.artifact.layout import Entry

DTYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "U16": torch.uint16,
    "I16": torch.int16,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "U32": torch.uint32,
    "I32": torch.int32,
    "F32": torch.float32,
    "U64": torch.uint64,
    "I64": torch.int64,
    "F64": torch.float64,
    "C64": torch.complex64,
}
HUGE = 1 << 22  # bytes; numpy's own limit for huge pages
_NAMES = {dtype: name for name, dtype in DTYPES.items()}


def describe(name: str, tensor: Tensor) -> tuple[str, tuple[int, ...]]:
    """The dtype as the layout spells it, and the shape. TypeError for a tensor that has no plain bytes."""
    if tensor.layout != torch.strided or tensor.is_meta or tensor.dtype not in _NAMES:
        raise TypeError(f"{name}: a tensor of {tensor.dtype}, {tensor.layout} on {tensor.device} cannot be saved")
    return _NAMES[tensor.dtype], tuple(tensor.shape)


def empty(entry: Entry) -> Tensor:
    """A tensor whose `content` is still to be filled."""
    if entry.end - entry.begin < HUGE:
        return torch.empty(entry.shape, dtype=DTYPES[entry.dtype])
    # numpy asks the system for huge pages, torch does not: touching new memory then costs a quarter
    raw = torch.from_numpy(np.empty(entry.end - entry.begin, np.uint8))
    return raw.view(DTYPES[entry.dtype]).reshape(entry.shape)  # [bytes] -> shape


def content(tensor: Tensor) -> memoryview:
    """The bytes of a tensor in row-major order: its own memory where it is contiguous and on the CPU, else a copy."""
    plain = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
    if plain.numel() == 0:
        return memoryview(bytearray())
    return plain.reshape(-1).view(torch.uint8).numpy().data  # [bytes]
