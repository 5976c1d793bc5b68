"""Classes of channels: which channels are one and the same to the scissors (union-find), and which may not be cut."""

import numpy as np

FIXED = -1  # the class of channels that no layer makes: those of the inputs


class Classes:
    """Union-find over channel classes; a class can be frozen, with a reason."""

    def __init__(self) -> None:
        self._parent: list[int] = []
        self._frozen: dict[int, str] = {}

    def new(self, count: int) -> np.ndarray:
        first = len(self._parent)
        self._parent.extend(range(first, first + count))
        return np.arange(first, first + count)

    def find(self, ids: np.ndarray) -> np.ndarray:
        return np.array([self._root(index) for index in ids.tolist()], dtype=np.int64)

    def unite(self, a: np.ndarray, b: np.ndarray) -> None:
        """Makes one class of a[i] and b[i] for every i; what meets FIXED is frozen."""
        for left, right in zip(self.find(a).tolist(), self.find(b).tolist(), strict=True):
            left, right = self._root(left), self._root(right)
            if left == right:
                continue
            low, high = min(left, right), max(left, right)
            if low == FIXED:
                self._frozen.setdefault(high, "meets a network input")
                continue
            self._parent[high] = low
            if high in self._frozen:
                self._frozen.setdefault(low, self._frozen[high])

    def freeze(self, ids: np.ndarray, reason: str) -> None:
        for root in set(self.find(ids).tolist()) - {FIXED}:
            self._frozen.setdefault(root, reason)

    def reasons(self) -> dict[int, str]:
        """Frozen class -> why."""
        return {root: reason for root, reason in self._frozen.items() if self._root(root) == root}

    def _root(self, index: int) -> int:
        if index == FIXED:
            return FIXED
        root = index
        while self._parent[root] != root:
            root = self._parent[root]
        while self._parent[index] != root:
            self._parent[index], index = root, self._parent[index]
        return root
