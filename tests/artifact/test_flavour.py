"""Files of other makers are recognised by their bytes, and each gets an answer of its own."""

import io
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import onnx
import pytest
import safetensors.torch
import torch

from tltpy.artifact import check_key, flavour, inspect, load_graph, load_model, save_graph, save_model
from tltpy.errors import ForeignFileError, ModelFileError, TruncatedFileError

CIPHER_TEXT = np.random.default_rng(3).integers(0, 256, 3000, np.uint8).tobytes()


def onnx_graph() -> bytes:
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [2, 3])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", [value], [
        onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [2, 3])
    ])  # fmt: skip
    return onnx.helper.make_model(graph).SerializeToString()


def torch_file(zipped: bool) -> bytes:
    file = io.BytesIO()
    torch.save({"a": torch.zeros(2, 3)}, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


FILES = {  # case: name, bytes, flavour, a part of the message, a part of the hint
    "empty": ("a.tlt", b"", "empty", "an empty file", "run it again"),
    "etlt of uff": ("a.etlt", struct.pack("<i", 5) + b"Input" + CIPHER_TEXT, "nvidia", "NVIDIA", "tltpy"),
    "etlt of uff, other name": ("b", struct.pack("<i", 11) + b"input_image" + CIPHER_TEXT, "nvidia", "NVIDIA", "TAO 5"),
    "etlt of onnx": ("b", bytes(4) + CIPHER_TEXT, "nvidia", "NVIDIA", "TAO 5"),
    "genuine tlt": ("resnet18.tlt", CIPHER_TEXT, "nvidia", "NVIDIA", "train"),
    "hdf5": ("a.tlt", b"\x89HDF\r\n\x1a\n" + bytes(100), "hdf5", "HDF5", "tlt-train"),
    "torch": ("a.tlt", torch_file(True), "zip", "torch.save", "tlt-train"),
    "old torch": ("a.pth", torch_file(False), "pickle", "pickle", "tlt-train"),
    "pickle": ("a.pkl", pickle.dumps({"a": 1}), "pickle", "pickle", "tlt-train"),
    "safetensors": ("a.tlt", safetensors.torch.save({"a": torch.ones(3)}), "safetensors", "safetensors", "tlt-train"),
    "onnx": ("a.onnx", onnx_graph(), "onnx", "plain ONNX", "convert"),
    "onnx by content": ("a.engine", onnx_graph(), "onnx", "plain ONNX", "evaluate"),
    "onnx by suffix": ("a.onnx", CIPHER_TEXT, "onnx", "plain ONNX", "evaluate"),
    "openvino": ("a.xml", b'<?xml version="1.0"?>\n<net name="a" version="11">', "openvino", "OpenVINO", "engine"),
    "openvino weights": ("a.bin", CIPHER_TEXT, "openvino", "OpenVINO", "engine"),
    "plan": ("a.plan", b"ftrt" + CIPHER_TEXT, "plan", "a TensorRT plan", ".etlt"),
    "engine by suffix": ("a.engine", CIPHER_TEXT, "engine", "an engine", ".etlt"),
    "onnx runtime": ("a.ort", b"\x20\0\0\0ORTM" + CIPHER_TEXT, "engine", "an engine", ".etlt"),
    "image": ("a.tlt", b"\x89PNG\r\n\x1a\n" + bytes(9), "image", "an image", "tlt-train"),
    "spec": ("spec.txt", b"random_seed: 42\nyolo_config {\n}\n", "text", "a text file", ".etlt"),
    "text over the head": ("a.tlt", ("\u00e9" * 700).encode(), "text", "a text file", ".etlt"),
    "garbage": ("a.dat", CIPHER_TEXT, "unknown", "does not know", ".etlt"),
    "zeros": ("a.dat", bytes(900), "unknown", "does not know", ".etlt"),
}


@pytest.mark.parametrize("case", FILES.values(), ids=list(FILES))
def test_foreign_file(case: tuple[str, bytes, str, str, str], tmp_path: Path) -> None:
    name, raw, expected, message, hint = case
    path = tmp_path / name
    path.write_bytes(raw)
    assert flavour(path) == expected
    for use in (lambda: load_model(path, "k"), lambda: load_graph(path, "k"), lambda: inspect(path)):
        with pytest.raises(ForeignFileError) as caught:
            use()
        assert message in caught.value.message and hint in caught.value.hints[0]
        assert caught.value.message.startswith(f"{path}: ")


def test_any_first_bytes_get_an_answer(tmp_path: Path) -> None:
    rng = np.random.default_rng(11)
    path = tmp_path / "a.tlt"
    for length in [1, 2, 3, 4, 5, 8, 9, 16, 20, 513] * 10:
        path.write_bytes(bytes([rng.choice([0, 8, 0x80, 0x89, 5, 0x3C])]) + rng.bytes(length - 1))
        with pytest.raises(ForeignFileError):
            load_model(path, "k")


def test_own_files(tmp_path: Path) -> None:
    save_model(tmp_path / "a.bin", key="k", task="t", tensors={}, metadata={})
    save_graph(tmp_path / "b.tlt", key="k", task="t", onnx=b"x", metadata={})
    assert (flavour(tmp_path / "a.bin"), flavour(tmp_path / "b.tlt")) == ("model", "graph")
    (tmp_path / "c.tlt").write_bytes((tmp_path / "a.bin").read_bytes()[:-1])
    with pytest.raises(TruncatedFileError):
        flavour(tmp_path / "c.tlt")


def test_nothing_there(tmp_path: Path) -> None:
    path = tmp_path / "a.tlt"
    for use in (flavour, inspect, lambda path: load_model(path, "k"), lambda path: check_key(path, "k")):
        with pytest.raises(ModelFileError, match="no such model file") as caught:
            use(path)
        assert type(caught.value) is ModelFileError


def test_a_file_within_a_file_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    with pytest.raises(ModelFileError, match="cannot be read: not a directory"):
        flavour(tmp_path / "a" / "b.tlt")


def test_folder(tmp_path: Path) -> None:
    assert flavour(tmp_path) == "directory"
    with pytest.raises(ForeignFileError, match="a folder") as caught:
        load_model(tmp_path, "k")
    assert caught.value.hints == ("name a file in it",)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.tlt")
    assert flavour(tmp_path / "a.tlt") == "special"
    with pytest.raises(ForeignFileError, match="no regular file"):
        load_model(tmp_path / "a.tlt", "k")
