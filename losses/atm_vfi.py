"""Terms of ATM-VFI's loss that no other family has."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from losses.base import Term, Weight
from losses.census import census_loss, luma
from losses.laplacian import Laplacian
from vfi_train.contract import Batch, Prediction
from vfi_train.ranges import Positive


class WarpingLaplacian(Laplacian):
    """Laplacian pyramid loss of the blends of all scales, the finest one with the residual added, unclamped.

    So it also trains the residual where the clamp of the prediction stops the main term's gradient.

    Args:
        weight: see `Term`.
        levels: number of bands at full size, half, a quarter, ...

    Source: ATM-VFI's published trainer ("warping loss"); its list of blends ends in the refined image, because
    the residual is added in place.
    """

    def __init__(self, weight: Weight = 0.25, levels: Positive | Sequence[Positive] = (5, 5, 4, 3, 2)) -> None:
        super().__init__(weight, "merged", levels)
        self.reads = ("merged", "residual")

    def forward(self, prediction: Prediction, batch: Batch) -> Tensor:
        """A scalar; see `Term.forward`."""
        assert prediction.merged is not None
        assert prediction.residual is not None
        *coarse, finest = prediction.merged
        refined = dataclasses.replace(prediction, merged=[*coarse, finest + prediction.residual])
        return super().forward(refined, batch)


class WarpedCensus(Term):
    """Census loss between the two warped frames, summed over scales.

    Source: ATM-VFI's published trainer ("bidirectional warp"), where it is off.
    """

    reads = ("warped0", "warped1")

    def forward(self, prediction: Prediction, batch: Batch) -> Tensor:
        """A scalar; see `Term.forward`."""
        assert prediction.warped0 is not None
        assert prediction.warped1 is not None
        pairs = zip(prediction.warped0, prediction.warped1, strict=True)
        return torch.stack([census_loss(luma(x), luma(y), 7, border=1) for x, y in pairs]).sum()


class Sobel(Term):
    """Mean absolute difference of edge strengths.

    Source: ATM-VFI's published trainer ("edge"), where it is off; the weight is that of an older revision.
    """

    filters: Tensor  # 4 1 3 3: along x, along y, along both diagonals

    def __init__(self, weight: Weight = 0.25) -> None:
        super().__init__(weight)
        x = torch.tensor([[2.0, 0, -2], [4, 0, -4], [2, 0, -2]])
        diagonal = torch.tensor([[0.0, -2, -4], [2, 0, -2], [4, 2, 0]])
        filters = torch.stack((x, x.T, diagonal, diagonal.flip(1)))
        self.register_buffer("filters", filters[:, None], persistent=False)

    def forward(self, prediction: Prediction, batch: Batch) -> Tensor:
        """A scalar; see `Term.forward`."""
        return (self.strength(prediction.frame) - self.strength(batch["target"])).abs().mean()

    def strength(self, frame: Tensor) -> Tensor:
        """Root of the sum of squares of four directional derivatives of the luma: B 3 H W to B 1 H W."""
        red, green, blue = frame.split(1, dim=1)
        edges = F.conv2d(0.299 * red + 0.587 * green + 0.114 * blue, self.filters.to(frame), padding=1)
        return torch.sqrt((edges**2).sum(dim=1, keepdim=True) + 1e-8)
