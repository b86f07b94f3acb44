"""Losses that are finite and far above the ones before."""

from __future__ import annotations

import torch
from torch import Tensor


class LossSpikes:
    """Compares the loss of each optimizer step with the running median of the steps before. Nothing waits for the GPU.

    The median is known once half of the window is filled. Losses that are spikes or not finite do not enter it.

    Args:
        factor: a loss above `factor` times the median is a spike; losses are taken to be positive.
        window: steps that the median is of.

    Attributes:
        losses: of the latest steps, NaN where there were fewer: what a checkpoint keeps.
        loss, median: of the last step, scalars on the device.
    """

    def __init__(self, factor: float, window: int) -> None:
        self.factor = factor
        self.losses = torch.full((window,), torch.nan)
        self.loss = self.median = torch.tensor(torch.nan)

    def update(self, loss: Tensor) -> Tensor:
        """1.0 where a step's loss is a spike, else 0.0; both scalars, the same on all processes."""
        losses = self.losses.to(loss)
        self.loss, self.median = loss, losses.nanmedian()
        is_known = (~losses.isnan()).sum() * 2 >= len(losses)
        spike = is_known & loss.isfinite() & (loss > self.factor * self.median)
        self.losses = torch.where(spike | ~loss.isfinite(), losses, torch.cat((losses[1:], loss[None])))
        return spike.float()
