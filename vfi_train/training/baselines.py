"""The two baselines that a network must beat, in the shape of its predictions."""

from __future__ import annotations

import torch
from torch import Tensor

from vfi_train.architectures.base import time_tensor
from vfi_train.contract import Prediction


def mean_of_frames(frame0: Tensor, frame1: Tensor, time: float | Tensor = 0.5) -> Prediction:
    """The two frames cross-faded: (1 - time) frame0 + time frame1; at 0.5 their mean.

    Args:
        frame0: B 3 H W.
        frame1: B 3 H W.
        time: 0..1; a number, B 1 1 1 or B 1 H W.
    """
    t = time_tensor(time, frame0)
    frame = frame0 * (1 - t) + frame1 * t
    return Prediction(frame, merged=[frame], mask=[(1 - t).expand(-1, 1, *frame0.shape[-2:])])


def nearest_frame(frame0: Tensor, frame1: Tensor, time: float | Tensor = 0.5) -> Prediction:
    """The frame that is nearer in time; frame0 at 0.5. Arguments as in `mean_of_frames`."""
    first = time_tensor(time, frame0) <= 0.5
    frame = torch.where(first, frame0, frame1)
    return Prediction(frame, merged=[frame], mask=[first.to(frame0.dtype).expand(-1, 1, *frame0.shape[-2:])])
