"""Learning rates as functions of the optimizer step, exactly as published."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from vfi_train.ranges import AboveZero, Fraction, InnerFraction, Natural, NonNegative, Positive


class Schedule(Protocol):
    """The learning rate of optimizer step `step` (0-based) in a training of `total` steps."""

    def __call__(self, step: int, *, peak: float, total: int) -> float:
        """The learning rate; `peak` is the optimizer's."""
        ...


@dataclass(frozen=True)
class WarmupCosine:
    """Linear warm-up to the peak, then half a cosine down to the floor.

    With s = step + first_step, s < warmup_steps uses start + (peak - start) * s / warmup_steps; afterwards
    floor + (peak - floor) * (1 + cos(pi * (s - warmup_steps) / (total - warmup_steps))) / 2.

    Args:
        floor: the learning rate at the end of the cosine.
        warmup_steps: optimizer steps of warm-up; 0 for none.
        start: the learning rate at the start of the warm-up.
        steps: length of the curve; None: the length of the training.
        first_step: the number of the first step: 0, or 1 (EBME: the last step reaches the floor).

    Source: IFRNet and AMT (no warm-up), RIFE, EMA-VFI and EBME (2,000 steps of warm-up).
    """

    floor: NonNegative
    warmup_steps: Natural = 0
    start: NonNegative = 0.0
    steps: Positive | None = None
    first_step: Natural = 0

    def __call__(self, step: int, *, peak: float, total: int) -> float:
        """See `Schedule`."""
        step += self.first_step
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
class OneCycle:
    """Half a cosine from the peak / `rise` up to the peak, then half a cosine down to the floor.

    Args:
        floor: the learning rate at the end.
        warmup: share of the training until the peak, above 0 and below 1.
        rise: the peak divided by the first learning rate.

    Source: Smith and Topin, Super-Convergence, 2018; the same curve as torch.optim.lr_scheduler.OneCycleLR.
    """

    floor: NonNegative
    warmup: InnerFraction = 0.3
    rise: AboveZero = 25.0

    def __call__(self, step: int, *, peak: float, total: int) -> float:
        """See `Schedule`."""
        top = self.warmup * total - 1
        if step <= top:
            return _cosine(peak / self.rise, peak, step / top)
        return _cosine(peak, self.floor, (step - top) / max(1.0, total - 1 - top))


@dataclass(frozen=True)
class WarmupStableDecay:
    """Linear warm-up, the peak for most of the training, and a straight line down to the floor at its end.

    Step s uses peak * min(1, (s + 1) / warmup_steps) until the decay begins, so that a training can be prolonged from
    any checkpoint before that.

    Args:
        floor: the learning rate after the last step.
        warmup_steps: optimizer steps of warm-up; 0 for none.
        decay: share of the training that is decay, 0..1.

    Source: Hu et al., MiniCPM, 2024; Hägele et al., NeurIPS 2024.
    """

    floor: NonNegative
    warmup_steps: Natural = 0
    decay: Fraction = 0.2

    def __call__(self, step: int, *, peak: float, total: int) -> float:
        """See `Schedule`."""
        left = (total - step) / max(1.0, self.decay * total)
        if left < 1:
            return self.floor + (peak - self.floor) * max(0.0, left)
        return peak * min(1.0, (step + 1) / max(1, self.warmup_steps))


@dataclass(frozen=True)
class Constant:
    """The optimizer's learning rate at every step."""

    def __call__(self, step: int, *, peak: float, total: int) -> float:
        """See `Schedule`."""
        return peak


def _cosine(start: float, end: float, progress: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(1.0, progress))) / 2
