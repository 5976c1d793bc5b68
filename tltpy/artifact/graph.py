"""Model files with an exported graph: ONNX, sealed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tltpy.artifact import layout
from tltpy.artifact.container import Header, opened, public, sealing
from tltpy.crypto.header import VERSION, damaged

_TENSOR = "onnx"


@dataclass(frozen=True)
class GraphFile:
    """An opened graph; `onnx` is what a plain .onnx file would hold, `digest` names the sealed file."""

    header: Header
    onnx: bytes
    metadata: dict[str, Any]
    digest: str
    path: Path


def save_graph(
    path: str | Path,
    *,
    key: str | None,
    task: str,
    stage: str = "float",
    onnx: bytes,
    metadata: dict[str, Any],
    overwrite: bool = True,
) -> str:
    """Seals an ONNX graph and returns the digest of the file. Raises what save_model raises."""
    front = layout.pack(layout.plan({_TENSOR: ("U8", (len(onnx),))}, metadata))
    header = Header(VERSION, "graph", task, stage)
    with sealing(path, key=key, header=header, length=len(front) + len(onnx), overwrite=overwrite) as sealer:
        sealer.write(front)
        sealer.write(onnx)
        return sealer.finish()


def load_graph(path: str | Path, key: str | None) -> GraphFile:
    """Opens a graph. Raises what load_model raises, and ModelFileError for weights."""
    with opened(path, key, ("graph",), "tlt-export makes a graph of it") as opener:
        try:
            table = layout.read(opener)
            if [(entry.name, entry.dtype) for entry in table.entries] != [(_TENSOR, "U8")]:
                raise layout.LayoutError("it holds no graph")
        except layout.LayoutError as error:
            raise damaged(path, str(error)) from error
        onnx = bytes(opener.read(opener.left))
        return GraphFile(public(opener.header), onnx, table.metadata, opener.finish(), Path(path))
