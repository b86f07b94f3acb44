"""A small network with what makes graphs hard."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vfi_train.architectures import Architecture, Encoding
from vfi_train.architectures.layers.warp import warp
from vfi_train.contract import Prediction


class Shift(Architecture):
    """A small network with what makes graphs hard: a grid of the frame's size, skips over strides, a warp."""

    family = "shift"
    size_multiple = 8
    min_size = 16
    channel_order = "bgr"
    arbitrary_time = True

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.down, self.up = nn.Conv2d(6, 4, 3, 2, 1), nn.ConvTranspose2d(4, 3, 4, 2, 1)

    def encode(self, frame0: Tensor, frame1: Tensor, *, scale: float = 1.0) -> Encoding:
        return Encoding(frame0, frame1, scale)

    def decode(self, encoding, time, **extras) -> Prediction:
        both = self.up(self.down(torch.cat((encoding.frame0, encoding.frame1), dim=1)))
        moved = warp(encoding.frame0, 4 * both[:, :2] * time)
        return Prediction(moved * (1 - time) + encoding.frame1 * time + 0.1 * both)


class ShiftMiddle(Shift):
    arbitrary_time = False
    channel_order = "rgb"
