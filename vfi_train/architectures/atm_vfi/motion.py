"""Flow and mask from two frames' features: window attention at one scale, then a small convolutional head."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vfi_train.architectures.atm_vfi.attention import MotionBlock
from vfi_train.architectures.atm_vfi.features import CrossScaleFusion
from vfi_train.architectures.atm_vfi.synthesis import ESTIMATE_CHANNELS
from vfi_train.architectures.layers.residual import conv_prelu, join
from vfi_train.architectures.layers.time_map import time_plane
from vfi_train.architectures.layers.window import WindowGrid

Windows = list[tuple[WindowGrid, Tensor | None]]


class MotionEstimator(nn.Module):
    """Fuses three levels of features into tokens and finds the motion between the frames in them.

    Args:
        widths: channels of the three levels, finest first.
        window: side of the attention's windows, in tokens; every second block shifts them by half.
        ratio: hidden channels of the blocks' feed-forward layers, in token widths.
        head_width: hidden channels of the head.

    Source: ATM-VFI (ICASSP 2025); the same module estimates local motion at 1/8 and global motion at 1/16.
    """

    def __init__(self, widths: tuple[int, int, int], window: int, ratio: int, head_width: int) -> None:
        super().__init__()
        self.window = window
        self.fusion = CrossScaleFusion(*widths)
        self.width = self.fusion.width
        self.attention = nn.ModuleList(MotionBlock(self.width, window, ratio) for _ in range(2))
        motion_channels = 4 * len(self.attention)  # x and y of both frames
        self.head = nn.Sequential(
            conv_prelu(motion_channels + 2 * self.width, head_width),
            conv_prelu(head_width, head_width),
            nn.Conv2d(head_width, ESTIMATE_CHANNELS, 1),
        )

    def set_window(self, window: int) -> None:
        """Change the side of the windows; no weight depends on it."""
        self.window = window
        for block in self.attention:
            assert isinstance(block, MotionBlock)
            block.attn.set_window(window)

    def forward(self, tokens: Tensor, windows: Windows, time: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Refined tokens and the estimate.

        Args:
            tokens: 2B h w C of `fusion`, those of frame0 first.
            windows: how each block cuts the map.
            time: of the frame wanted, B 1 1 1 or a map B 1 H W; None: half way.

        Returns:
            Tokens 2B h w C, and B 5 h w: flows to frame0 and frame1 (x, y; pixels of this scale), mask logit.
        """
        motions = []
        for block, (grid, mask) in zip(self.attention, windows, strict=True):
            tokens, motion = block(tokens, grid, mask)
            motions.append(motion if time is None else share(motion, time))
        parts = [part.permute(0, 3, 1, 2) for x in (*motions, tokens) for part in x.chunk(2)]
        return tokens, self.head(join(parts))


def share(motion: Tensor, time: Tensor) -> Tensor:
    """The motion 2B h w 2 that belongs to a time: that of frame0 times 2 t, that of frame1 times 2 (1 - t).

    Half way it stays as it is, to the bit. EMA-VFI weights its motion features so (by t and 1 - t).
    """
    plane = time_plane(time, motion.shape[1:3]).permute(0, 2, 3, 1)
    return (motion * (2 * torch.cat((plane, 1 - plane)))).to(motion.dtype)


def shifted_windows(tokens: Tensor, window: int) -> Windows:
    """Windows and masks of tokens N h w C, for a block that does not shift and one that shifts by half."""
    height, width = tokens.shape[1:3]
    grids = [WindowGrid(height, width, window, shift) for shift in (0, window // 2)]
    return [(grid, grid.mask(tokens.device, tokens.dtype)) for grid in grids]
