"""Images in the forms of users (NumPy or torch, uint8 or float) and of networks."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from vfi_train.errors import UserError

Frame = TypeVar("Frame", np.ndarray, Tensor)


def to_batch(frame: np.ndarray | Tensor, like: Tensor) -> Tensor:
    """An image as B 3 H W in [0, 1].

    Args:
        frame: RGB; NumPy H W 3 or B H W 3, torch 3 H W or B 3 H W; uint8, or floats in [0, 1].
        like: a tensor of the device and dtype to give.

    Raises:
        UserError: another kind, shape or range.
    """
    if not isinstance(frame, (Tensor, np.ndarray)) or frame.ndim not in (3, 4):
        raise UserError(_expected(frame))
    x = frame if isinstance(frame, Tensor) else torch.from_numpy(np.array(frame, order="C")).movedim(-1, -3)
    if x.shape[-3] != 3 or not (x.dtype == torch.uint8 or x.is_floating_point()):
        raise UserError(_expected(frame))
    x = x.to(like.device)
    if x.dtype == torch.uint8:
        x = x.to(like.dtype) / 255
    else:
        low, high = torch.stack(torch.aminmax(x)).tolist()
        if not (low >= -0.01 and high <= 1.01):
            raise UserError(f"float frames hold values in [0, 1]; got {low:.4g} to {high:.4g}: divide by 255")
        x = x.to(like.dtype)
    return x if x.ndim == 4 else x[None]


def from_batch(frame: Tensor, like: Frame) -> Frame:
    """An image B 3 H W in [0, 1] in the kind, layout, dtype and device of `like`; uint8 is rounded."""
    if like.ndim == 3:
        frame = frame[0]
    if isinstance(like, Tensor):
        return quantise(frame).to(like.device) if like.dtype == torch.uint8 else frame.to(like.device, like.dtype)
    array = frame.movedim(-3, -1)
    if like.dtype == np.uint8:
        return quantise(array).contiguous().cpu().numpy()
    wide = array if array.dtype == torch.float64 else array.float()
    return wide.contiguous().cpu().numpy().astype(like.dtype, copy=False)


def to_map(time: float | Tensor | np.ndarray, like: Tensor) -> float | Tensor:
    """A time as a number, or a map (H W, B H W or B 1 H W) as B 1 H W like `like`."""
    if isinstance(time, np.ndarray):
        time = torch.from_numpy(np.array(time, dtype=np.float64))
    if not isinstance(time, Tensor):
        return float(time)
    if time.ndim == 0:
        return float(time)
    if time.ndim not in (2, 3, 4):
        raise UserError(f"a time is a number or a map H W, B H W or B 1 H W; got shape {tuple(time.shape)}")
    time = time.to(like.device, like.dtype)
    if time.ndim == 4:
        return time
    return time[None, None] if time.ndim == 2 else time[:, None]


def quantise(frame: Tensor) -> Tensor:
    """Values in [0, 1] as uint8, rounded to the nearest (halves to even)."""
    return (frame.clamp(0, 1) * 255).round().to(torch.uint8)


def _expected(frame: object) -> str:
    given = type(frame).__name__
    if isinstance(frame, (np.ndarray, Tensor)):
        given = f"shape {tuple(frame.shape)} of {frame.dtype}"
    return (
        f"frames are RGB images, uint8 or floats in [0, 1], NumPy H W 3 or B H W 3, torch 3 H W or B 3 H W; got {given}"
    )
