"""Ours: a tiny IFRNet that sees four frames, the two and their neighbours, so that it sees acceleration too.

Two frames show where things were and will be, not whether they speed up; with steady acceleration, four frames do.
Encoder and decoders are IFRNet's. The decoders refine the flows to all four frames, and the prediction is a weighted
mean of all four, warped. The flows to the neighbours are the flows to the two frames continued at constant velocity,
plus a deviation, which is the acceleration.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vfi_train.architectures.base import Architecture, Encoding
from vfi_train.architectures.ifrnet import Decoder, Encoder
from vfi_train.architectures.layers.time_map import time_plane
from vfi_train.architectures.layers.warp import resize, resize_flow, warp
from vfi_train.architectures.registry import register_model
from vfi_train.contract import Prediction

FRAMES = 4  # frame 0, frame 1, before, after


@register_model
def ifrnet_context() -> IFRNetContext:
    """Four frames with about as many parameters as `ifrnet_tiny` has for two."""
    return IFRNetContext(widths=(8, 12, 16, 20), side_channels=8)


@dataclass
class ContextEncoding(Encoding):
    """The four frames and their features, one after another: frame 0, frame 1, before, after."""

    mean: Tensor  # B 1 1 1, which was taken off
    frames: Tensor  # 4B 3 H W
    features: list[Tensor]  # 4B C h w; level 1 (half size) first


class IFRNetContext(Architecture):
    """IFRNet's decoders on four frames.

    Args:
        widths: channels of the pyramid levels, 1/2 to 1/16.
        side_channels: channels that a residual block refines a second time.
    """

    family = "ifrnet_context"
    size_multiple = 16
    min_size = 16
    arbitrary_time = True
    takes_time_map = True
    takes_context = True
    faster_channels_last = True
    checkpointed = ("encoder.*", "decoder*")

    def __init__(self, widths: tuple[int, int, int, int], side_channels: int) -> None:
        super().__init__()
        c1, c2, c3, c4 = widths
        flows, maps = 2 * FRAMES, FRAMES + 1
        self.encoder = Encoder(widths, first_kernel=3)
        self.decoder4 = Decoder(FRAMES * c4 + 1, 2 * c4, flows + c3, side_channels)
        self.decoder3 = Decoder(maps * c3 + flows, 3 * c3, flows + c2, side_channels)
        self.decoder2 = Decoder(maps * c2 + flows, 3 * c2, flows + c1, side_channels)
        self.decoder1 = Decoder(maps * c1 + flows, 3 * c1, flows + FRAMES + 3, side_channels)

    def encode(
        self,
        frame0: Tensor,
        frame1: Tensor,
        *,
        scale: float = 1.0,
        before: Tensor | None = None,
        after: Tensor | None = None,
    ) -> ContextEncoding:
        """Pyramids of all four frames, whose common mean is taken off first; a missing one is the nearest again."""
        four = (frame0, frame1, frame0 if before is None else before, frame1 if after is None else after)
        mean = torch.stack(four).mean(dim=(0, 2, 3, 4)).view(-1, 1, 1, 1)
        frames = torch.cat([frame - mean for frame in four])
        return ContextEncoding(frame0, frame1, scale, mean, frames, self.encoder(resize(frames, scale)))

    def decode(
        self,
        encoding: Encoding,
        time: Tensor,
        *,
        target: Tensor | None = None,
        reference: Tensor | None = None,
        reference_time: Tensor | None = None,
    ) -> Prediction:
        """Predict the frame at `time`; `target` adds its encoder features for the geometry loss."""
        assert isinstance(encoding, ContextEncoding)
        e, up = encoding, 1 / encoding.scale
        coarsest = e.features[3]
        coarse = self.decoder4(*coarsest.chunk(FRAMES), time_plane(time, coarsest.shape[-2:]))
        flow, feature = coarse.split_with_sizes((8, self.decoder4.out_channels - 8), dim=1)
        flows, features = [flow], [feature]
        for level, decoder in ((2, self.decoder3), (1, self.decoder2), (0, self.decoder1)):
            warped = warp_four(e.features[level], flow)
            decoded = decoder(feature, *warped, flow)
            delta, feature = decoded.split_with_sizes((8, decoder.out_channels - 8), dim=1)
            flow = delta + resize_flow(flow, 2)
            flows.append(flow)
            features.append(feature)
        last = features.pop()  # of the last decoder: logits of the four weights, residual colours
        flows[-1] = flow = resize_flow(flow, up)
        weights, residual = resize(last[:, :FRAMES].softmax(dim=1), up), resize(last[:, FRAMES:], up)
        warped = warp_four(e.frames, flow)
        merged = e.mean + sum(weight * frame for weight, frame in zip(weights.split(1, dim=1), warped, strict=True))
        return Prediction(
            frame=torch.clamp(merged + residual, 0, 1),
            merged=[merged],
            flow0=[f[:, :2] for f in flows],
            flow1=[f[:, 2:4] for f in flows],
            warped0=[warped[0] + e.mean],
            warped1=[warped[1] + e.mean],
            mask=[weights[:, :1]],
            residual=residual,
            features=features,
            target_features=None if target is None else self.encoder(target - e.mean, levels=3)[::-1],
        )


def warp_four(maps: Tensor, flow: Tensor) -> tuple[Tensor, ...]:
    """Maps 4B C H W of the four frames, each warped to the wanted time: four of B C H W.

    Args:
        maps: in the order of `ContextEncoding`.
        flow: B 8 H W: to frame 0, to frame 1, and by how much the flows to the neighbours deviate from a motion at
            constant velocity.
    """
    flow0, flow1, bend_before, bend_after = flow.chunk(FRAMES, dim=1)
    velocity = flow1 - flow0
    every = torch.cat((flow0, flow1, flow0 - velocity + bend_before, flow1 + velocity + bend_after))
    return warp(maps, every).chunk(FRAMES)
