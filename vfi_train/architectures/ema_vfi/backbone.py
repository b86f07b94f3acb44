"""The feature extractor: three stages of convolutions, two of attention between the frames."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vfi_train.architectures.ema_vfi.attention import InterFrameBlock, WindowedMap
from vfi_train.architectures.layers.residual import conv_prelu, join

WINDOW = 7
HEAD_WIDTH = 32


@dataclass
class Features:
    """What the backbone knows of two frames, frame0's first along the batch."""

    appearance: list[Tensor]  # 2B C h w, strides 1, 2, 4, 8, 16
    motion: list[Tensor]  # 2B C h w, strides 8, 16


class Backbone(nn.Module):
    """Appearance features of each frame, and motion features from where attention between the frames looks.

    Args:
        width: channels of the first stage.
        depths: convolutions of stages 1 to 3, attention blocks of stages 4 and 5.
        in_channels: of a frame.

    Source: EMA-VFI (CVPR 2023), sections 3.1 and 3.2.
    """

    def __init__(self, width: int, depths: tuple[int, int, int, int, int], in_channels: int = 3) -> None:
        super().__init__()
        widths = [width * 2**stage for stage in range(5)]
        self.block1 = conv_stage(in_channels, widths[0], depths[0])
        self.patch_embed2 = conv_prelu(widths[0], widths[1], stride=2)
        self.block2 = conv_stage(widths[1], widths[1], depths[1])
        self.patch_embed3 = conv_prelu(widths[1], widths[2], stride=2)
        self.block3 = conv_stage(widths[2], widths[2], depths[2])
        self.patch_embed4 = CrossScaleEmbed(widths[:3], widths[3])
        self.block4 = attention_stage(widths[3], depths[3])
        self.norm4 = nn.LayerNorm(widths[3], eps=1e-6)
        self.patch_embed5 = PatchEmbed(widths[3], widths[4])
        self.block5 = attention_stage(widths[4], depths[4])
        self.norm5 = nn.LayerNorm(widths[4], eps=1e-6)
        initialise(self)

    def forward(self, frames: Tensor) -> Features:
        """Features of frames 2B C H W, frame0's first; H and W are multiples of 16."""
        x1 = self.block1(frames)
        x2 = self.block2(self.patch_embed2(x1))
        x3 = self.block3(self.patch_embed3(x2))
        x4, motion4 = attend(self.patch_embed4([x1, x2, x3]), self.block4, self.norm4)
        x5, motion5 = attend(self.patch_embed5(x4), self.block5, self.norm5)
        return Features([x1, x2, x3, x4, x5], [motion4, motion5])


def attend(x: Tensor, blocks: Iterable[nn.Module], norm: nn.Module) -> tuple[Tensor, Tensor]:
    """An attention stage: tokens 2B h w C to normalised appearance and the blocks' motion, both 2B C h w."""
    plain, shifted = (WindowedMap(x, WINDOW, shift) for shift in (0, WINDOW // 2))
    motions = []
    for index, block in enumerate(blocks):
        x, motion = block(x, shifted if index % 2 else plain)
        motions.append(motion)
    return norm(x).permute(0, 3, 1, 2), torch.cat(motions, dim=-1).permute(0, 3, 1, 2)


class CrossScaleEmbed(nn.Module):
    """Tokens from three scales: each is brought to the coming stage's size by dilated convolutions.

    A scale 2^k times as large has 2^(k-1) convolutions with dilations 1, 2, ..., 2^(k-1).

    Args:
        widths: channels of the scales, fine to coarse.
        out_width: channels of a token.

    Source: EMA-VFI (CVPR 2023), section 3.2.
    """

    def __init__(self, widths: list[int], out_width: int) -> None:
        super().__init__()
        count = len(widths)
        self.layers = nn.ModuleList(
            nn.Conv2d(width, widths[0], 3, stride=2**octave, padding=dilation, dilation=dilation)
            for octave, width in zip(range(1, count + 1), reversed(widths), strict=True)
            for dilation in range(1, 2 ** (octave - 1) + 1)
        )
        self.proj = nn.Conv2d(len(self.layers) * widths[0], out_width, 1)
        self.norm = nn.LayerNorm(out_width)

    def forward(self, scales: list[Tensor]) -> Tensor:
        """Maps B C h w, fine to coarse, to tokens B h w C at half the coarsest map's size."""
        sources = [x for octave, x in enumerate(reversed(scales)) for _ in range(2**octave)]
        maps = [layer(x) for layer, x in zip(self.layers, sources, strict=True)]
        return self.norm(self.proj(join(maps)).permute(0, 2, 3, 1))


class PatchEmbed(nn.Module):
    """Tokens at half the size."""

    def __init__(self, in_width: int, out_width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_width, out_width, 3, stride=2, padding=1)
        self.norm = nn.LayerNorm(out_width)

    def forward(self, x: Tensor) -> Tensor:
        """B C h w to B h/2 w/2 C."""
        return self.norm(self.proj(x).permute(0, 2, 3, 1))


def conv_stage(in_channels: int, width: int, depth: int) -> nn.Sequential:
    """`depth` convolutions that keep the size, each with its PReLU."""
    inputs = [in_channels] + [width] * (depth - 1)
    layers = [layer for channels in inputs for layer in conv_prelu(channels, width)]
    return nn.Sequential(OrderedDict(conv=nn.Sequential(*layers)))


def attention_stage(width: int, depth: int) -> nn.ModuleList:
    """Blocks whose motion features have `width` channels together."""
    return nn.ModuleList(InterFrameBlock(width, width // depth, width // HEAD_WIDTH) for _ in range(depth))


def initialise(module: nn.Module) -> None:
    """The published initial weights; transposed convolutions and PReLUs keep PyTorch's."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            draw_normal(layer.weight, 0.02)
            nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.Conv2d):
            fan_out = layer.kernel_size[0] * layer.kernel_size[1] * layer.out_channels // layer.groups
            nn.init.normal_(layer.weight, std=(2 / fan_out) ** 0.5)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


@torch.no_grad()
def draw_normal(weight: Tensor, std: float) -> None:
    """Fill with normal numbers, by the inverse of their distribution: those of timm's `trunc_normal_`, as published.

    But for one in 17 million, which is -2 there, a hundred standard deviations away: EMA-VFI has 15.8 million such
    weights (findings/timm_trunc_normal_outliers.sh). timm takes three seconds to import.
    """
    uniform = weight.uniform_(-1, 1).clamp_(min=-1 + torch.finfo(weight.dtype).eps / 2)  # of -1 it would be -inf
    uniform.erfinv_().mul_(std * math.sqrt(2))
