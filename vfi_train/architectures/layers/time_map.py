"""Time as networks read it: one number for all pixels, or a map."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor


def time_plane(time: Tensor, size: Sequence[int]) -> Tensor:
    """A time as one channel of a feature map: a number fills it, a map is resized to it.

    Args:
        time: B 1 1 1, or a map B 1 H W.
        size: height and width of the feature map.

    Returns:
        B 1 h w. Bilinear without antialiasing: at 1/16 the mean of the four pixels in the middle of each 16x16.

    Source: InterpAny-Clearer's networks (Zhong et al., ECCV 2024), which all take their maps so.
    """
    if time.shape[-2:] == (1, 1) or tuple(time.shape[-2:]) == tuple(size):
        return time.expand(-1, 1, *size)
    return F.interpolate(time, size=tuple(size), mode="bilinear", align_corners=False)
