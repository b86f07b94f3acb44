"""The block that corrects flows and feature of the target time by what the correlation says."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from vfi_train.architectures.layers.residual import join
from vfi_train.architectures.layers.warp import resize, resize_flow


@dataclass(frozen=True)
class UpdateWidths:
    """Channels inside of an update block."""

    correlation: tuple[int, ...]  # of the one or two convolutions on the correlation
    flow: int  # what the flow becomes
    joint: int  # correlation and flow together
    hidden: int  # what both heads read


class UpdateBlock(nn.Module):
    """Increments of the feature and the flows, from correlation, flows and the feature itself.

    Args:
        correlation_channels: of the correlation that `CorrelationPyramid.lookup` gives.
        feature_channels: of the feature.
        widths: channels inside.
        factor: how many times coarser than the feature the block works; flows come on that grid already.
        correlation_factor: how many times coarser than the block's grid the correlation is.

    Source: AMT (Li et al., CVPR 2023), joint update of flows and intermediate feature.
    """

    def __init__(
        self,
        correlation_channels: int,
        feature_channels: int,
        widths: UpdateWidths,
        factor: int = 1,
        correlation_factor: int = 1,
    ) -> None:
        super().__init__()
        self.factor = factor
        self.correlation_factor = correlation_factor
        first, last = widths.correlation[0], widths.correlation[-1]
        self.convc1 = nn.Conv2d(correlation_channels, first, 1)
        self.convc2 = nn.Conv2d(first, last, 3, padding=1) if len(widths.correlation) == 2 else None
        self.convf1 = nn.Conv2d(4, 2 * widths.flow, 7, padding=3)
        self.convf2 = nn.Conv2d(2 * widths.flow, widths.flow, 3, padding=1)
        self.conv = nn.Conv2d(last + widths.flow, widths.joint, 3, padding=1)
        # Published under this name; nothing in it is recurrent or gated.
        self.gru = two_convolutions(widths.joint + 4 + feature_channels, widths.hidden, widths.hidden)
        self.feat_head = two_convolutions(widths.hidden, widths.hidden, feature_channels)
        self.flow_head = two_convolutions(widths.hidden, widths.hidden, 4)
        self.act = nn.LeakyReLU(0.1, inplace=True)

    def forward(self, feature: Tensor, flow: Tensor, correlation: Tensor) -> tuple[Tensor, Tensor]:
        """Increments of feature and flow, both on the feature's grid.

        Args:
            feature: B C H W.
            flow: B 4 H/factor W/factor, to frame0 then to frame1, in pixels of that grid.
            correlation: B K h w, `correlation_factor` times coarser than the flow.
        """
        # A 1x1 convolution and a bilinear resize commute: convolve on the small map.
        matches = self.act(resize(self.convc1(correlation), self.correlation_factor))
        if self.convc2 is not None:
            matches = self.act(self.convc2(matches))
        motion = self.act(self.convf2(self.act(self.convf1(flow))))
        joint = self.act(self.conv(join((matches, motion))))
        coarse = resize(feature, 1 / self.factor)
        hidden = self.gru(join((joint, flow.to(joint.dtype), coarse.to(joint.dtype))))
        return resize(self.feat_head(hidden), self.factor), resize_flow(self.flow_head(hidden), self.factor)


def two_convolutions(in_channels: int, hidden: int, out_channels: int) -> nn.Sequential:
    """3x3 convolution, leaky ReLU, 3x3 convolution."""
    return nn.Sequential(
        nn.Conv2d(in_channels, hidden, 3, padding=1),
        nn.LeakyReLU(0.1, inplace=True),
        nn.Conv2d(hidden, out_channels, 3, padding=1),
    )
