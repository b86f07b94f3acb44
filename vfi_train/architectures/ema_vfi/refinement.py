"""The refinement network: colours that no warp can give, from warped frames and features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vfi_train.architectures.ema_vfi.backbone import initialise
from vfi_train.architectures.layers.prelu import PReLU
from vfi_train.architectures.layers.residual import Joined, conv_prelu, join


class Refinement(nn.Module):
    """A U-net of four levels, which takes in the warped features of both frames on its way down.

    Args:
        width: channels of the backbone's first stage.

    Source: EMA-VFI (CVPR 2023), section 3.4, after RIFE's context and fusion networks.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        w = width
        self.down0 = Down(17 + 2 * w, 4 * w)
        self.down1 = Down(8 * w, 8 * w)
        self.down2 = Down(16 * w, 16 * w)
        self.down3 = Down(32 * w, 32 * w)
        self.up0 = up(64 * w, 16 * w)
        self.up1 = up(32 * w, 8 * w)
        self.up2 = up(16 * w, 4 * w)
        self.up3 = up(8 * w, 2 * w)
        self.conv = nn.Conv2d(2 * w, 3, 3, padding=1)
        initialise(self)

    def forward(self, images: Sequence[Tensor], features: list[Tensor]) -> Tensor:
        """What is added to the blend.

        Args:
            images: frames, warped frames, mask logit, flow: 17 channels, B C H W each.
            features: warped, 2B C h w each, frame0's first, strides 1 to 16.

        Returns:
            B 3 H W in [-1, 1], in the images' dtype.
        """
        x0 = self.down0(*(image.to(features[0].dtype) for image in images), *features[0].chunk(2))
        x1 = self.down1(x0, *features[1].chunk(2))
        x2 = self.down2(x1, *features[2].chunk(2))
        x3 = self.down3(x2, *features[3].chunk(2))
        x = self.up0(x3, *features[4].chunk(2))
        x = self.up1(x, x2)
        x = self.up2(x, x1)
        x = self.conv(self.up3(x, x0))
        # 2 sigmoid(x) - 1, without the half-precision steps of a sigmoid near one half.
        return torch.tanh(x.to(images[0].dtype) / 2)


class Down(nn.Module):
    """Two convolutions, the first one to half the size."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = conv_prelu(in_channels, out_channels, stride=2)
        self.conv2 = conv_prelu(out_channels, out_channels)

    def forward(self, *maps: Tensor) -> Tensor:
        """Maps B C H W with `in_channels` together to B out H/2 W/2."""
        return self.conv2(self.conv1(join(maps)))


def up(in_channels: int, out_channels: int) -> Joined:
    """Transposed convolution to twice the size, PReLU."""
    return Joined(nn.ConvTranspose2d(in_channels, out_channels, 4, 2, 1), PReLU(out_channels))
