"""Fusion of two splatted frames and their splatted context features by a U-net."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vfi_train.architectures.layers.prelu import PReLU
from vfi_train.architectures.layers.residual import Joined, conv_prelu
from vfi_train.architectures.layers.splat import splat
from vfi_train.architectures.layers.warp import resize

WIDTHS = (16, 32, 64, 128)  # of the context features, 1/2 to 1/16
KERNEL = 5  # of the learned downsampling


class Fused(NamedTuple):
    """What the fusion gives, all at the size of its frames."""

    frame: Tensor  # B 3 H W, in [0, 1]
    feature: Tensor  # B 16 H W, of the U-net
    warped0: Tensor  # B 3 H W
    warped1: Tensor
    mask: Tensor  # B 1 H W, the weight of warped0
    merged: Tensor  # B 3 H W
    residual: Tensor  # B 3 H W


class FusionNet(nn.Module):
    """Blends both frames, splatted to the wanted time, and adds a residual.

    Args:
        downsampling: also have the layers that `Downsampling` weighs neighbours by.

    Source: EBME (Jin et al., WACV 2023), `core/modules/fusionnet.py`.
    """

    def __init__(self, downsampling: bool) -> None:
        super().__init__()
        c1, c2, c3, c4 = WIDTHS
        self.contextnet = ContextNet()
        self.down1 = Joined(*conv_prelu(16, 32, stride=2), *(part for _ in range(3) for part in conv_prelu(32, 32)))
        self.down2 = _down(32 + 2 * c1, 64)
        self.down3 = _down(64 + 2 * c2, 128)
        self.down4 = _down(128 + 2 * c3, 256)
        self.up1 = _up(256 + 2 * c4, 128)
        self.up2 = _up(128 + 128, 64)
        self.up3 = _up(64 + 64, 32)
        self.up4 = Joined(*_up(32 + 32, 16), *conv_prelu(16, 16), *conv_prelu(16, 16))
        self.refine_pred = nn.Conv2d(16, 4, 3, padding=1)
        self.downsample_mask = _downsample_mask() if downsampling else None

    def forward(self, frames: Tensor, context: list[Tensor], flow: Tensor) -> Fused:
        """Predict the frame at the time that the flows lead to.

        Args:
            frames: 2B 3 H W, the first frames, then the second ones; H, W multiples of 16.
            context: features of `frames` from `contextnet`.
            flow: 2B 2 H W, from each frame to the wanted time.
        """
        splatted = splat(frames, flow)
        warped0, warped1 = splatted.chunk(2)
        c1, c2, c3, c4 = splat_pyramid(context, flow)
        down1 = self.down1(warped0, warped1, *frames.chunk(2), *flow.chunk(2))
        down2 = self.down2(down1, *c1.chunk(2))
        down3 = self.down3(down2, *c2.chunk(2))
        down4 = self.down4(down3, *c3.chunk(2))
        up1 = self.up1(down4, *c4.chunk(2))
        feature = self.up4(self.up3(self.up2(up1, down3), down2), down1)
        logits = self.refine_pred(feature).to(frames.dtype)
        residual, mask = 2 * torch.sigmoid(logits[:, :3]) - 1, torch.sigmoid(logits[:, 3:])
        merged = warped0 * mask + warped1 * (1 - mask)
        return Fused(torch.clamp(merged + residual, 0, 1), feature, warped0, warped1, mask, merged, residual)


class ContextNet(nn.Module):
    """Four levels of two convolutions, each level at half the size of the one before."""

    def __init__(self) -> None:
        super().__init__()
        channels = 3
        for level, width in enumerate(WIDTHS, start=1):
            self.add_module(f"conv{level}", _down(channels, width))
            channels = width

    def forward(self, frames: Tensor) -> list[Tensor]:
        """Features of frames B 3 H W, half size first."""
        pyramid = []
        for level in range(1, len(WIDTHS) + 1):
            frames = self.get_submodule(f"conv{level}")(frames)
            pyramid.append(frames)
        return pyramid


def splat_pyramid(pyramid: list[Tensor], flow: Tensor) -> list[Tensor]:
    """Features (half size first), each splatted by the flow, which is resized with its unit."""
    splatted = []
    for features in pyramid:
        flow = 0.5 * resize(flow, 0.5)
        splatted.append(splat(features, flow))
    return splatted


def downsample(frame: Tensor, logits: Tensor) -> Tensor:
    """Half the size: each pixel a weighted mean of the 5x5 pixels around it, with zeros outside.

    Args:
        frame: B C 2H 2W.
        logits: B 25 H W, of the weights before the softmax; rows slow, columns fast; the same for all channels.

    Returns:
        B C H W: the weights of pixel (y, x) belong to the pixels from (2y - 2, 2x - 2) to (2y + 2, 2x + 2).
    """
    height, width = logits.shape[-2:]
    weights = torch.softmax(logits, dim=1)
    padded = F.pad(frame, (KERNEL // 2,) * 4)
    total = torch.zeros_like(frame[..., :height, :width])
    for k in range(KERNEL**2):
        row, column = divmod(k, KERNEL)
        part = padded[..., row : row + 2 * height - 1 : 2, column : column + 2 * width - 1 : 2]
        total = total + weights[:, k : k + 1] * part
    return total


def _down(in_channels: int, out_channels: int) -> Joined:
    """Two convolutions, the first one strided."""
    return Joined(*conv_prelu(in_channels, out_channels, stride=2), *conv_prelu(out_channels, out_channels))


def _up(in_channels: int, out_channels: int) -> Joined:
    """A transposed convolution to twice the size."""
    return Joined(nn.ConvTranspose2d(in_channels, out_channels, 4, stride=2, padding=1), PReLU(out_channels))


def _downsample_mask() -> nn.Sequential:
    """From the U-net's feature at twice the size to the logits of `downsample`."""
    return nn.Sequential(*conv_prelu(16, 32, KERNEL, stride=2), *conv_prelu(32, 32), nn.Conv2d(32, KERNEL**2, 1))
