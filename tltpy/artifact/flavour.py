"""What a file is, by its first bytes and then by its suffix, and what to say of one that is no sealed model file.

Magic numbers as their formats publish them; NVIDIA's own .tlt and .etlt files have none.
"""

import os
import re
from pathlib import Path

from tltpy.crypto import header as seal
from tltpy.errors import ForeignFileError, ModelFileError, TltError

HEAD_SIZE = 512

_RETRAIN = "only NVIDIA's own tools open it: train and export again with tltpy, or take a plain .onnx exported by TAO 5"
_TRAIN = "tlt-train writes model files that tltpy opens"
_ONNX = "a plain ONNX graph has no weights to train: use it where a graph is taken, in evaluate, infer and convert"
_ENGINE = "an engine is for evaluate and infer; give the .tlt or .etlt that it was made from"

FOREIGN = {  # flavour -> what it is, what to do
    "nvidia": ("a .tlt or .etlt of NVIDIA's, encrypted with their closed codec", _RETRAIN),
    "hdf5": ("an HDF5 file, as Keras and TAO 5 write", _TRAIN),
    "zip": ("a zip archive, as torch.save writes (.pth, .pt)", _TRAIN),
    "pickle": ("a Python pickle, as old versions of torch.save write (.pth, .pt)", _TRAIN),
    "safetensors": ("a plain safetensors file", _TRAIN),
    "onnx": ("a plain ONNX graph", _ONNX),
    "openvino": ("an OpenVINO model", _ENGINE),
    "plan": ("a TensorRT plan", _ENGINE),
    "engine": ("an engine", _ENGINE),
    "image": ("an image", _TRAIN),
    "text": ("a text file", "model files end in .tlt or .etlt"),
    "empty": ("an empty file", "the step that should have written it was stopped: run it again"),
    "directory": ("a folder", "name a file in it"),
    "special": ("no regular file", "name a file on disk"),
    "unknown": ("of a format that tltpy does not know", "model files end in .tlt or .etlt"),
}

_MAGIC = (  # offset, bytes, flavour
    (0, b"\x89HDF\r\n\x1a\n", "hdf5"),
    (0, b"PK\x03\x04", "zip"),
    (8, b'{"', "safetensors"),
    (0, b"ftrt", "plan"),  # TensorRT; an engine of ONNX Runtime is an ONNX file, whatever its name
    (0, b"ptrt", "plan"),
    (4, b"ORTM", "engine"),  # ONNX Runtime's own format
    (0, b"\x89PNG", "image"),
    (0, b"\xff\xd8\xff", "image"),
)
_SUFFIXES = {
    ".onnx": "onnx",
    ".engine": "engine",
    ".plan": "plan",
    ".trt": "plan",
    ".bin": "openvino",
    ".tlt": "nvidia",
    ".etlt": "nvidia",
}
_ONNX_START = rb'\x08[\x01-\x1f][\x12\x1a\x22\x28\x32\x3a\x42\x72]'  # ir_version of a ModelProto, and what may follow


def flavour(path: str | Path) -> str:
    """One word for a file.

    "model" (sealed weights or checkpoint), "graph" (sealed ONNX), "onnx" (plain), "openvino" (.xml or .bin), "plan"
    (TensorRT), "engine" (ONNX Runtime's own format, or another .engine), "nvidia", "hdf5", "zip", "pickle",
    "safetensors", "image", "text", "empty", "directory", "special", "unknown". Raises ModelFileError where there is
    nothing to read, and for a sealed file what tltpy.crypto says of a damaged or truncated header.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return "directory"
        if path.exists() and not path.is_file():
            return "special"
        with path.open("rb") as file:
            head = file.read(HEAD_SIZE)
            if is_sealed(head):
                file.seek(0)
                header, _ = seal.read(file, path)
                return "graph" if header.kind == "graph" else "model"
    except OSError as error:
        raise unreadable(path, error) from error
    return _by_content(head) or _SUFFIXES.get(path.suffix.lower(), "unknown")


def is_sealed(head: bytes) -> bool:
    """Whether a file that begins so is ours; a cut in the magic bytes themselves counts as ours."""
    return bool(head) and seal.MAGIC.startswith(head[: len(seal.MAGIC)])


def foreign(path: str | Path, found: str) -> ForeignFileError:
    """The error for a file of another flavour where a sealed one is needed."""
    what, hint = FOREIGN[found]
    return ForeignFileError(f"{path}: no model file of tltpy but {what}", hint)


def unreadable(path: str | Path, error: OSError) -> TltError:
    if isinstance(error, FileNotFoundError):
        return ModelFileError(f"{path}: no such model file")
    return ModelFileError(f"{path}: the model file cannot be read: {os.strerror(error.errno or 0).lower()}")


def _by_content(head: bytes) -> str | None:
    if not head:
        return "empty"
    for offset, magic, name in _MAGIC:
        if head.startswith(magic, offset):
            return name
    if re.match(rb"\x80[\x02-\x05]", head):
        return "pickle"
    if re.match(_ONNX_START, head):
        return "onnx"
    if _is_etlt(head):
        return "nvidia"
    return _by_text(head)


def _is_etlt(head: bytes) -> bool:
    """An .etlt begins with the length of the input node's name (int32) and the name; 0 where the graph is ONNX."""
    length = int.from_bytes(head[:4], "little")
    if length == 0:
        return len(head) > 16 and head[4:20].count(0) < 4  # then cipher text, in which zeros are rare
    return length <= 128 and re.fullmatch(rb"[\w/.:-]+", head[4 : 4 + length]) is not None and len(head) > 4 + length


def _by_text(head: bytes) -> str | None:
    try:
        text = head.decode("utf-8", "strict" if len(head) < HEAD_SIZE else "ignore")
    except UnicodeDecodeError:
        return None
    lost = len(head) - len(text.encode("utf-8"))  # a character cut at the end, at most
    if lost > 3 or any(not character.isprintable() and character not in "\t\r\n\ufeff" for character in text):
        return None
    return "openvino" if "<net" in text and text.lstrip("\ufeff \r\n").startswith("<") else "text"
