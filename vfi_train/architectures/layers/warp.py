"""Backward warping and resizing: the two operations on which every family agrees."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_train.architectures.layers.layout import keep_gradients_layout

FARTHEST = 1e4  # coordinates in the grid, where the image is -1 to 1: beyond, all is border or zero


def warp(image: Tensor, flow: Tensor, *, padding_mode: str = "border") -> Tensor:
    """Sample `image` where `flow` points: out(x) = image(x + flow(x)), bilinear, borders repeated.

    Args:
        image: B C H W.
        flow: B 2 H W, pixels, x then y.
        padding_mode: what lies outside of the image ("border" or "zeros").

    Returns:
        B C H W in the image's dtype; NaN where the coordinates are not finite, which never reach the sampling operator:
        on a CPU it may read outside of the image there. Coordinates are computed in float32 at least, whatever autocast
        says: bfloat16 has eight bits, too few to address a pixel.

    Source: align_corners=True over linspace(-1, 1), as in RIFE, IFRNet, AMT and EMA-VFI (`warp` in each).
    """
    height, width = flow.shape[-2:]
    with torch.autocast(device_type=flow.device.type, enabled=False):
        flow = flow if flow.dtype == torch.float64 else flow.float()
        y = torch.linspace(-1, 1, height, device=flow.device, dtype=flow.dtype).view(1, height, 1)
        x = torch.linspace(-1, 1, width, device=flow.device, dtype=flow.dtype).view(1, 1, width)
        grid_x = x + flow[:, 0] * (2 / max(width - 1, 1))
        grid_y = y + flow[:, 1] * (2 / max(height - 1, 1))
        grid = torch.stack((grid_x, grid_y), dim=-1)
        unusable = None if _is_near(grid) else _replace_unusable(grid)
        source = keep_gradients_layout(image.to(grid.dtype))
        out = F.grid_sample(source, grid, mode="bilinear", padding_mode=padding_mode, align_corners=True)
        if unusable is not None:
            out = out.masked_fill_(unusable, torch.nan)
    return out.to(image.dtype)


def warp_both(images: Tensor, flow: Tensor) -> Tensor:
    """Maps of both frames, 2B C H W with frame 0's first, each warped by its part of the flow B 4 H W: one call."""
    return warp(images, torch.cat(flow.chunk(2, dim=1)))


def resize(x: Tensor, factor: float) -> Tensor:
    """Bilinear resize by `factor` (align_corners False, no antialiasing); the size is rounded down."""
    if factor == 1:
        return x
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


def resize_flow(flow: Tensor, factor: float) -> Tensor:
    """Resize a flow and its unit with it: its values stay pixels of the map that holds them."""
    return flow if factor == 1 else resize(flow, factor) * factor


def _is_near(grid: Tensor) -> bool:
    """Whether all coordinates are finite and none is far outside, where reading the numbers makes no device wait."""
    if grid.device.type != "cpu" or torch.compiler.is_compiling() or type(grid) is not Tensor:  # a fake tensor, say
        return False
    least, most = grid.detach().aminmax()
    return bool(least >= -FARTHEST and most <= FARTHEST)  # false for NaN, too


@torch.no_grad()  # the gradient of coordinates that are replaced or clamped is zero anyway
def _replace_unusable(grid: Tensor) -> Tensor:
    """Make a grid B H W 2 finite in place; returns which pixels were not, B 1 H W."""
    unusable = ~grid.isfinite().all(dim=-1).unsqueeze(1)
    grid.nan_to_num_(0.0).clamp_(-FARTHEST, FARTHEST)
    return unusable
