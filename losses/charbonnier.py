"""Pixel-wise losses."""

from __future__ import annotations

import torch
from torch import Tensor

from losses.base import Term, Weight
from vfi_train.contract import Batch, Prediction
from vfi_train.ranges import AboveZero


def charbonnier(difference: Tensor, epsilon: float = 1e-3) -> Tensor:
    """Mean of sqrt(difference^2 + epsilon^2): a smooth L1."""
    return torch.sqrt(difference**2 + epsilon**2).mean()


class Charbonnier(Term):
    """Charbonnier loss between the predicted and the true frame.

    Source: IFRNet and AMT, epsilon 1e-3.
    """

    def __init__(self, weight: Weight = 1.0, epsilon: AboveZero = 1e-3) -> None:
        super().__init__(weight)
        self.epsilon = epsilon

    def forward(self, prediction: Prediction, batch: Batch) -> Tensor:
        """A scalar; see `Term.forward`."""
        return charbonnier(prediction.frame - batch["target"], self.epsilon)


class L1(Term):
    """Mean absolute difference between the predicted and the true frame."""

    def forward(self, prediction: Prediction, batch: Batch) -> Tensor:
        """A scalar; see `Term.forward`."""
        return (prediction.frame - batch["target"]).abs().mean()


class L2(Term):
    """Mean squared difference between the predicted and the true frame."""

    def forward(self, prediction: Prediction, batch: Batch) -> Tensor:
        """A scalar; see `Term.forward`."""
        return ((prediction.frame - batch["target"]) ** 2).mean()
