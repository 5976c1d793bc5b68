"""Model files with tensors: weights and checkpoints."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tltpy.artifact import layout
from tltpy.artifact.container import Header, opened, public, sealing
from tltpy.crypto.header import VERSION, damaged

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class ModelFile:
    """An opened model file; its tensors are on the CPU, writable, contiguous, in the order in which they were saved."""

    header: Header
    tensors: "dict[str, Tensor]"
    metadata: dict[str, Any]  # JSON: spec, classes, lineage, ...
    digest: str  # names the file in the lineage of another; 64 hex digits, see tltpy.crypto
    path: Path


def save_model(
    path: str | Path,
    *,
    key: str | None,
    task: str,
    stage: str = "float",
    kind: str = "weights",
    tensors: "Mapping[str, Tensor]",
    metadata: dict[str, Any],
    overwrite: bool = True,
) -> str:
    """Seals tensors and metadata (what JSON can hold, with texts as keys) and returns the digest of the file.

    Tensors on other devices, strided or sharing memory are written in full, one copy at a time. Raises WrongKeyError
    without a key, UsageError for a file that exists and shall stay, DataError where the file cannot be written.
    """
    from tltpy.artifact import tensors as torch_tensors

    assert kind in ("weights", "checkpoint"), f"no kind of model file with tensors: {kind}"
    table = layout.plan({name: torch_tensors.describe(name, tensor) for name, tensor in tensors.items()}, metadata)
    front = layout.pack(table)
    length = len(front) + sum(entry.end - entry.begin for entry in table.entries)
    header = Header(VERSION, kind, task, stage)
    with sealing(path, key=key, header=header, length=length, overwrite=overwrite) as sealer:
        sealer.write(front)
        for entry in table.stored:
            sealer.write(torch_tensors.content(tensors[entry.name]))
        return sealer.finish()


def load_model(path: str | Path, key: str | None) -> ModelFile:
    """Opens weights or a checkpoint; nothing is given out that was not authenticated.

    Raises WrongKeyError, DamagedFileError, TruncatedFileError, ForeignFileError, or ModelFileError for a missing file
    and for a graph.
    """
    hint = "an exported graph cannot be trained or pruned: give the .tlt that it was exported from"
    with opened(path, key, ("weights", "checkpoint"), hint) as opener:
        from tltpy.artifact import tensors as torch_tensors

        try:
            table = layout.read(opener)
        except layout.LayoutError as error:
            raise damaged(path, str(error)) from error
        tensors = {entry.name: torch_tensors.empty(entry) for entry in table.entries}
        for entry in table.stored:
            opener.read_into(torch_tensors.content(tensors[entry.name]))
        return ModelFile(public(opener.header), tensors, table.metadata, opener.finish(), Path(path))
