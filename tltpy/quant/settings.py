"""What is asked of a quantized network."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from tltpy.errors import UsageError

OBSERVERS = ("min_max", "moving_average", "percentile", "mse", "kl")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Regular expressions match whole names: of ops (module path and operator, e.g. "neck.conv:conv2d") and inputs."""

    weight_bits: int = 8  # 7: for engines on processors whose 8-bit products saturate
    observer: str = "mse"  # one of OBSERVERS, of activations
    percentile: float = 99.99  # of the absolute values, which the range holds
    averaging: float = 0.01  # share of a new range in the moving average; 0: scales stay as they are in training
    keep_batch_norm: bool = False  # False: folded into the convolutions at once
    learned_scales: bool = False  # of activations, by gradient
    int16: tuple[str, ...] = ()  # ops whose outputs have 16 bits
    keep_float: tuple[str, ...] = ()  # ops that are not quantized
    fixed_ranges: tuple[tuple[str, float], ...] = ()  # (regular expression, greatest absolute value)

    def __post_init__(self) -> None:
        if self.weight_bits not in (7, 8):
            raise UsageError(f"weights of {self.weight_bits} bits: 7 and 8 are possible")
        if self.observer not in OBSERVERS:
            raise UsageError(f"no observer is called {self.observer!r}", f"there are {', '.join(OBSERVERS)}")
        if not 0 < self.percentile <= 100:
            raise UsageError(f"percentile {self.percentile} is not above 0 and at most 100")
        if not 0 <= self.averaging <= 1:
            raise UsageError(f"averaging {self.averaging} is not within 0..1")
        for pattern in self.patterns():
            try:
                re.compile(pattern)
            except re.error as error:
                raise UsageError(f"{pattern!r} is no regular expression: {error}") from error
        if any(not reach > 0 for _, reach in self.fixed_ranges):
            raise UsageError("a fixed range must be above 0")

    def patterns(self) -> tuple[str, ...]:
        return (*self.int16, *self.keep_float, *(pattern for pattern, _ in self.fixed_ranges))


def matches(name: str, patterns: Iterable[str]) -> bool:
    return any(re.fullmatch(pattern, name) for pattern in patterns)


def unknown(patterns: Iterable[str], names: Iterable[str]) -> tuple[str, ...]:
    """The patterns that match none of the names."""
    known = list(names)
    return tuple(pattern for pattern in patterns if not any(re.fullmatch(pattern, name) for name in known))
