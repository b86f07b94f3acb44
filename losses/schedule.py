"""Weights of loss terms that change during training."""

from __future__ import annotations

import bisect
from collections.abc import Sequence

from vfi_train.errors import UserError


class PiecewiseLinear:
    """A value interpolated linearly between points, and constant before the first and after the last.

    Args:
        points: [optimizer step, value] pairs with rising steps.
    """

    def __init__(self, points: Sequence[Sequence[float]]) -> None:
        if not points or any(len(point) != 2 for point in points):
            raise UserError(f"points must be [step, value] pairs such as [[0, 0.0], [1000, 0.05]]; got {points}")
        self.steps = [float(step) for step, _ in points]
        self.values = [float(value) for _, value in points]
        if min(self.values) < 0:
            raise UserError(f"the values of points are weights of 0 or more; got {self.values}")
        if any(later <= earlier for earlier, later in zip(self.steps, self.steps[1:], strict=False)):
            raise UserError(f"the steps of points must rise; got {[int(step) for step in self.steps]}")

    def __call__(self, step: int) -> float:
        """The value at optimizer step `step` (0-based)."""
        after = bisect.bisect_right(self.steps, step)
        if after in (0, len(self.steps)):
            return self.values[max(0, after - 1)]
        start, stop = self.steps[after - 1 : after + 1]
        low, high = self.values[after - 1 : after + 1]
        return low + (high - low) * (step - start) / (stop - start)

    def __repr__(self) -> str:
        return " to ".join(f"{v:g} at {s:g}" for s, v in zip(self.steps, self.values, strict=True))
