"""From warped tokens to the frame: the decoder of flows and masks, the blend, and the residual's U-Net."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vfi_train.architectures.layers.prelu import PReLU
from vfi_train.architectures.layers.residual import conv_prelu, join
from vfi_train.architectures.layers.warp import warp

ESTIMATE_CHANNELS = 5  # flow to frame0 (x, y), flow to frame1 (x, y), mask logit


class Decoder(nn.ModuleList):
    """Three steps from 1/8 to full size; the last five channels of each are flows and mask of its scale.

    Every step predicts them afresh: a coarser flow goes in as five more features, nothing is added to it.

    Args:
        in_channels: channels of the input, the five included.
        widths: feature channels at 1/4, 1/2 and full size, the five not counted.
    """

    def __init__(self, in_channels: int, widths: tuple[int, int, int]) -> None:
        super().__init__()
        for step, width in enumerate(widths):
            out = width + ESTIMATE_CHANNELS
            layers = (deconv_prelu(in_channels, out), conv_prelu(out, out), nn.Conv2d(out, out, 3, padding=1))
            entry = [] if step == 0 else [PReLU(in_channels)]
            self.append(nn.Sequential(*entry, *layers))
            in_channels = out

    def forward(self, x: Tensor) -> list[Tensor]:
        """B in H/8 W/8 to the outputs at 1/4, 1/2 and full size, B `width` + 5 h w each."""
        outputs = []
        for step in self:
            x = step(x)
            outputs.append(x)
        return outputs


class Refinement(nn.Module):
    """A small U-Net that looks at the frames, the warped frames and their blend, and corrects the blend.

    Args:
        width: channels at full size.
        decoder_widths: the decoder's feature channels at 1/4, 1/2 and full size.
    """

    def __init__(self, width: int, decoder_widths: tuple[int, int, int]) -> None:
        super().__init__()
        quarter, half, full = decoder_widths
        images = 5 * 3  # both frames, both warped frames, the blend
        self.proj = conv_prelu(full + ESTIMATE_CHANNELS + images, width)
        self.down1 = nn.Sequential(conv_prelu(width, width, stride=2))
        self.down2 = nn.Sequential(conv_prelu(width + half, 2 * width, stride=2), conv_prelu(2 * width, 2 * width))
        self.down3 = nn.Sequential(
            conv_prelu(2 * width + quarter, 4 * width, stride=2),
            conv_prelu(4 * width, 4 * width),
            conv_prelu(4 * width, 4 * width),
        )
        self.up1 = nn.Sequential(deconv_prelu(4 * width, 2 * width), conv_prelu(2 * width, 2 * width))
        self.up2 = nn.Sequential(deconv_prelu(4 * width, 2 * width), conv_prelu(2 * width, width))
        self.up3 = nn.Sequential(deconv_prelu(2 * width, width))
        self.head = nn.Sequential(conv_prelu(2 * width, width), conv_prelu(width, 3))

    def forward(self, decoded: list[Tensor], frames: Tensor, warped: Tensor, merged: Tensor) -> Tensor:
        """The residual B 3 H W in (-1, 1).

        Args:
            decoded: the decoder's outputs at 1/4, 1/2 and full size.
            frames: 2B 3 H W, those of frame0 first.
            warped: the same, warped to the middle.
            merged: B 3 H W, the blend of the warped frames.
        """
        quarter, half, full = decoded
        (frame0, frame1), (warped0, warped1) = frames.chunk(2), warped.chunk(2)
        x0 = self.proj(join((full, frame0, warped0, frame1, warped1, merged)))
        x1 = self.down1(x0)
        x2 = self.down2(join((x1, half[:, :-ESTIMATE_CHANNELS])))
        x3 = self.down3(join((x2, quarter[:, :-ESTIMATE_CHANNELS])))
        x = self.up2(join((self.up1(x3), x2)))
        x = self.up3(join((x, x1)))
        return 2 * torch.sigmoid(full_precision(self.head(join((x, x0))))) - 1


@dataclass
class Blend:
    """Both frames warped to the middle and mixed, at one scale."""

    flow: Tensor  # 2B 2 h w, middle to frame: those to frame0 first
    mask: Tensor  # B 1 h w, the weight of frame0
    warped: Tensor  # 2B 3 h w
    merged: Tensor  # B 3 h w


def blend(frames: Tensor, flow: Tensor, logit: Tensor, flow_before: Tensor | None = None) -> Blend:
    """Warp both frames by their flows and mix them.

    Args:
        frames: 2B 3 h w, those of frame0 first; already warped by `flow_before` where that is given.
        flow: 2B 2 h w, pixels of this scale.
        logit: B 1 h w, the mask before its sigmoid.
        flow_before: 2B 2 h w. The resulting flow then follows both: flow, and flow_before at the
            place where flow points.
    """
    if flow_before is None:
        warped = warp(frames, flow, padding_mode="zeros")
    else:
        both = warp(torch.cat((frames, flow_before.to(frames.dtype)), dim=1), flow, padding_mode="zeros")
        warped, carried = both[:, :3], both[:, 3:]
        flow = flow + carried
    mask = torch.sigmoid(logit)
    warped0, warped1 = warped.chunk(2)
    return Blend(flow, mask, warped, mask * warped0 + (1 - mask) * warped1)


def split_estimate(x: Tensor) -> tuple[Tensor, Tensor]:
    """The last five channels of B C h w as flows 2B 2 h w (those to frame0 first) and mask logit B 1 h w."""
    flow0, flow1, logit = full_precision(x[:, -ESTIMATE_CHANNELS:]).split_with_sizes((2, 2, 1), dim=1)
    return torch.cat((flow0, flow1)), logit


def half_size(x: Tensor) -> Tensor:
    """Bilinear resize by one half, corners aligned."""
    return F.interpolate(x, scale_factor=0.5, mode="bilinear", align_corners=True)


def enlarge_flow(flow: Tensor, factor: int) -> Tensor:
    """A flow on a grid `factor` times as fine, in that grid's pixels; corners aligned."""
    return F.interpolate(flow, scale_factor=factor, mode="bilinear", align_corners=True) * factor


def full_precision(x: Tensor) -> Tensor:
    """Half precision to float32: flows and colours need more than bfloat16's eight bits."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def deconv_prelu(in_channels: int, out_channels: int) -> nn.Sequential:
    """Transposed convolution to twice the size, then a PReLU with a slope per channel."""
    return nn.Sequential(nn.ConvTranspose2d(in_channels, out_channels, 2, stride=2), PReLU(out_channels))
