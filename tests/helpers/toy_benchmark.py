"""A network without weights whose prediction depends on scale, padding, flips, channel order, time and steps.

`Toy` is the network; `predict` is the same for one pair.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_train.architectures.base import Architecture, Encoding
from vfi_train.contract import Prediction

TINT = torch.tensor([0.03, -0.02, 0.01]).reshape(1, 3, 1, 1)


def predict(
    frame0: Tensor, frame1: Tensor, time: Tensor, scale: float, reference: Tensor | None = None, dim: bool = False
) -> Tensor:
    """B 3 H W: a cross-fade, in part at `scale`, in part moved down a row and right two columns, and tinted.

    `dim` (an attribute of the network) subtracts 0.1; a ramp and the frames' common mean depend on the padding.
    """
    mixed = (1 - time) * frame0 + time * frame1
    small = F.interpolate(mixed, scale_factor=scale, mode="bilinear") if scale != 1 else mixed
    coarse = F.interpolate(small, size=mixed.shape[-2:], mode="bilinear")
    mean = torch.stack((frame0, frame1)).mean(dim=(0, 2, 3, 4)).reshape(-1, 1, 1, 1)
    moved = 0.15 * mixed.roll(1, dims=-2) + 0.1 * mixed.roll(2, dims=-1)
    ramp = 0.05 * torch.linspace(0, 1, mixed.shape[-2])[:, None] * torch.linspace(0, 1, mixed.shape[-1])
    out = 0.45 * mixed + 0.2 * coarse + moved + 0.08 * mean + ramp + TINT
    if reference is not None:
        out = 0.9 * out + 0.1 * reference
    return (out - 0.1 if dim else out).clamp(0, 1)


class Toy(Architecture):
    family = "toy"
    arbitrary_time = True
    takes_time_map = True

    def __init__(self, global_motion: bool = True) -> None:
        super().__init__()
        self.global_motion = global_motion

    def encode(self, frame0: Tensor, frame1: Tensor, *, scale: float = 1.0) -> Encoding:
        return Encoding(frame0, frame1, scale)

    def decode(self, encoding: Encoding, time: Tensor, *, reference: Any = None, **extras: Any) -> Prediction:
        e = encoding
        return Prediction(predict(e.frame0, e.frame1, time, e.scale, reference, not self.global_motion))


class ToyBGR(Toy):
    channel_order = "bgr"


class ToyLevels(ToyBGR):
    """Takes multiples of 2^(levels + 1), as EBME-H."""

    levels = 3

    @property
    def size_multiple(self) -> int:  # type: ignore[override]
        return 2 ** (self.levels + 1)


class ToyReference(Toy):
    takes_reference = True


class ToyMiddle(Toy):
    """Predicts only the middle frame."""

    arbitrary_time = False
    takes_time_map = False


class ToyInterrupted(Toy):
    """Is stopped, as by Ctrl-C, after a number of calls."""

    calls_left = 1_000_000

    def decode(self, encoding: Encoding, time: Tensor, *, reference: Any = None, **extras: Any) -> Prediction:
        if type(self).calls_left == 0:
            raise KeyboardInterrupt
        type(self).calls_left -= 1
        return super().decode(encoding, time, reference=reference)


class ToyBlack(Toy):
    """Predicts black frames."""

    def decode(self, encoding: Encoding, time: Tensor, *, reference: Any = None, **extras: Any) -> Prediction:
        return Prediction(torch.zeros_like(encoding.frame0))


# Builders named as the published networks, so that protocols recognise them.
KINDS = {
    "rife": ToyBGR, "rife_m": ToyBGR, "rife_t": ToyBGR, "rife_d": ToyBGR, "rife_tr": ToyReference,
    "rife_dr": ToyReference, "ema_vfi": ToyBGR, "ema_vfi_t": ToyBGR, "ema_vfi_small": ToyBGR,
    "ema_vfi_small_t": ToyBGR, "ema_vfi_dr": ToyReference, "ifrnet": Toy, "ifrnet_d": Toy, "ifrnet_r": ToyReference,
    "amt_s": Toy, "amt_s_d": Toy, "amt_s_dr": ToyReference, "atm_vfi_base": Toy, "middle": ToyMiddle, "toy": Toy,
    "interrupted": ToyInterrupted, "rife_v4_25": Toy,
    "black": ToyBlack, "ebme_h": ToyLevels,
}  # fmt: skip
globals().update(KINDS)
