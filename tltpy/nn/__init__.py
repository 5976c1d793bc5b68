"""Layers and backbones: tensors in, tensors out. Knows no task, no spec and no file."""
