"""Correlation of two feature maps in a small window around each pixel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


def local_correlation(features0: Tensor, features1: Tensor, radius: int = 4) -> Tensor:
    """How much each pixel of one map resembles the pixels near it in the other.

    Args:
        features0: B C H W.
        features1: the same shape.
        radius: of the window, in pixels.

    Returns:
        B (2 radius + 1)^2 H W, float32 at least whatever autocast says. Channel (dy + radius)(2 radius + 1) + dx +
        radius at (y, x) is the mean over the channels of features0(y, x) features1(y + dy, x + dx), with zeros outside.

    Only the gradient of one product is held at a time: no tensor of C times the window is ever made.

    Source: the correlation layer of FlowNet (Dosovitskiy et al., ICCV 2015, section 3) and PWC-Net.
    """
    dtype = torch.promote_types(features0.dtype, torch.float32)
    with torch.autocast(device_type=features0.device.type, enabled=False):
        pair = features0.to(dtype), features1.to(dtype)
        if torch.is_grad_enabled() and any(x.requires_grad for x in pair) and not torch.compiler.is_compiling():
            return _LocalCorrelation.apply(*pair, radius)  # type: ignore[no-any-return, no-untyped-call]
        return _correlate(*pair, radius)


def _correlate(features0: Tensor, features1: Tensor, radius: int) -> Tensor:
    padded = F.pad(features1, (radius,) * 4)
    return torch.stack([(features0 * shifted).mean(1) for shifted in _windows(padded, features0, radius)], dim=1)


class _LocalCorrelation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features0: Tensor, features1: Tensor, radius: int) -> Tensor:
        ctx.save_for_backward(features0, features1)
        ctx.radius = radius
        return _correlate(features0, features1, radius)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, Tensor, None]:
        features0, features1 = ctx.saved_tensors
        padded = F.pad(features1, (ctx.radius,) * 4)
        of_features0, of_padded = torch.zeros_like(features0), torch.zeros_like(padded)
        windows = zip(_windows(padded, outer, ctx.radius), _windows(of_padded, outer, ctx.radius), strict=True)
        outer = outer / features0.shape[1]
        for k, (shifted, of_shifted) in enumerate(windows):
            of_features0.addcmul_(outer[:, k : k + 1], shifted)
            of_shifted.addcmul_(outer[:, k : k + 1], features0)
        inner = slice(ctx.radius, -ctx.radius) if ctx.radius else slice(None)
        return of_features0, of_padded[:, :, inner, inner], None


def _windows(padded: Tensor, like: Tensor, radius: int) -> Iterator[Tensor]:
    """Views of a padded map, one for each displacement; x is the fast one."""
    height, width = like.shape[-2:]
    for dy in range(2 * radius + 1):
        for dx in range(2 * radius + 1):
            yield padded[..., dy : dy + height, dx : dx + width]
