"""The payload of a model file: the safetensors layout, without torch.

[u64: size of the table][the table: JSON, padded with spaces][bytes of the tensors, without gaps, the wide types first]
https://github.com/huggingface/safetensors#format
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tltpy.crypto.stream import Opener

ITEM_SIZE = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
    "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8, "C64": 8,
}  # fmt: skip
TABLE_LIMIT = 100_000_000  # bytes; that of the safetensors library
_METADATA = "__metadata__"
_OURS = "tltpy"


class LayoutError(ValueError):
    """The payload is no safetensors file, or its table contradicts itself."""


@dataclass(frozen=True)
class Entry:
    """One tensor; `begin` and `end` in bytes behind the table."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True)
class Table:
    """`entries` in the order in which the tensors were given, `stored` in the order of their bytes."""

    entries: tuple[Entry, ...]
    metadata: dict[str, Any]

    @property
    def stored(self) -> list[Entry]:
        return sorted(self.entries, key=lambda entry: (entry.begin, entry.end))


def plan(described: Mapping[str, tuple[str, tuple[int, ...]]], metadata: dict[str, Any]) -> Table:
    """Gives every tensor, described by dtype and shape, its place."""
    assert _METADATA not in described, f"no tensor can be called {_METADATA}"
    _require_text_keys(metadata, "metadata")
    places, at = {}, 0
    # wide types first: each tensor then starts at a multiple of its item size
    for name in sorted(described, key=lambda name: -ITEM_SIZE[described[name][0]]):
        dtype, shape = described[name]
        end = at + ITEM_SIZE[dtype] * math.prod(shape)
        places[name] = Entry(name, dtype, shape, at, end)
        at = end
    return Table(tuple(places[name] for name in described), metadata)


def pack(table: Table) -> bytes:
    """The bytes in front of those of the tensors."""
    fields: dict[str, Any] = {_METADATA: {_OURS: json.dumps(table.metadata)}}
    for entry in table.entries:
        offsets = [entry.begin, entry.end]
        fields[entry.name] = {"dtype": entry.dtype, "shape": list(entry.shape), "data_offsets": offsets}
    text = json.dumps(fields, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    assert len(text) <= TABLE_LIMIT, "the metadata of a model file is too large"
    return len(text).to_bytes(8, "little") + text


def read(opener: Opener) -> Table:
    """Reads the table from the start of a payload; the tensors' bytes follow. Raises LayoutError."""
    if opener.left < 8:
        raise LayoutError("it holds no table")
    size = int.from_bytes(opener.read(8), "little")
    if size > min(opener.left, TABLE_LIMIT):
        raise LayoutError("its table is longer than the file")
    try:
        fields = json.loads(opener.read(size))
        metadata = json.loads(fields.pop(_METADATA)[_OURS])
        entries = tuple(_entry(name, fields[name]) for name in fields)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise LayoutError("its table cannot be read") from error
    table = Table(entries, metadata)
    _require_no_gaps(table, opener.left)
    return table


def _entry(name: str, field: dict[str, Any]) -> Entry:
    shape, (begin, end) = tuple(field["shape"]), field["data_offsets"]
    if not all(type(number) is int and number >= 0 for number in (*shape, begin, end)):
        raise ValueError(name)
    if end - begin != ITEM_SIZE[field["dtype"]] * math.prod(shape):
        raise ValueError(name)
    return Entry(name, field["dtype"], shape, begin, end)


def _require_no_gaps(table: Table, length: int) -> None:
    at = 0
    for entry in table.stored:
        if entry.begin != at:
            raise LayoutError(f'its table has a gap before "{entry.name}"')
        at = entry.end
    if at != length:
        raise LayoutError("its table does not describe all its bytes")
    if not isinstance(table.metadata, dict):
        raise LayoutError("its metadata are no JSON object")


def _require_text_keys(value: Any, where: str) -> None:
    """JSON would turn the key 1 into "1" without a word."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise TypeError(f"{where}: the key {key!r} is no text and would not come back as it was")
            _require_text_keys(inner, f"{where}.{key}")
    elif isinstance(value, list | tuple):
        for inner in value:
            _require_text_keys(inner, where)
