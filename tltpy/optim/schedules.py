"""Learning rates over the progress of a training, 0 at the first step to 1 behind the last."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class SoftStartAnnealing:
    """Rises geometrically from `least` to `greatest` until `soft_start`, stays until `annealing`, falls back the
    same way."""

    least: float
    greatest: float
    soft_start: float
    annealing: float

    def at(self, progress: float) -> float:
        share = 1.0
        if progress < self.soft_start:
            share = progress / self.soft_start
        elif progress > self.annealing:
            share = (1.0 - progress) / (1.0 - self.annealing)
        return math.exp(math.log(self.least) + share * (math.log(self.greatest) - math.log(self.least)))


@dataclass(frozen=True)
class SoftStartCosine:
    """Rises linearly to `greatest` until `soft_start`, then falls to `least` on half a cosine.

    TLT's own formula does not stretch the cosine over what is left behind the soft start and ends above `least`.
    """

    least: float
    greatest: float
    soft_start: float

    def at(self, progress: float) -> float:
        if progress < self.soft_start:
            return self.least + (self.greatest - self.least) * progress / self.soft_start
        left = (progress - self.soft_start) / (1.0 - self.soft_start)
        return self.least + (self.greatest - self.least) * 0.5 * (1.0 + math.cos(math.pi * left))
