"""Splatting by networks whose flows point from the target to the frames: the flows are reversed first."""

from __future__ import annotations

import torch
from torch import Tensor

from vfi_train.architectures.layers.splat import splat

TINY = 1e-6  # of a weight, added to a sum that may be 0


def blend_splatted(frames: Tensor, flow: Tensor, mask: Tensor) -> Tensor:
    """Both frames, splatted to the target along its reversed flows, and blended.

    Args:
        frames: 2B C H W, frame 0's first.
        flow: B 4 H W, pixels: from the target to frame 0, then to frame 1.
        mask: B 1 H W, the weight of frame 0 where both arrive; where only one does, it counts alone.

    Returns:
        B C H W; 0 where neither arrives.
    """
    moved, arrived = splat_from(frames, torch.cat(flow.chunk(2, dim=1)))
    weights = torch.cat((mask, 1 - mask)) * arrived
    first, second = (weights * moved).chunk(2)
    weight0, weight1 = weights.chunk(2)
    return (first + second) / (weight0 + weight1 + TINY)


def splat_from(image: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
    """An image moved to the target, and where it arrives.

    Args:
        image: B C H W.
        flow: B 2 H W, pixels, from the target's pixels to the image.

    Returns:
        B C H W, 0 in holes, and B 1 H W: 1, or 0 in holes. Pixels that the flow does not point to take no part; one
        counts by how much of the target points to it.
    """
    reversed_flow, pointed_to = reverse_flow(flow)
    moved = splat(torch.cat((image, torch.ones_like(pointed_to)), dim=1), reversed_flow, pointed_to, mode="linear")
    return moved[:, :-1], moved[:, -1:].detach()


def reverse_flow(flow: Tensor) -> tuple[Tensor, Tensor]:
    """The flow that leads back, from the pixels that `flow` points to.

    Returns:
        B 2 H W, the mean of minus the flows that point to a pixel, 0 where none does, and B 1 H W: how many do.

    Source: Xu et al., "Quadratic Video Interpolation", NeurIPS 2019, section 3.2, with bilinear weights.
    """
    total = splat(torch.cat((-flow, torch.ones_like(flow[:, :1])), dim=1), flow, mode="sum")
    pointed_to = total[:, 2:].detach()
    return total[:, :2] / torch.where(pointed_to == 0, 1, pointed_to), pointed_to
