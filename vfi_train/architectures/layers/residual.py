"""Convolution blocks that several families are made of."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vfi_train.architectures.layers.prelu import PReLU


class SideChannelBlock(nn.Module):
    """A residual block whose last `side_channels` channels pass through a convolution of their own twice.

    Source: IFRNet (Kong et al., CVPR 2022), section 3.3; AMT's decoders have it too.
    """

    def __init__(self, width: int, side_channels: int) -> None:
        super().__init__()
        self.split = (width - side_channels, side_channels)
        self.conv1 = conv_prelu(width, width)
        self.conv2 = conv_prelu(side_channels, side_channels)
        self.conv3 = conv_prelu(width, width)
        self.conv4 = conv_prelu(side_channels, side_channels)
        self.conv5 = nn.Conv2d(width, width, 3, padding=1)
        self.prelu = PReLU(width)

    def forward(self, x: Tensor) -> Tensor:
        """B C H W to the same shape."""
        main, side = self.conv1(x).split_with_sizes(self.split, dim=1)
        main, side = self.conv3(join((main, self.conv2(side)))).split_with_sizes(self.split, dim=1)
        return self.prelu(x + self.conv5(join((main, self.conv4(side)))))


class Joined(nn.Sequential):
    """Layers that read several maps as one. They are joined in here, so that checkpointing keeps no joined copy."""

    def forward(self, *maps: Tensor) -> Tensor:  # type: ignore[override]
        """Maps B C H W, whose channels follow each other."""
        return super().forward(join(maps))


def join(maps: Sequence[Tensor]) -> Tensor:
    """The channels of maps B C H W one after another; channels-last where the first one is.

    Of mixed layouts `torch.cat` makes a contiguous map, number by number, which the convolution then converts.
    """
    first = maps[0]
    if len(maps) == 1:
        return first
    if first.stride(1) == 1 and first.shape[1] > 1:
        pixels = [x.permute(0, 2, 3, 1).contiguous() for x in maps]  # B H W C: of one channel, too, the layout is clear
        return torch.cat(pixels, dim=3).permute(0, 3, 1, 2)
    return torch.cat(tuple(maps), dim=1)


def conv_prelu(in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution that keeps the size (or divides it by `stride`), then a PReLU with a slope per channel."""
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2), PReLU(out_channels))
