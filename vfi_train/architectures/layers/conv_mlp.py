"""The feed-forward part of transformer blocks that work on maps."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class ConvMlp(nn.Module):
    """Two linear layers with a depth-wise 3x3 convolution and a GELU between: tokens see their neighbours.

    Args:
        width: channels in and out.
        hidden: channels between.

    Source: PVTv2 (Wang et al., 2022, section 3.2); EMA-VFI and ATM-VFI have it under these names.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.dwconv = DepthwiseConv(hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """B H W C to the same shape."""
        return self.fc2(F.gelu(self.dwconv(self.fc1(x))))


class DepthwiseConv(nn.Module):
    """A 3x3 convolution per channel; zeros outside."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(width, width, 3, padding=1, groups=width)

    def forward(self, x: Tensor) -> Tensor:
        """B H W C to the same shape."""
        return self.dwconv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
