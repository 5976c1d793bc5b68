"""How much each filter matters, and which stay: the published rules of TLT's prune (facts: L2 norms, strict threshold).

Every array holds one number a filter, in the order of the filters.
"""

import numpy as np
from torch import Tensor

NORMALIZERS = ("max", "L2")
CRITERIA = ("union", "intersection", "arithmetic_mean", "geometric_mean")


def norms(weight: Tensor, dim: int) -> np.ndarray:
    """L2 norm of each filter of a kernel whose filters lie along `dim`; biases do not count."""
    flat = weight.detach().double().movedim(dim, 0).flatten(1)  # [filters, rest]
    return flat.norm(dim=1).cpu().numpy()


def normalize(values: np.ndarray, normalizer: str) -> np.ndarray:
    """"max": share of the greatest. "L2": share of the layer's norm, times the number of filters."""
    scale = values.max() if normalizer == "max" else np.sqrt((values**2).sum()) / len(values)
    return values / scale if scale > 0 else np.zeros_like(values)


def equalize(statistics: np.ndarray, criterion: str) -> np.ndarray:
    """One statistic a channel from those of the layers that share it; [layers, channels] -> [channels]."""
    if criterion == "union":
        return statistics.max(axis=0)
    if criterion == "intersection":
        return statistics.min(axis=0)
    if criterion == "arithmetic_mean":
        return statistics.mean(axis=0)
    with np.errstate(divide="ignore"):
        return np.exp(np.log(statistics).mean(axis=0))


def keep(statistic: np.ndarray, threshold: float, minimum: int, granularity: int) -> np.ndarray:
    """Ascending indices of the filters that stay.

    As many as lie strictly above the threshold, at least `minimum`, rounded up to `granularity`, at most all;
    never none. Of equal filters the first stay.
    """
    depth = len(statistic)
    count = max(int((statistic > threshold).sum()), min(minimum, depth), 1)
    count = min(-(-count // granularity) * granularity, depth)
    return np.sort(np.argsort(-statistic, kind="stable")[:count])
