"""Weights, checkpoints and graphs: what is saved comes back, and what may go wrong on the way."""

import errno
import io
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from tltpy.artifact import Header, check_key, inspect, layout, load_graph, load_model, save_graph, save_model
from tltpy.artifact.tensors import DTYPES, HUGE
from tltpy.crypto.stream import Opener, Sealer
from tltpy.errors import DataError, ModelFileError, UsageError, WrongKeyError

KEY = "tlt_encode"


def save(path: Path, **changes: Any) -> str:
    tensors = {"conv.weight": torch.arange(24.0).reshape(4, 3, 2), "steps": torch.tensor(7)}
    return save_model(path, **{"key": KEY, "task": "yolo", "tensors": tensors, "metadata": {"epoch": 3}, **changes})


def of_every_kind() -> dict[str, torch.Tensor]:
    base = torch.arange(60, dtype=torch.float32).reshape(3, 4, 5)
    tensors = {f"type.{name}": (base - 7).abs().to(dtype) for name, dtype in DTYPES.items()}
    return tensors | {
        "scalar": torch.tensor(2.5),
        "none": torch.empty(0, 3),
        "transposed": base.permute(2, 0, 1),
        "strided": base[:, ::2, 1::3],
        "expanded": torch.tensor([1, 2]).expand(3, 2),
        "shared.a": base,
        "shared.b": base,
        "parameter": torch.nn.Parameter(torch.tensor([[1.0, float("nan")]])),
        "conjugated": torch.tensor([1 + 2j, 3 - 1j], dtype=torch.complex64).conj(),
    }


def test_tensors_of_every_kind_come_back_in_order_and_writable(tmp_path: Path) -> None:
    tensors = of_every_kind()
    save(tmp_path / "a.tlt", tensors=tensors)
    found = load_model(tmp_path / "a.tlt", KEY).tensors
    assert list(found) == list(tensors)
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype and found[name].shape == tensor.shape, name
        assert not found[name].requires_grad and found[name].is_contiguous()
        assert torch.equal(_bits(found[name]), _bits(tensor)), name
        found[name].copy_(torch.zeros_like(found[name]))
    assert found["shared.a"].data_ptr() != found["shared.b"].data_ptr()


def test_the_safetensors_library_reads_the_payload(tmp_path: Path) -> None:
    tensors = of_every_kind()
    path = tmp_path / "a.tlt"
    save(path, tensors=tensors, metadata={"spec": "x: 1", "classes": ["caf\u00e9"]})
    with path.open("rb") as file:
        opener = Opener(file, key=KEY, path=path)
        payload = bytes(opener.read(opener.left))
    found = safetensors.torch.load(payload)
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(_bits(found[name]), _bits(tensor)), name
    plain = tmp_path / "a.safetensors"
    plain.write_bytes(payload)
    with safetensors.safe_open(plain, "pt") as file:
        assert json.loads(file.metadata()["tltpy"]) == {"spec": "x: 1", "classes": ["caf\u00e9"]}


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().resolve_conj().contiguous().reshape(-1).view(torch.uint8) if tensor.numel() else tensor


def test_tensors_over_chunks_and_huge_pages(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(5)
    sizes = {"a": (3, 7), "b": (HUGE // 4, 1), "c": (1 << 17, 5), "d": (2**20 - 3,), "e": (11,)}
    tensors = {name: torch.randn(size, generator=generator) for name, size in sizes.items()}
    save(tmp_path / "a.tlt", tensors=tensors)
    found = load_model(tmp_path / "a.tlt", KEY).tensors
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
    found["b"].add_(1)


def test_header_metadata_and_digest(tmp_path: Path) -> None:
    metadata = {"spec": "a\n  b", "classes": ["car", "\u8f66"], "lineage": [{"digest": "00"}], "map": 0.5, "none": None}
    path = tmp_path / "deep" / "er" / "a.tlt"
    digest = save(path, kind="checkpoint", stage="qat", metadata=metadata)
    found = load_model(path, KEY)
    assert found.header == Header(version=1, kind="checkpoint", task="yolo", stage="qat")
    assert found.metadata == metadata
    assert (found.digest, found.path, len(digest)) == (digest, path, 64)
    assert inspect(path) == check_key(path, KEY) == found.header
    assert save(path, kind="checkpoint", stage="qat", metadata=metadata) != digest, "each file has a name of its own"


def test_a_file_without_tensors(tmp_path: Path) -> None:
    save(tmp_path / "a.tlt", tensors={}, metadata={})
    found = load_model(tmp_path / "a.tlt", KEY)
    assert (found.tensors, found.metadata) == ({}, {})


@pytest.mark.parametrize(
    "changes",
    [
        {"metadata": {"classes": {1: "car"}}},
        {"metadata": {"path": Path("a")}},
        {"tensors": {"a": torch.eye(3).to_sparse()}},
        {"tensors": {"a": torch.empty(2, 3, device="meta")}},
    ],
)
def test_what_would_not_come_back_is_not_saved(changes: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        save(tmp_path / "a.tlt", **changes)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("onnx", [b"", b"\x08\x0a\x12\x05tltpy" + bytes(range(256)) * 9000])
def test_graph(onnx: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.etlt"
    digest = save_graph(path, key=KEY, task="yolo", stage="int_infer", onnx=onnx, metadata={"labels": ["a"]})
    found = load_graph(path, KEY)
    assert (found.onnx, found.metadata, found.digest) == (onnx, {"labels": ["a"]}, digest)
    assert (found.header.kind, found.header.stage) == ("graph", "int_infer")


def test_weights_and_graphs_are_not_mixed_up(tmp_path: Path) -> None:
    weights, graph = tmp_path / "a.tlt", tmp_path / "a.etlt"
    save(weights)
    save_graph(graph, key=KEY, task="yolo", onnx=b"x", metadata={})
    with pytest.raises(ModelFileError, match="holds a graph, not weights or a checkpoint") as caught:
        load_model(graph, KEY)
    assert ".tlt that it was exported from" in caught.value.hints[0]
    with pytest.raises(ModelFileError, match="holds weights, not a graph") as caught:
        load_graph(weights, KEY)
    assert "tlt-export" in caught.value.hints[0]


@pytest.mark.parametrize("key", [None, "", "another"])
def test_a_wrong_key_or_none(key: str | None, tmp_path: Path) -> None:
    path = tmp_path / "a.tlt"
    save(path)
    for use in (load_model, check_key):
        with pytest.raises(WrongKeyError):
            use(path, key)  # type: ignore[operator]
    if not key:
        with pytest.raises(WrongKeyError, match="a key is needed"):
            save(tmp_path / "b.tlt", key=key)
        assert not (tmp_path / "b.tlt").exists()


def test_an_existing_file_is_kept_unless_it_may_go(tmp_path: Path) -> None:
    path = tmp_path / "a.tlt"
    digest = save(path)
    with pytest.raises(UsageError, match="the file exists"):
        save(path, overwrite=False)
    assert load_model(path, KEY).digest == digest
    assert save(path) != digest


def test_nothing_of_the_content_stands_in_the_file(tmp_path: Path) -> None:
    tensors = {"backbone.conv1.weight": torch.arange(20000, dtype=torch.int32), "zeros": torch.zeros(3, 1000)}
    raw_paths = [tmp_path / "a.tlt", tmp_path / "a.etlt"]
    save(raw_paths[0], tensors=tensors, metadata={"spec": "learning_rate_of_mine"})
    save_graph(raw_paths[1], key=KEY, task="yolo", onnx=b"node_of_mine" * 9, metadata={"labels": ["class_of_mine"]})
    body = tensors["backbone.conv1.weight"].numpy().tobytes()
    for raw in (path.read_bytes() for path in raw_paths):
        for text in (b"_of_mine", b"backbone", b"data_offsets", b"__metadata__", KEY.encode(), bytes(64)):
            assert text not in raw[160:]
        assert not any(body[start : start + 16] in raw for start in range(0, len(body), 1600))


class Disk(io.FileIO):
    """A file on a disk that ends after some bytes."""

    room = 300

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


@pytest.mark.parametrize("room", [0, 200, 5000])
def test_a_full_disk_leaves_the_old_file(room: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.tlt"
    digest = save(path)
    monkeypatch.setattr(Disk, "room", room)
    monkeypatch.setattr(Path, "open", lambda self, mode="r", buffering=-1: Disk(self, mode.replace("b", "")))
    with pytest.raises(DataError, match="the disk is full"):
        save(path, tensors={"a": torch.zeros(4000)})
    monkeypatch.undo()
    assert [found.name for found in tmp_path.iterdir()] == ["a.tlt"]
    assert load_model(path, KEY).digest == digest


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interruption_leaves_the_old_file(
    error: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.tlt"
    digest = save(path)
    write: Callable[[Sealer, Any], None] = Sealer.write
    calls = []

    def interrupted(sealer: Sealer, data: Any) -> None:
        calls.append(data)
        if len(calls) == 3:
            raise error
        write(sealer, data)

    monkeypatch.setattr(Sealer, "write", interrupted)
    with pytest.raises(error):
        save(path, tensors={"a": torch.zeros(600000), "b": torch.zeros(600000), "c": torch.zeros(5)})
    monkeypatch.undo()
    assert [found.name for found in tmp_path.iterdir()] == ["a.tlt"]
    assert load_model(path, KEY).digest == digest


def test_a_killed_process_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.tlt"
    digest = save(path)
    code = (
        "import os, sys\n"
        "from tltpy.artifact import save_graph\n"
        "from tltpy.crypto.stream import Sealer\n"
        "Sealer.finish = lambda sealer: os._exit(9)\n"
        "save_graph(sys.argv[1], key='k', task='', onnx=bytes(3000000), metadata={})\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)]).returncode == 9
    assert load_model(path, KEY).digest == digest


def test_memory_holds_chunks_and_not_the_file(tmp_path: Path) -> None:
    tensors = {f"layer{index}": torch.full((1500, 1001), float(index)) for index in range(8)}  # 6 MB each
    path = tmp_path / "a.tlt"
    save(path)  # imports and scrypt come before the measurement
    load_model(path, KEY)
    peaks = []
    for act in (lambda: save(path, tensors=tensors), lambda: load_model(path, KEY)):
        tracemalloc.start()
        act()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    saving, loading = peaks
    assert saving < 5e6
    # numpy's memory is traced, too: what is loaded itself, and chunks
    assert loading < sum(tensor.nbytes for tensor in tensors.values()) + 5e6


def test_layout_keeps_wide_types_aligned() -> None:
    described = {"a": ("U8", (3,)), "b": ("F32", (5,)), "c": ("I64", (2,)), "d": ("F16", (1, 3)), "e": ("F32", ())}
    table = layout.plan(described, {})
    assert [entry.name for entry in table.entries] == list(described)
    assert [entry.name for entry in table.stored] == ["c", "b", "e", "d", "a"]
    assert all(entry.begin % layout.ITEM_SIZE[entry.dtype] == 0 for entry in table.entries)
    assert len(layout.pack(table)) % 8 == 0
