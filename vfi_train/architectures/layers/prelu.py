"""PReLU whose backward pass is several times faster on a CPU."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class PReLU(nn.PReLU):
    """`nn.PReLU` with a slope per channel: the same parameters, the same numbers.

    PyTorch's own backward pass on a CPU is not vectorised. This one is made of operations that are, and goes through
    the batch sample by sample, so that what lies between them stays small.
    """

    def forward(self, x: Tensor) -> Tensor:
        """B C ... to the same shape."""
        ours = x.device.type == "cpu" and x.ndim == 4 and x.dtype == self.weight.dtype and torch.is_grad_enabled()
        if ours and not torch.compiler.is_compiling():
            return _PReLU.apply(x, self.weight)  # type: ignore[no-any-return, no-untyped-call]
        return F.prelu(x, self.weight)


class _PReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(x, slope)
        return F.prelu(x, slope)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, Tensor]:
        x, slope = ctx.saved_tensors
        factor = slope.view(-1, 1, 1)
        of_x, of_slope = torch.empty_like(x), torch.zeros_like(slope)
        for sample, gradient, out in zip(x, outer, of_x, strict=True):
            torch.ops.aten.threshold_backward.grad_input(gradient, sample, 0.0, grad_input=out)  # of what is above zero
            below = gradient - out
            of_slope += (below * sample).sum((1, 2))
            out.addcmul_(below, factor)
        return of_x, of_slope
