"""The only door to model files: sealed weights, checkpoints and graphs, weights that others published, and the names of
all other kinds of file.

A sealed file (tltpy.crypto) whose payload is a safetensors file: tensors by name, and one entry "tltpy" of its
`__metadata__` with the metadata as JSON. A graph is the one tensor "onnx" of bytes. Nothing here imports torch before
a tensor is needed.
"""

from tltpy.artifact.container import Header, check_key, inspect
from tltpy.artifact.flavour import flavour
from tltpy.artifact.graph import GraphFile, load_graph, save_graph
from tltpy.artifact.model import ModelFile, load_model, save_model
from tltpy.artifact.plain import load_plain

__all__ = [
    "GraphFile",
    "Header",
    "ModelFile",
    "check_key",
    "flavour",
    "inspect",
    "load_graph",
    "load_model",
    "load_plain",
    "save_graph",
    "save_model",
]
