"""Whether two sets of outputs say the same: number by number, or, where the outputs are lists, entry by entry.

A list of K entries an example (boxes, scores, classes, ...) may swap entries that are equally good, and drop one that
stands on a threshold, when the arithmetic differs in the last bit; so its entries are matched, whatever their order.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Comparison:
    """The worst output and its largest difference; how many entries of lists there are, and how many lack a partner."""

    equal: bool
    worst: str
    difference: float
    unmatched: int = 0
    entries: int = 0

    def describe(self) -> str:
        text = f"largest difference {self.difference:.3g} in {self.worst}"
        if self.entries:
            text += f"; {self.unmatched} of {self.entries} entries have no partner"
        return text


def compare(
    found: dict[str, Tensor],
    wanted: dict[str, Tensor],
    *,
    absolute: float = 1e-3,
    relative: float = 1e-3,
    share: float = 0.05,
) -> Comparison:
    """Equal when every number is within `absolute` + `relative` * |wanted|, or, failing that, when at most `share` of
    the entries of the outputs that are lists, and at least one is allowed, have no partner within that distance.

    Not finite numbers equal nothing. Lists are outputs [B, K] and [B, K, D] with the same K > 1; outputs [B] and
    [B, 1], which count or sum up the entries, may differ by as much as there are entries without a partner.
    """
    worst, difference, close = "", 0.0, True
    for name, value in wanted.items():
        if found[name].shape != value.shape:
            return Comparison(False, name, float("inf"))
        gap = (found[name].double() - value.double()).abs().nan_to_num(float("inf"), float("inf"))
        close &= bool((gap <= absolute + relative * value.double().abs()).all())
        largest = float(gap.max()) if gap.numel() else 0.0
        if largest > difference or not worst:
            worst, difference = name, largest
    if close:
        return Comparison(True, worst, difference)
    lists, counts, others = _sorts(wanted)
    if others or not lists:
        return Comparison(False, worst, difference)
    unmatched = _unmatched(_entries(found, lists), _entries(wanted, lists), absolute, relative)  # [B]
    entries = wanted[lists[0]].shape[0] * wanted[lists[0]].shape[1]
    sound = all(bool(((found[n] - wanted[n]).abs().flatten() <= unmatched).all()) for n in counts)
    total = int(unmatched.sum())
    return Comparison(sound and total <= max(1, int(share * entries)), worst, difference, total, entries)


def relative_error(found: Tensor, wanted: Tensor) -> float:
    """Length of the difference over the length of `wanted`; infinite when a number is not finite."""
    gap = (found.double() - wanted.double()).norm() / wanted.double().norm().clamp(min=1e-12)
    return float(gap) if bool(torch.isfinite(gap)) else float("inf")


def _sorts(outputs: dict[str, Tensor]) -> tuple[list[str], list[str], list[str]]:
    """Names of the outputs that are lists of one length, of those that count their entries, and of the rest."""
    lengths = {value.shape[1] for value in outputs.values() if value.dim() in (2, 3) and value.shape[1] > 1}
    lists = [n for n, v in outputs.items() if v.dim() in (2, 3) and len(lengths) == 1 and v.shape[1] > 1]
    counts = [n for n, v in outputs.items() if n not in lists and not v.is_floating_point() and v[0].numel() == 1]
    return lists, counts, [name for name in outputs if name not in lists and name not in counts]


def _entries(outputs: dict[str, Tensor], lists: list[str]) -> Tensor:
    """[B, K, all numbers of an entry]."""
    return torch.cat([outputs[name].double().flatten(2) if outputs[name].dim() > 2 else
                      outputs[name].double()[:, :, None] for name in lists], dim=2)


def _unmatched(found: Tensor, wanted: Tensor, absolute: float, relative: float) -> Tensor:
    """How many entries [B, K, D] of either side have no partner on the other, per example [B]."""
    margin = absolute + relative * wanted.abs()  # [B, K, D]
    near = torch.stack([
        ((a[:, None] - b[None]).abs() <= m[None]).all(dim=2) for a, b, m in zip(found, wanted, margin, strict=True)
    ])  # [B, K found, K wanted]
    return torch.maximum((~near.any(dim=2)).sum(dim=1), (~near.any(dim=1)).sum(dim=1))
