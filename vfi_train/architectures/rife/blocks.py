"""The parts of RIFE: flow block, context network, refinement U-net."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vfi_train.architectures.layers.prelu import PReLU
from vfi_train.architectures.layers.residual import conv_prelu
from vfi_train.architectures.layers.warp import resize, resize_flow, warp


class FlowBlock(nn.Module):
    """Estimates a change of flow and mask at 1/4 (stride 1: 1/2) of the size of its input.

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

    def forward(self, x: Tensor, shrink: float) -> tuple[Tensor, Tensor]:
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

    def forward(self, x: Tensor, context: list[Tensor], flow: Tensor) -> Tensor:
        """A residual B 3 H W in [-1, 1], from B 17 H W, both frames' context and their flow B 4 H W."""
        c0, c1, c2, c3 = self.warped_context(context, flow)
        x0 = self.down0(x)
        x1 = self.down1(torch.cat((x0, c0), dim=1))
        x2 = self.down2(torch.cat((x1, c1), dim=1))
        x3 = self.down3(torch.cat((x2, c2), dim=1))
        up = self.up0(torch.cat((x3, c3), dim=1))
        up = self.up1(torch.cat((up, x2), dim=1))
        up = self.up2(torch.cat((up, x1), dim=1))
        up = self.up3(torch.cat((up, x0), dim=1))
        return 2 * torch.sigmoid(self.conv(up).to(x.dtype)) - 1

    def warped_context(self, context: list[Tensor], flow: Tensor) -> list[Tensor]:
        """Each level (2B C h w) warped with the flow at its size, as pairs B 2C h w."""
        warped = []
        for level, features in enumerate(context):
            flow = resize_flow(flow, 1 / (self.stride if level == 0 else 2))
            warped.append(warp_pair(features, flow))
        return warped


class DoubleConv(nn.Module):
    """Two convolutions with PReLU; the first has the stride."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 2) -> None:
        super().__init__()
        self.conv1 = conv_prelu(in_channels, out_channels, stride=stride)
        self.conv2 = conv_prelu(out_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """B C H W to B C' H/stride W/stride."""
        return self.conv2(self.conv1(x))


def up_conv_prelu(in_channels: int, out_channels: int) -> nn.Sequential:
    """Transposed convolution to twice the size, then a PReLU with a slope per channel."""
    return nn.Sequential(nn.ConvTranspose2d(in_channels, out_channels, 4, stride=2, padding=1), PReLU(out_channels))


def split_pair(pair: Tensor) -> Tensor:
    """A pair B 2C H W (frame 0's channels, then frame 1's) as a batch 2B C H W."""
    return pair.reshape(-1, pair.shape[1] // 2, *pair.shape[2:])


def warp_pair(images: Tensor, flow: Tensor) -> Tensor:
    """Warp both images of each sample, 2B C H W, with their flows, B 4 H W, into a pair B 2C H W."""
    batch, _, height, width = flow.shape
    return warp(images, split_pair(flow)).reshape(batch, -1, height, width)
