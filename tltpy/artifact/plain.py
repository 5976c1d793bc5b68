"""Weights that others published: a state_dict of torch.save or a plain safetensors file. They are only ever read."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tltpy.artifact.flavour import FOREIGN, flavour
from tltpy.errors import ForeignFileError, ModelFileError

if TYPE_CHECKING:
    from torch import Tensor

NESTED = ("state_dict", "model", "model_state_dict")  # where training scripts put the weights beside other things
PARALLEL = "module."  # what DataParallel puts before each name
HINT = "give a .pth or .safetensors file that holds a state_dict: tensors by name"


def load_plain(path: str | Path) -> "dict[str, Tensor]":
    """The tensors by name, on the CPU. A pickle is opened with weights_only: no code of the file runs.

    Raises ModelFileError where there is no file, ForeignFileError where it holds anything but tensors by name.
    """
    found = flavour(path)
    if found not in ("zip", "pickle", "safetensors"):
        what = FOREIGN[found][0] if found in FOREIGN else "a sealed model file of tltpy"
        raise ForeignFileError(f"{path}: no checkpoint but {what}", HINT)
    try:
        content = _safetensors(path) if found == "safetensors" else _unpickled(path)
    except Exception as error:  # both libraries raise a dozen kinds of error at damaged bytes
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise ForeignFileError(f"{path}: the checkpoint cannot be read: {reason}", HINT) from error
    return _state(content, path)


def _safetensors(path: str | Path) -> Any:
    from safetensors.torch import load_file

    return load_file(path)


def _unpickled(path: str | Path) -> Any:
    import torch

    return torch.load(path, map_location="cpu", weights_only=True)


def _state(content: Any, path: str | Path) -> "dict[str, Tensor]":
    import torch

    for name in NESTED:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
            break
    if not isinstance(content, Mapping) or not content:
        raise ForeignFileError(f"{path}: the checkpoint holds no state_dict", HINT)
    wrong = [name for name, value in content.items() if not (isinstance(name, str) and isinstance(value, torch.Tensor))]
    if wrong:
        raise ModelFileError(f"{path}: the checkpoint's entry {wrong[0]!r} is no tensor", HINT)
    return {name.removeprefix(PARALLEL): value for name, value in content.items()}
