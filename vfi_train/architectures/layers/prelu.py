"""PReLU whose backward pass is several times faster on a CPU, and needs half as much to be kept for it."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

BLOCK = 2**16  # numbers: a quarter of a megabyte of each map
INVERTIBLE = 2.0**-20  # slopes above this give back what went in, to the last bit or two


class PReLU(nn.PReLU):
    """`nn.PReLU` with a slope per channel: the same parameters, the same numbers.

    PyTorch's own backward pass on a CPU is not vectorised, and makes a second map for the slopes. This one is made of
    operations that are vectorised, and works in blocks that stay in the processor's cache from one to the next.
    Where every slope is above zero, the output determines the input, and is kept instead of it: the convolution that
    follows keeps it anyway.
    """

    def forward(self, x: Tensor) -> Tensor:
        """B C ... to the same shape."""
        real = type(x) in (Tensor, nn.Parameter) and x.device.type == "cpu"  # a tensor that is traced has no numbers
        ours = real and x.ndim == 4 and x.dtype == self.weight.dtype and torch.is_grad_enabled()
        if ours and not torch.compiler.is_compiling():
            return _PReLU.apply(x, self.weight)  # type: ignore[no-any-return, no-untyped-call]
        return F.prelu(x, self.weight)


class _PReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: Tensor) -> Tensor:
        y = F.prelu(x, slope)
        ctx.inverted = bool((slope > INVERTIBLE).all())
        ctx.save_for_backward(y if ctx.inverted else x, slope)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, Tensor]:
        x, slope = ctx.saved_tensors  # or what came out, which has the same signs
        channels_last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
        layout = torch.channels_last if channels_last else torch.contiguous_format
        x, outer = x.contiguous(memory_format=layout), outer.contiguous(memory_format=layout)
        of_x = torch.empty_like(x)
        maps = (x, outer, of_x)
        if channels_last:
            pixels, gradient, out = (t.permute(0, 2, 3, 1).view(-1, x.shape[1]) for t in maps)
            of_slope = _rows(pixels, gradient, out, slope, 0).sum(0)
        else:
            channels, gradient, out = (t.view(-1, x[0, 0].numel()) for t in maps)
            of_slope = _rows(channels, gradient, out, slope.repeat(len(x)).unsqueeze(1), 1).view(len(x), -1).sum(0)
        return of_x, of_slope / slope if ctx.inverted else of_slope


def _rows(x: Tensor, outer: Tensor, of_x: Tensor, slope: Tensor, along: int) -> Tensor:
    """Fill the gradient of x block by block; the slopes', summed along a dimension of each block."""
    step = max(1, BLOCK // x.shape[1])
    spare = x.new_empty(min(step, len(x)), x.shape[1])
    of_slope = []
    for start in range(0, len(x), step):
        part = slice(start, start + step)
        block, gradient, out = x[part], outer[part], of_x[part]
        below = spare[: len(block)]
        torch.ops.aten.threshold_backward.grad_input(gradient, block, 0.0, grad_input=out)  # of what is above zero
        torch.sub(gradient, out, out=below)
        out.addcmul_(below, slope if along == 0 else slope[part])
        of_slope.append(below.mul_(block).sum(along))
    return torch.stack(of_slope) if along == 0 else torch.cat(of_slope)
