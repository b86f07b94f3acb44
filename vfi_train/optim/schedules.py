"""Learning rates as functions of the optimizer step, exactly as published."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from vfi_train.ranges import Natural, NonNegative, Positive


class Schedule(Protocol):
    """The learning rate of optimizer step `step` (0-based) in a training of `total` steps."""

    def __call__(self, step: int, *, peak: float, total: int) -> float:
        """The learning rate; `peak` is the optimizer's."""
        ...


@dataclass(frozen=True)
class WarmupCosine:
    """Linear warm-up to the peak, then half a cosine down to the floor.

    Step s < warmup_steps uses start + (peak - start) * s / warmup_steps; afterwards
    floor + (peak - floor) * (1 + cos(pi * (s - warmup_steps) / (total - warmup_steps))) / 2.

    Args:
        floor: the learning rate at the end of the cosine.
        warmup_steps: optimizer steps of warm-up; 0 for none.
        start: the learning rate at the start of the warm-up.
        steps: length of the curve; None: the length of the training.

    Source: IFRNet and AMT (no warm-up), RIFE and EMA-VFI (2,000 steps of warm-up).
    """

    floor: NonNegative
    warmup_steps: Natural = 0
    start: NonNegative = 0.0
    steps: Positive | None = None

    def __call__(self, step: int, *, peak: float, total: int) -> float:
        """See `Schedule`."""
        if step < self.warmup_steps:
            return self.start + (peak - self.start) * step / self.warmup_steps
        total = self.steps or total
        progress = (step - self.warmup_steps) / max(1, total - self.warmup_steps)
        return self.floor + (peak - self.floor) * (1 + math.cos(math.pi * min(1.0, progress))) / 2


@dataclass(frozen=True)
class CosineTimesWarmup:
    """Half a cosine from the peak down to the floor, multiplied by a linear warm-up.

    Step s uses min(1, (s + 1) / warmup_steps) * (floor + (peak - floor) * (1 + cos(pi * s / total)) / 2).

    Args:
        floor: the learning rate at the end of the cosine.
        warmup_steps: optimizer steps of warm-up; 0 for none.
        steps: length of the curve; None: the length of the training.

    Source: ATM-VFI's two trainers: 2,000 steps of warm-up with an empty optimizer state, 400 (first trainer) or 500
    (second trainer) with a loaded one.
    """

    floor: NonNegative
    warmup_steps: Natural = 0
    steps: Positive | None = None

    def __call__(self, step: int, *, peak: float, total: int) -> float:
        """See `Schedule`."""
        progress = min(1.0, step / (self.steps or total))
        cosine = self.floor + (peak - self.floor) * (1 + math.cos(math.pi * progress)) / 2
        return cosine * min(1.0, (step + 1) / max(1, self.warmup_steps))


@dataclass(frozen=True)
class Constant:
    """The optimizer's learning rate at every step."""

    def __call__(self, step: int, *, peak: float, total: int) -> float:
        """See `Schedule`."""
        return peak
