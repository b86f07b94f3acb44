"""Motion between two frames: one small estimator, run on every level of a pyramid, with the frames splatted midway."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vfi_train.architectures.layers.local_correlation import local_correlation
from vfi_train.architectures.layers.splat import splat
from vfi_train.architectures.layers.warp import resize, resize_flow

FEATURES = 48  # channels of the feature pyramid
HIDDEN = 64  # channels of the feature that is handed on to the next level
RADIUS = 4  # of the correlation's window
SLOPE = 0.1  # of the leaky ReLUs


class MotionEstimator(nn.Module):
    """Flows between two frames, both ways at once; the weights are shared by all levels.

    Source: EBME (Jin et al., WACV 2023), `core/modules/bi_flownet.py`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.feat_pyramid = FeaturePyramid()
        self.flow_estimator = FlowEstimator()

    def forward(self, frames: Tensor, levels: int) -> list[Tensor]:
        """Flows of each level.

        Args:
            frames: 2B 3 H W, the first frames, then the second ones; H, W multiples of 2^(levels + 1).
            levels: of the pyramid; level l works on frames of 1 / 2^l of the size.

        Returns:
            Coarse to fine, B 4 h w at the size of the level's frames, in pixels of it: first to second frame (x, y),
            then second to first.
        """
        batch = len(frames) // 2
        height, width = (n // 2 ** (levels + 1) for n in frames.shape[-2:])
        flow = frames.new_zeros(batch, 4, height, width)  # on a grid of 1/4, in pixels of the level's frames
        feature = frames.new_zeros(batch, HIDDEN, height, width)
        flows: list[Tensor] = []
        for level in reversed(range(levels)):
            pair = resize(frames, 0.5**level)
            if flows:
                flow, feature = resize_flow(flow, 2), resize(feature, 2)
                pair = splat(pair, torch.cat((0.5 * resize(flow, 4)).chunk(2, dim=1)))
            flow, feature = self.flow_estimator(self.feat_pyramid(pair), feature, flow)
            flows.append(resize(flow, 4))
        return flows


class FeaturePyramid(nn.Module):
    """Features of frames at 1/4 of their size."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_stage1 = _stage(3, FEATURES // 2, 3)
        self.conv_stage2 = _stage(FEATURES // 2, FEATURES, 6)

    def forward(self, frames: Tensor) -> Tensor:
        """B 3 H W to B 48 H/4 W/4."""
        return self.conv_stage2(self.conv_stage1(frames))


class FlowEstimator(nn.Module):
    """Flows, absolute ones, from the features' correlation and what the coarser level found."""

    def __init__(self) -> None:
        super().__init__()
        channels = ((2 * RADIUS + 1) ** 2 + 2 * FEATURES + HIDDEN + 4, 160, 128, 112, 96, HIDDEN)
        for k, (before, after) in enumerate(pairwise(channels), start=1):
            kernel = 1 if k == 1 else 3
            layer = nn.Sequential(nn.Conv2d(before, after, kernel, padding=kernel // 2), nn.LeakyReLU(SLOPE))
            self.add_module(f"conv_layer{k}", layer)
        self.conv_layer6 = nn.Sequential(nn.Conv2d(HIDDEN, 4, 3, padding=1))

    def forward(self, features: Tensor, feature: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
        """The new flow and the new feature.

        Args:
            features: 2B 48 h w, of the first frames, then of the second ones.
            feature: B 64 h w, of the coarser level.
            flow: B 4 h w.
        """
        features0, features1 = features.chunk(2)
        correlation = F.leaky_relu(local_correlation(features0, features1, RADIUS), SLOPE)
        feature = torch.cat((correlation, *(x.to(correlation.dtype) for x in (features0, features1, feature, flow))), 1)
        for k in range(1, 6):
            feature = self.get_submodule(f"conv_layer{k}")(feature)
        # Not an increment, but the flow itself: bfloat16 would round 100 pixels to the next half.
        with torch.autocast(device_type=feature.device.type, enabled=False):
            return self.conv_layer6(feature.to(flow.dtype)), feature


def _stage(in_channels: int, out_channels: int, layers: int) -> nn.Sequential:
    """Convolutions, the first one strided, each with a leaky ReLU."""
    modules: list[nn.Module] = []
    for k in range(layers):
        stride = 2 if k == 0 else 1
        conv = nn.Conv2d(in_channels if k == 0 else out_channels, out_channels, 3, stride, padding=1)
        modules += [conv, nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*modules)
