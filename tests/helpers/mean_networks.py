"""Networks with a simple prediction: the mean of the frames, weighted by the time."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.helpers.golden_cases import frame
from vfi_train.architectures import Architecture, Encoding
from vfi_train.contract import Prediction


class Mean(Architecture):
    """time * frame1 + (1 - time) * frame0, and a flow that counts columns; keeps the encodings that it made."""

    family = "mean"
    size_multiple = 8
    min_size = 16
    arbitrary_time = True
    takes_time_map = True

    def __init__(self) -> None:
        super().__init__()
        self.encodings: list[Encoding] = []

    def encode(self, frame0: Tensor, frame1: Tensor, *, scale: float = 1.0) -> Encoding:
        self.encodings.append(Encoding(frame0, frame1, scale))
        return self.encodings[-1]

    def decode(self, encoding, time, *, target=None, reference=None, reference_time=None) -> Prediction:
        blend = encoding.frame0 * (1 - time) + encoding.frame1 * time
        if reference is not None:
            blend = blend + reference_time * (reference - blend)
        columns = torch.arange(blend.shape[-1]).expand(blend.shape[0], 2, *blend.shape[-2:]).float()
        small = [columns[..., ::2, ::2] / 2, columns]
        return Prediction(
            blend,
            merged=[blend],
            warped0=[encoding.frame0],
            flow0=small,
            flow1=small,
            features=[blend],
            residual=blend * 0,
        )


class ReferencedMean(Mean):
    takes_reference = True


class FixedMean(Mean):
    arbitrary_time = False
    channel_order = "bgr"


def pair(height: int, width: int, batch: int = 1) -> tuple[Tensor, Tensor]:
    return frame(height, width, 0.0, 3, batch), frame(height, width, 1.0, 3, batch)
