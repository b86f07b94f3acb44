"""Census losses: compare each pixel's differences to its neighbours, which brightness changes hardly affect.

The soft census transform maps the difference d of a neighbour and the centre to d / sqrt(0.81 + d^2); the distance of
two images there is s^2 / (0.1 + s^2), s being the difference of their transforms. Source: IFRNet, section 3.4.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from losses.base import Term, Weight
from vfi_train.contract import Batch, Prediction
from vfi_train.errors import UserError
from vfi_train.ranges import Natural, Odd

SQUASH = 0.81
HALF = 0.1
LUMA = (0.2989, 0.5870, 0.1140)


def census_loss(x: Tensor, y: Tensor, patch: int, border: int | None = None) -> Tensor:
    """Mean soft Hamming distance of the census transforms of `x` and `y`.

    Args:
        x, y: B C H W, both sides at least `patch`; channels are independent.
        patch: odd side of the neighbourhood; the centre, whose distance is 0, counts in the mean.
        border: width of the margin that counts as zero in the mean; None: patch // 2, pixels whose patch leaves the
            image. With fewer, neighbours outside of the image are zero.

    Returns:
        A scalar.

    Raises:
        UserError: `border` above patch // 2, or images of different or too small shapes.

    Loss and gradient are computed in one pass over half of the offsets, the other half being their mirror images:
    there is no tensor of patch^2 channels, and only the gradient is kept for the backward pass.
    """
    margin = 0 if border is None else patch // 2 - border
    if margin == 0:
        return _CensusLoss.apply(x, y, patch)  # type: ignore[no-any-return, no-untyped-call]
    if not 0 < margin <= patch // 2:
        raise UserError(f"the border of a census loss of {patch}x{patch} pixels is 0 to {patch // 2}; got {border}")
    wide_x, wide_y = (F.pad(t, (margin,) * 4) for t in (x, y))
    ratio = wide_x.shape[-2:].numel() / x.shape[-2:].numel()
    return _CensusLoss.apply(wide_x, wide_y, patch) * ratio  # type: ignore[no-any-return, no-untyped-call]


def luma(frame: Tensor) -> Tensor:
    """0.2989 R + 0.5870 G + 0.1140 B of a frame B 3 H W: B 1 H W."""
    red, green, blue = frame.split(1, dim=1)
    return LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue


class Census(Term):
    """Census loss on the grey predicted and true frames; no gradient through the target.

    Args:
        weight: see `Term`.
        patch: odd side of the neighbourhood.
        grey: the mean of the channels, or their luma.
        border: see `census_loss`.

    Source: IFRNet, section 3.4 ("ternary"): patch 7, mean, border 3; also AMT. The loss files of RIFE,
    EMA-VFI and ATM-VFI have patch 7, luma, border 1, which no recipe uses.
    """

    def __init__(
        self,
        weight: Weight = 1.0,
        patch: Odd = 7,
        grey: Literal["mean", "luma"] = "mean",
        border: Natural | None = None,
    ) -> None:
        super().__init__(weight)
        if grey not in ("mean", "luma"):
            raise UserError(f"grey={grey} is none of mean, luma")
        self.patch, self.grey, self.border = patch, grey, border

    def forward(self, prediction: Prediction, batch: Batch) -> Tensor:
        """A scalar; see `Term.forward`."""
        images = (prediction.frame, batch["target"].detach())
        x, y = (luma(p) if self.grey == "luma" else p.mean(1, keepdim=True) for p in images)
        return census_loss(x, y, self.patch, self.border)


class Geometry(Term):
    """Census loss between the decoder's features and the encoder's features of the true frame, over all levels.

    Nothing is detached: the encoder is also trained through the true frame's features.

    Source: IFRNet, section 3.4 (feature space geometry consistency); published weight 0.01, patch 3.
    """

    reads = ("features", "target_features")

    def __init__(self, weight: Weight = 0.01, patch: Odd = 3) -> None:
        super().__init__(weight)
        self.patch = patch

    def forward(self, prediction: Prediction, batch: Batch) -> Tensor:
        """A scalar, summed over the levels; see `Term.forward`."""
        assert prediction.features is not None
        assert prediction.target_features is not None
        pairs = zip(prediction.features, prediction.target_features, strict=True)
        return torch.stack([census_loss(x, y, self.patch) for x, y in pairs]).sum()


class _CensusLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, patch: int) -> Tensor:
        if x.shape != y.shape or min(x.shape[-2:]) < patch:
            raise UserError(
                f"the census loss takes two images of one shape, at least {patch} pixels a side; "
                f"got {tuple(x.shape)} and {tuple(y.shape)}"
            )
        scale = 1 / (x.numel() * patch**2)
        # One layout for all; channels-last outputs of convolutions keep it.
        channels_last = not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)
        layout = torch.channels_last if channels_last else torch.contiguous_format
        x, y = x.contiguous(memory_format=layout), y.contiguous(memory_format=layout)
        gradients = [
            torch.zeros_like(t) if needed else None for t, needed in zip((x, y), ctx.needs_input_grad, strict=False)
        ]
        total = x.new_zeros(())
        for dy, dx in _half_of_the_offsets(patch):
            total = total + _offset(x, y, dy, dx, patch // 2, scale, gradients)
        ctx.save_for_backward(*gradients)
        return total * scale

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, y = (None if g is None else g * outer[0] for g in ctx.saved_tensors)
        return x, y, None


def _offset(
    x: Tensor, y: Tensor, dy: int, dx: int, border: int, scale: float, gradients: list[Tensor | None]
) -> Tensor:
    """The sum over one offset and its mirror image; accumulates their gradients.

    The distance at p for the mirrored offset is the distance at p - offset for the offset, so a pixel counts once if
    it is inside of the border, and once more if its neighbour is.
    """
    height, width = x.shape[-2:]
    top, bottom = border - dy, height - border
    left, right = border - max(dx, 0), width - border - min(dx, 0)
    centre = (..., slice(top, bottom), slice(left, right))
    neighbour = (..., slice(top + dy, bottom + dy), slice(left + dx, right + dx))
    counts = x.new_zeros(bottom - top, right - left)
    counts[dy:, max(dx, 0) : right - left + min(dx, 0)] += 1
    counts[: bottom - top - dy, max(-dx, 0) : right - left - max(dx, 0)] += 1

    difference_x, difference_y = x[neighbour] - x[centre], y[neighbour] - y[centre]
    root_x = difference_x.square().add_(SQUASH).rsqrt_()
    root_y = difference_y.square().add_(SQUASH).rsqrt_()
    s = difference_x.mul_(root_x).sub_(difference_y.mul_(root_y))
    squared = s.square()
    denominator = squared + HALF
    total = (squared / denominator).mul_(counts).sum()
    if any(gradient is not None for gradient in gradients):
        slope = s.mul_(counts).div_(denominator.square_()).mul_(2 * HALF * SQUASH * scale)
        for gradient, root, sign in zip(gradients, (root_x, root_y), (1, -1), strict=True):
            if gradient is not None:
                part = root.pow(3).mul_(slope)
                gradient[neighbour].add_(part, alpha=sign)
                gradient[centre].sub_(part, alpha=sign)
    return total


def _half_of_the_offsets(patch: int) -> list[tuple[int, int]]:
    """(rows, columns) from the centre to the neighbours after it in raster order."""
    reach = range(-(patch // 2), patch // 2 + 1)
    return [(dy, dx) for dy in reach for dx in reach if (dy, dx) > (0, 0)]
