"""Black margins made the mean's: a few operators in front of a graph for players that letterbox on black.

DeepStream's nvinfer fills what a letterbox leaves with black; the network was trained with the mean colour there, which
is 0 once the mean is subtracted. In front of the graph the rows and columns at the border that are black from end to
end become 0, as many on either side, one more below and on the right: that is what a centred letterbox leaves, and what
no night sky is.
"""

from typing import Any

import numpy as np

from tltpy.deploy import onnx

AXES_ARE_INPUTS = 18  # of reductions, since this operator set
LEAST = 0.25  # grey levels of what is not black; the next is 1, and half precision rounds by hundredths


def repaired(content: bytes, picture: dict[str, Any]) -> bytes:
    """The graph behind such operators; `picture` is "input" of its metadata. Black is -scale * mean there."""
    import onnx as library

    model = onnx.read(content)
    name = picture["name"]
    inner = f"{name}_inside"
    for node in model.graph.node:
        for place, value in enumerate(node.input):
            if value == name:
                node.input[place] = inner
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    front = _Front(opset)
    front.write(name, inner, picture)
    old = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*front.nodes, *old])
    model.graph.initializer.extend(library.numpy_helper.from_array(array, key) for key, array in front.weights.items())
    return onnx.seal(model, onnx.metadata_of(model))


class _Front:
    """Writes the operators: extremes, sums and clips, which every version of TensorRT has."""

    def __init__(self, opset: int) -> None:
        self.nodes: list[Any] = []
        self.weights: dict[str, np.ndarray] = {}
        self._opset = opset

    def write(self, name: str, inner: str, picture: dict[str, Any]) -> None:
        """[B, C, H, W] -> the same, times 1 inside and 0 on the margins."""
        black = picture["scale"] * np.array(picture["mean"]).reshape(1, -1, 1, 1)
        self._constant("zero", 0.0)
        self._constant("one", 1.0)
        level = self._step("level", "Add", name, self._constant("black", black))
        bright = self._reduced("bright", "ReduceMax", level, 1)  # [B, 1, H, W]
        rows = self._inside("row", bright, 2, picture)  # [B, 1, H, 1]
        columns = self._inside("column", bright, 3, picture)  # [B, 1, 1, W]
        self._step(inner, "Mul", name, self._step("inside", "Mul", rows, columns), whole_name=True)

    def _inside(self, side: str, bright: str, axis: int, picture: dict[str, Any]) -> str:
        """1 for each row (column) that is not on a margin, else 0."""
        size = picture["size_hw"][axis - 2]
        shape = [1, 1, 1, 1]
        shape[axis] = size
        places = np.arange(size).reshape(shape)
        first, last = self._constant(f"{side}_first", places), self._constant(f"{side}_last", places[:, :, ::-1, ::-1])
        # of a row: 0 where all of it is black, else 1
        peak = self._reduced(f"{side}_peak", "ReduceMax", bright, 5 - axis)
        steep = self._step(f"{side}_steep", "Mul", peak, self._constant(f"{side}_gain", 2 / picture["scale"]))
        over = self._step(f"{side}_over", "Sub", steep, self._constant(f"{side}_least", 2 * LEAST))
        lit = self._step(f"{side}_lit", "Clip", over, "margin_zero", "margin_one")
        dark = self._step(f"{side}_dark", "Sub", "margin_one", lit)
        far = self._step(f"{side}_far", "Mul", dark, self._constant(f"{side}_size", float(size)))
        # how many are black before the first one that is not, and behind the last one
        before, behind = (
            self._reduced(f"{side}_{end}", "ReduceMin", self._step(f"{side}_to_{end}", "Add", index, far), axis)
            for end, index in (("top", first), ("end", last))
        )
        low = self._step(f"{side}_low", "Min", before, behind)
        high = self._step(f"{side}_high", "Min", behind, self._step(f"{side}_more", "Add", low, "margin_one"))
        parts = []
        for end, count, index in (("head", low, first), ("tail", high, last)):
            past = self._step(f"{side}_{end}_past", "Sub", index, count)
            there = self._step(f"{side}_{end}_there", "Add", past, "margin_one")
            parts.append(self._step(f"{side}_{end}", "Clip", there, "margin_zero", "margin_one"))
        return self._step(f"{side}_inside", "Mul", *parts)

    def _constant(self, key: str, value: Any, dtype: Any = np.float32) -> str:
        self.weights[f"margin_{key}"] = np.ascontiguousarray(np.array(value, dtype))
        return f"margin_{key}"

    def _step(self, key: str, operator: str, *inputs: str, whole_name: bool = False, **attributes: Any) -> str:
        import onnx as library

        to = key if whole_name else f"margin_{key}"
        self.nodes.append(library.helper.make_node(operator, list(inputs), [to], to, **attributes))
        return to

    def _reduced(self, key: str, operator: str, value: str, axis: int) -> str:
        if self._opset < AXES_ARE_INPUTS:
            return self._step(key, operator, value, axes=[axis])
        return self._step(key, operator, value, self._constant(f"{key}_axes", [axis], np.int64))
