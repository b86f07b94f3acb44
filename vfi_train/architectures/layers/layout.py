"""Gradients in the layout of what they belong to."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def keep_gradients_layout(x: Tensor) -> Tensor:
    """A map B C H W itself, whose gradient becomes channels-last where the map is, whatever layout it arrives in.

    The sampling operator gives contiguous gradients. Where a map has several readers, the sum of gradients of two
    layouts takes four times as long as of one, and what comes before converts it again.
    """
    channels_last = x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    if channels_last and x.requires_grad and torch.is_grad_enabled() and not torch.compiler.is_compiling():
        return _KeepLayout.apply(x)  # type: ignore[no-any-return, no-untyped-call]
    return x


class _KeepLayout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient.contiguous(memory_format=torch.channels_last)
