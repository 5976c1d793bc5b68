"""Networks outside PyTorch: writing graphs, building engines, running them.

Bytes and dicts of tensors go in and out; this room knows neither keys nor tasks.
"""
