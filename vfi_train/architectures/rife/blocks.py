"""The parts of RIFE: flow block, context network, refinement U-net."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vfi_train.architectures.layers.prelu import PReLU
from vfi_train.architectures.layers.residual import Joined, conv_prelu, join
from vfi_train.architectures.layers.warp import resize, resize_flow, warp_both


@dataclass
class Stage:
    """The estimate after a flow block, at full size."""

    flow: Tensor  # B 4 H W, pixels: to frame 0, then to frame 1
    logit: Tensor  # B 1 H W, of the mask
    mask: Tensor  # B 1 H W, the weight of frame 0
    warped: Tensor  # 2B 3 H W, frame 0's first
    merged: Tensor  # B 3 H W


class FlowBlock(nn.Module):
    """Estimates a change of flow and mask at 1/4 (stride 1: 1/2) of the size of its input, and what follows from it.

    Source: RIFE, section 3.2 (IFBlock).
    """

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv0 = nn.Sequential(
            conv_prelu(in_channels, width // 2, stride=stride), conv_prelu(width // 2, width, stride=2)
        )
        self.convblock = nn.Sequential(*(conv_prelu(width, width) for _ in range(8)))
        self.lastconv = nn.ConvTranspose2d(width, 5, 4, stride=2, padding=1)

    def forward(
        self,
        last: Stage | None,
        frames: Tensor,
        images: Tensor,
        index: list[Tensor],
        shrink: float,
        target: Tensor | None = None,
    ) -> Stage:
        """Refine the last stage.

        Args:
            last: None before the first block.
            frames: 2B 3 H W, frame 0's first.
            images: both beside each other at the block's size, B 6 H/shrink W/shrink.
            index: full-size maps that hold the time.
            shrink: how many times smaller than the frames the block works.
            target: the true frame, for the teacher.
        """
        # The block sees the mask's logit, not the mask, and the flow after everything else.
        seen = [*last.warped.chunk(2), last.logit] if last else []
        beside = [*index, *seen, *([] if target is None else [target])]
        parts = [images]
        if beside:
            parts.append(resize(torch.cat(beside, dim=1), 1 / shrink))
        if last:
            parts.append(resize_flow(last.flow, 1 / shrink))
        flow, logit = self.change(join(parts), shrink)
        if last:
            flow, logit = last.flow + flow, last.logit + logit
        warped, mask = warp_both(frames, flow), torch.sigmoid(logit)
        warped0, warped1 = warped.chunk(2)
        return Stage(flow, logit, mask, warped, warped0 * mask + warped1 * (1 - mask))

    def change(self, x: Tensor, shrink: float) -> tuple[Tensor, Tensor]:
        """B C h w, `shrink` times smaller than the frames, to a flow B 4 H W and a mask logit B 1 H W."""
        features = self.conv0(x)
        out = self.lastconv(self.convblock(features) + features)
        up = self.stride * shrink
        # In the input's precision: bfloat16 has eight bits, too few to add a small flow to a large one.
        out = resize(out.to(x.dtype), up)
        return out[:, :4] * up, out[:, 4:]


class ContextNet(nn.Module):
    """Four levels of features of a frame, at 1/2 to 1/16 of its size (stride 1: 1 to 1/8)."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.conv1 = DoubleConv(3, 16, stride)
        self.conv2 = DoubleConv(16, 32)
        self.conv3 = DoubleConv(32, 64)
        self.conv4 = DoubleConv(64, 128)

    def forward(self, x: Tensor) -> list[Tensor]:
        """B 3 H W to the levels, fine to coarse."""
        levels = []
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            x = conv(x)
            levels.append(x)
        return levels


class UNet(nn.Module):
    """Estimates what to add to the blend from frames, warped frames, mask logit, flow and warped context.

    Source: RIFE, section 3.2 and appendix (RefineNet).
    """

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.down0 = DoubleConv(17, 32, stride)
        self.down1 = DoubleConv(64, 64)
        self.down2 = DoubleConv(128, 128)
        self.down3 = DoubleConv(256, 256)
        self.up0 = up_conv_prelu(512, 128)
        self.up1 = up_conv_prelu(256, 64)
        self.up2 = up_conv_prelu(128, 32)
        self.up3 = up_conv_prelu(64, 16)
        self.conv = nn.Conv2d(16, 3, 3, stride=2 // stride, padding=1)

    def forward(self, images: list[Tensor], context: list[Tensor], flow: Tensor) -> Tensor:
        """A residual B 3 H W in [-1, 1], from maps of 13 channels, both frames' context and their flow B 4 H W."""
        c0, c1, c2, c3 = self.warped_context(context, flow)
        x0 = self.down0(*images, flow)
        x1 = self.down1(x0, *c0.chunk(2))
        x2 = self.down2(x1, *c1.chunk(2))
        x3 = self.down3(x2, *c2.chunk(2))
        up = self.up0(x3, *c3.chunk(2))
        up = self.up1(up, x2)
        up = self.up2(up, x1)
        up = self.up3(up, x0)
        return 2 * torch.sigmoid(self.conv(up).to(flow.dtype)) - 1

    def warped_context(self, context: list[Tensor], flow: Tensor) -> list[Tensor]:
        """Each level (2B C h w) warped with the flow at its size."""
        warped = []
        for level, features in enumerate(context):
            flow = resize_flow(flow, 1 / (self.stride if level == 0 else 2))
            warped.append(warp_both(features, flow))
        return warped


class DoubleConv(nn.Module):
    """Two convolutions with PReLU; the first has the stride."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 2) -> None:
        super().__init__()
        self.conv1 = conv_prelu(in_channels, out_channels, stride=stride)
        self.conv2 = conv_prelu(out_channels, out_channels)

    def forward(self, *maps: Tensor) -> Tensor:
        """Maps B C H W with `in_channels` together to B C' H/stride W/stride."""
        return self.conv2(self.conv1(join(maps)))


def up_conv_prelu(in_channels: int, out_channels: int) -> Joined:
    """Transposed convolution to twice the size, then a PReLU with a slope per channel."""
    return Joined(nn.ConvTranspose2d(in_channels, out_channels, 4, stride=2, padding=1), PReLU(out_channels))
