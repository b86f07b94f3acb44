"""The encoder whose features are correlated: residual blocks under instance norms, down to 1/8 size."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


class MatchingEncoder(nn.Module):
    """Features of an image for correlation.

    Args:
        widths: channels of the residual stages, two blocks each; the second and the third halve the size.
        out_channels: channels of the features.
        bottlenecks: blocks of three convolutions that work at a quarter of the width, instead of two.

    Initial weights are Kaiming normal by fan-out.

    Source: AMT (Li et al., CVPR 2023), feature encoder for correlation, after the one of RAFT.
    """

    def __init__(self, widths: Sequence[int], out_channels: int, bottlenecks: bool) -> None:
        super().__init__()
        block = Bottleneck if bottlenecks else BasicBlock
        self.conv1 = nn.Conv2d(3, widths[0], 7, stride=2, padding=3)
        self.stages = ["layer1", "layer2", "layer3", "layer3_2"][: len(widths)]
        channels = widths[0]
        for stage, width, stride in zip(self.stages, widths, (1, 2, 2, 1), strict=False):
            self.add_module(stage, nn.Sequential(block(channels, width, stride), block(width, width, 1)))
            channels = width
        self.conv2 = nn.Conv2d(channels, out_channels, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """B 3 H W to B out_channels H/8 W/8."""
        x = norm_relu(self.conv1(x))
        for stage in self.stages:
            x = self.get_submodule(stage)(x)
        return self.conv2(x)


class ResidualBlock(nn.Module):
    """What both blocks share: a ReLU closes the branch, another one the sum with the shortcut."""

    downsample: nn.Module

    def branch(self, x: Tensor) -> Tensor:
        """The convolutions beside the shortcut."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """B in H W to B width H/stride W/stride."""
        return F.relu(self.downsample(x) + self.branch(x), inplace=True)


class BasicBlock(ResidualBlock):
    """Two 3x3 convolutions, the first one strided."""

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.downsample = shortcut(in_channels, width, stride)

    def branch(self, x: Tensor) -> Tensor:
        """See `ResidualBlock`."""
        return norm_relu(self.conv2(norm_relu(self.conv1(x))))


class Bottleneck(ResidualBlock):
    """1x1 down to a quarter of the width, strided 3x3, 1x1 up."""

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width // 4, 1)
        self.conv2 = nn.Conv2d(width // 4, width // 4, 3, stride, padding=1)
        self.conv3 = nn.Conv2d(width // 4, width, 1)
        self.downsample = shortcut(in_channels, width, stride)

    def branch(self, x: Tensor) -> Tensor:
        """See `ResidualBlock`."""
        return norm_relu(self.conv3(norm_relu(self.conv2(norm_relu(self.conv1(x))))))


def shortcut(in_channels: int, width: int, stride: int) -> nn.Module:
    """The identity, or a strided 1x1 convolution under a norm."""
    if stride == 1:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(in_channels, width, 1, stride), nn.InstanceNorm2d(width))


def norm_relu(x: Tensor) -> Tensor:
    """Instance norm without parameters (eps 1e-5), then ReLU."""
    return F.relu(F.instance_norm(x, eps=1e-5), inplace=True)
