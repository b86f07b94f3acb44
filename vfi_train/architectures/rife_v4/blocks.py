"""The parts of RIFE 4: flow block and head, and what flow blocks hand on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vfi_train.architectures.layers.residual import join
from vfi_train.architectures.layers.warp import resize, resize_flow

SLOPE = 0.2  # of LeakyReLU below zero


@dataclass
class Stage:
    """An estimate at full size, or what a flow block changes of it."""

    flow: Tensor  # B 4 H W, pixels: to frame 0, then to frame 1
    logit: Tensor  # B 1 H W, of the mask
    features: Tensor | None = None  # B C H W, for the next block, where blocks hand them on

    def swapped(self) -> Stage:
        """The same estimate for the two frames in the other order. It has no features."""
        return Stage(torch.cat(self.flow.chunk(2, dim=1)[::-1], dim=1), -self.logit)


class FlowBlock(nn.Module):
    """Estimates flow, mask and features at 1/4 of the size of its input.

    Args:
        in_channels: of the stacked input, the flow counted.
        width: channels inside.
        features: channels that the block hands on to the next. With none the published block has one output
            channel that nothing reads.

    Source: Practical-RIFE, IFNet_HDv3 (IFBlock).
    """

    def __init__(self, in_channels: int, width: int, features: int) -> None:
        super().__init__()
        self.features = features
        self.conv0 = nn.Sequential(conv_leaky(in_channels, width // 2), conv_leaky(width // 2, width))
        self.convblock = nn.Sequential(*(ResidualConv(width) for _ in range(8)))
        outputs = 5 + max(features, 1)
        self.lastconv = nn.Sequential(
            nn.ConvTranspose2d(width, 4 * outputs, 4, stride=2, padding=1),
            nn.PixelShuffle(2),
        )

    def forward(
        self, maps: Tensor, time: Tensor, last: Stage | None, shrink: float, target: Tensor | None = None
    ) -> Stage:
        """What to change of the last stage.

        Args:
            maps: 2B C H W, frame 0's first: three colours, then the head's features; warped if there is a last stage.
            time: B 1 H W.
            last: None before the first block.
            shrink: how many times smaller than the frames the block's input is.
            target: the true frame, B 3 H W, for the teacher.

        Returns:
            Its flow is to be added to the last stage's; its features replace the last ones. The versions differ in the
            logit.
        """
        beside = [time]
        if last:
            beside += [last.logit, *([] if last.features is None else [last.features])]
        if target is not None:
            beside.append(target)
        maps0, maps1 = resize(maps, 1 / shrink).chunk(2)
        # Colours of both frames, then features of both; the flow comes last.
        parts = [maps0[:, :3], maps1[:, :3]]
        if maps.shape[1] > 3:
            parts += [maps0[:, 3:], maps1[:, 3:]]
        parts += [resize(x, 1 / shrink) for x in beside]
        if last:
            parts.append(resize_flow(last.flow, 1 / shrink))
        out = self.lastconv(self.convblock(self.conv0(join(parts))))
        # In the frames' precision: bfloat16 has eight bits, too few to add a small flow to a large one.
        out = resize(out[:, : 5 + self.features].to(maps.dtype), shrink)
        return Stage(out[:, :4] * shrink, out[:, 4:5], out[:, 5:] if self.features else None)


class Head(nn.Module):
    """Features of one frame at its own size.

    Source: Practical-RIFE, IFNet_HDv3 of 4.25 (Head).
    """

    def __init__(self, out_channels: int) -> None:
        super().__init__()
        self.cnn0 = nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.cnn1 = nn.Conv2d(16, 16, 3, padding=1)
        self.cnn2 = nn.Conv2d(16, 16, 3, padding=1)
        self.cnn3 = nn.ConvTranspose2d(16, out_channels, 4, stride=2, padding=1)
        self.activation = nn.LeakyReLU(SLOPE, inplace=True)

    def forward(self, frame: Tensor) -> Tensor:
        """B 3 H W to B C H W; the sides are even."""
        x = frame
        for conv in (self.cnn0, self.cnn1, self.cnn2):
            x = self.activation(conv(x))
        return self.cnn3(x).to(frame.dtype)


class ResidualConv(nn.Module):
    """A convolution with a learned scale per channel, added to its input; then LeakyReLU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.ones(1, width, 1, 1))
        self.conv = nn.Conv2d(width, width, 3, padding=1)
        self.activation = nn.LeakyReLU(SLOPE, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """B C H W to the same shape."""
        change = self.conv(x)
        return self.activation(change * self.beta.to(change.dtype) + x)


def conv_leaky(in_channels: int, out_channels: int) -> nn.Sequential:
    """Convolution to half the size, then LeakyReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1), nn.LeakyReLU(SLOPE, inplace=True)
    )
