"""A loss on every flow block of RIFE 4: ours, since the authors' losses are not published."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from losses.base import Term, Weight
from losses.laplacian import LaplacianPyramid
from vfi_train.contract import Batch, Prediction
from vfi_train.errors import UserError
from vfi_train.ranges import NonNegative, Positive


class BlendedLaplacian(Term):
    """Weighted sum of the Laplacian losses of the blends after each flow block.

    Of n blends, blend k from coarse to fine (0 to n - 1) has weight decay^(n - 1 - k). Sides must be
    multiples of 2^levels and at least 2^(levels + 1): 64 for five levels.

    Args:
        weight: see `Term`.
        decay: weight of each blend relative to the next finer one; 0: only the last one counts.
        weights: of the blends, coarse to fine, in place of `decay`; a blend of weight 0 is not compared.
        levels: bands of the pyramids, as in `losses.laplacian.Laplacian`.

    Source: ours. RAFT (Teed and Deng, ECCV 2020), section 3.3, has the same weights, with decay 0.8; the pyramid is
    RIFE's.
    """

    reads = ("merged",)

    def __init__(
        self,
        weight: Weight = 1.0,
        decay: NonNegative = 0.8,
        weights: Sequence[float] | None = None,
        levels: Positive = 5,
    ) -> None:
        super().__init__(weight)
        if not 0 <= decay <= 1:
            raise UserError(f"decay is a number from 0 to 1; got {decay}")
        if weights is not None and not any(weights):
            raise UserError(f"weights of blends are numbers, one of them above 0 at least; got {list(weights)}")
        self.decay = decay
        self.weights = None if weights is None else tuple(weights)
        self.levels = levels
        self.pyramid = LaplacianPyramid()

    def forward(self, prediction: Prediction, batch: Batch) -> Tensor:
        """A scalar; see `Term.forward`.

        Raises:
            UserError: `weights` has another length than the list of blends, or a blend is not of the target's size.
        """
        assert prediction.merged is not None
        target = batch["target"]
        differences = []
        for weight, blend in zip(self.weights_of(len(prediction.merged)), prediction.merged, strict=True):
            if blend.shape != target.shape:
                raise UserError(
                    f"BlendedLaplacian compares blends of the target's shape {tuple(target.shape)}; got "
                    f"{tuple(blend.shape)}: take losses.laplacian.Laplacian with field=merged"
                )
            if weight:
                differences.append(weight * (blend - target))
        # The pyramid is linear: one for all blends, whose differences are already weighted.
        return len(differences) * self.pyramid.size(torch.cat(differences), self.levels)

    def weights_of(self, count: int) -> tuple[float, ...]:
        """The weights of `count` blends, coarse to fine."""
        if self.weights is None:
            return tuple(self.decay ** (count - 1 - k) for k in range(count))
        if len(self.weights) != count:
            raise UserError(
                f"BlendedLaplacian has weights for {len(self.weights)} blends, {list(self.weights)}; the prediction "
                f"has {count}: give one weight for each"
            )
        return self.weights
