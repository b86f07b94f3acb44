"""The network: coarse-to-fine flows, corrected by all-pairs correlation, then many fields, combined."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vfi_train.architectures.amt.matching import MatchingEncoder
from vfi_train.architectures.amt.update import UpdateBlock, UpdateWidths
from vfi_train.architectures.base import Architecture, Encoding
from vfi_train.architectures.ifrnet import Decoder, Encoder
from vfi_train.architectures.layers.correlation import CorrelationPyramid, correlate
from vfi_train.architectures.layers.prelu import PReLU
from vfi_train.architectures.layers.residual import join
from vfi_train.architectures.layers.time_map import time_plane
from vfi_train.architectures.layers.warp import resize, resize_flow, warp, warp_both
from vfi_train.contract import Prediction
from vfi_train.errors import UserError


@dataclass(frozen=True)
class Size:
    """Channels and kernels of a variant."""

    widths: tuple[int, int, int, int]  # of the context pyramid, 1/2 to 1/16
    first_kernel: int  # of the context encoder
    side_channels: int  # of the decoders' residual blocks
    matching_widths: tuple[int, ...]
    matching_bottlenecks: bool
    matching_channels: int
    update: UpdateWidths
    combine_kernel: int
    high_updates: bool = False  # update levels 3 and 2 a second time on their own grids


@dataclass
class AMTEncoding(Encoding):
    """Context features of both frames, their correlation, and the mean taken off."""

    mean: Tensor  # B 1 1 1
    features: list[Tensor]  # 2B C h w, frame 0's first; half size first
    correlation: CorrelationPyramid


@dataclass
class Moment:
    """The target time as the network takes it; variants add maps and references."""

    coarse: Tensor  # B k h w at 1/16: what decoder 4 is given beside both frames' features
    lookup_time: Tensor  # B 1 1 1, or B 1 h w at 1/8: what flows are divided by for the lookup


class AMT(Architecture):
    """AMT of any size.

    Args:
        size: channels and kernels.
        fields: flow fields per direction at full size.
        levels, radius: of the correlation lookup.
        extra_inputs: channels that decoders 4, 3, 2, 1 are given beside features and flows (base: time).

    Variants with a time map or a reference frame override `moment`, and `level_input` where it changes.
    """

    family = "amt"
    size_multiple = 16
    min_size = 128  # the published lookup divides by zero where the coarsest correlation is one pixel wide
    arbitrary_time = True
    published_tta = "flip_h"
    contiguous_parts = ("feat_encoder",)  # instance norms want each channel in one piece
    faster_channels_last = True
    checkpointed = ("feat_encoder.layer*.*", "encoder.*", "decoder*", "update*", "comb_block")
    time_guard = 0.0  # added to what flows are divided by, where times may be 0 or 1

    def __init__(
        self,
        size: Size,
        fields: int,
        levels: int = 4,
        radius: int = 3,
        extra_inputs: tuple[int, int, int, int] = (1, 0, 0, 0),
    ) -> None:
        super().__init__()
        c1, c2, c3, c4 = size.widths
        self.fields, self.levels, self.radius = fields, levels, radius
        self.high_updates = size.high_updates
        self.feat_encoder = MatchingEncoder(size.matching_widths, size.matching_channels, size.matching_bottlenecks)
        self.encoder = Encoder(size.widths, size.first_kernel)
        side, extra = size.side_channels, extra_inputs
        self.decoder4 = Decoder(2 * c4 + extra[0], 2 * c4, c3 + 4, side)
        self.decoder3 = Decoder(3 * c3 + 4 + extra[1], 3 * c3, c2 + 4, side)
        self.decoder2 = Decoder(3 * c2 + 4 + extra[2], 3 * c2, c1 + 4, side)
        self.decoder1 = Decoder(3 * c1 + 4 + extra[3], 3 * c1, 8 * fields, side)
        channels = 2 * levels * (2 * radius + 1) ** 2
        low = "_low" if size.high_updates else ""
        self.update4 = UpdateBlock(channels, c3, size.update)
        self.add_module(f"update3{low}", UpdateBlock(channels, c2, size.update, factor=2))
        self.add_module(f"update2{low}", UpdateBlock(channels, c1, size.update, factor=4))
        if size.high_updates:
            self.update3_high = UpdateBlock(channels, c2, size.update, correlation_factor=2)
            self.update2_high = UpdateBlock(channels, c1, size.update, correlation_factor=4)
        kernel = size.combine_kernel
        self.comb_block = nn.Sequential(
            nn.Conv2d(3 * fields, 6 * fields, kernel, padding=kernel // 2),
            PReLU(6 * fields),
            nn.Conv2d(6 * fields, 3, kernel, padding=kernel // 2),
        )

    def encode(self, frame0: Tensor, frame1: Tensor, *, scale: float = 1.0) -> AMTEncoding:
        """Pyramids of both frames and their correlation; the frames' common mean is taken off first."""
        mean = torch.stack((frame0, frame1)).mean(dim=(0, 2, 3, 4)).view(-1, 1, 1, 1)
        frames = resize(torch.cat((frame0 - mean, frame1 - mean)), scale)
        matching0, matching1 = self.feat_encoder(frames.contiguous()).chunk(2)
        correlation = correlate(matching0, matching1, self.levels, self.radius)
        return AMTEncoding(frame0, frame1, scale, mean, self.encoder(frames), correlation)

    def decode(
        self,
        encoding: Encoding,
        time: Tensor,
        *,
        target: Tensor | None = None,
        reference: Tensor | None = None,
        reference_time: Tensor | None = None,
    ) -> Prediction:
        """Predict the frame at `time`.

        Finest flows and the mask have a dimension of fields: B N 2 H W, B N 1 H W. Coarser flows are given as
        corrected by correlation, at 1/8, 1/4, 1/2 of the scaled size; so are `features`.
        """
        assert isinstance(encoding, AMTEncoding)
        e, moment = encoding, self.moment(encoding, time, reference, reference_time)
        flow, feature = split_flow(self.decoder4(self.coarse_input(e, moment)))
        flow, feature = self.update(4, e, moment, flow.to(e.mean.dtype), feature)
        flows, features = [flow], [feature]
        for level, decoder in ((3, self.decoder3), (2, self.decoder2)):
            delta, feature = split_flow(decoder(self.level_input(level, e, moment, flow, feature)))
            flow, feature = self.update(level, e, moment, delta + resize_flow(flow, 2), feature)
            flows.append(flow)
            features.append(feature)
        last = self.decoder1(self.level_input(1, e, moment, flow, feature))
        return self.merge(e, last, flows, features)

    def moment(self, e: AMTEncoding, time: Tensor, reference: Tensor | None, reference_time: Tensor | None) -> Moment:
        """The target time (B 1 1 1) as the decoders and the lookup take it."""
        return Moment(time_plane(time, e.features[3].shape[-2:]), time)

    def coarse_input(self, e: AMTEncoding, moment: Moment) -> Tensor:
        """What decoder 4 reads."""
        feature0, feature1 = e.features[3].chunk(2)
        return join((feature0, feature1, moment.coarse.to(feature0.dtype)))

    def level_input(self, level: int, e: AMTEncoding, moment: Moment, flow: Tensor, feature: Tensor) -> Tensor:
        """What decoder `level` (3, 2, 1) reads: the feature, both frames' features warped, the flows."""
        warped = warp_both(e.features[level - 1], flow)
        return join((feature, *warped.chunk(2), flow.to(feature.dtype)))

    def update(
        self, level: int, e: AMTEncoding, moment: Moment, flow: Tensor, feature: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Flows and feature of `level` (4, 3, 2), corrected by the correlation where the flows point."""
        twice = self.high_updates and level < 4
        low: UpdateBlock = getattr(self, f"update{level}_low" if twice else f"update{level}")
        small = resize_flow(flow, 1 / low.factor)
        # Swapped, compared with linear motion; the published weights were trained so.
        to1 = small[:, 2:] / (moment.lookup_time + self.time_guard)
        to0 = small[:, :2] / (1 - moment.lookup_time + self.time_guard)
        correlation = e.correlation.lookup(to1, to0)
        flow, feature = add((flow, feature), low(feature, small, correlation))
        if twice:
            high: UpdateBlock = getattr(self, f"update{level}_high")
            flow, feature = add((flow, feature), high(feature, flow, correlation))
        return flow, feature

    def merge(self, e: AMTEncoding, last: Tensor, flows: list[Tensor], features: list[Tensor]) -> Prediction:
        """Full-size fields (from decoder 1's output), each frame warped by each, blended and combined."""
        n = self.fields
        delta, mask, residual = last.split_with_sizes((4 * n, n, 3 * n), dim=1)
        flow = delta.unflatten(1, (2, n, 2)) + resize_flow(flows[-1], 2).unflatten(1, (2, 1, 2))
        size = e.frame0.shape[-2:]
        flow = enlarge(flow.flatten(1, 3), size).unflatten(1, (2, n, 2)) * (1 / e.scale)
        mask = enlarge(torch.sigmoid(mask), size).unflatten(1, (n, 1))
        residual = enlarge(residual, size).unflatten(1, (n, 3))
        flow0, flow1 = flow.unbind(1)
        warped0 = warp_fields(e.frame0 - e.mean, flow0)
        warped1 = warp_fields(e.frame1 - e.mean, flow1)
        blended = mask * warped0 + (1 - mask) * warped1 + e.mean.unsqueeze(1)
        merged = blended.mean(1)
        residuals = residual.mean(1) + self.comb_block((blended + residual).flatten(1, 2))
        return Prediction(
            frame=torch.clamp(merged + residuals, 0, 1),
            merged=[merged],
            flow0=[*(f[:, :2] for f in flows), flow0],
            flow1=[*(f[:, 2:] for f in flows), flow1],
            mask=[mask],
            residual=residuals,
            features=features,
        )

    def check(
        self,
        frame0: Tensor,
        frame1: Tensor,
        time: float | Tensor = 0.5,
        *,
        scale: float = 1.0,
        reference: Tensor | None = None,
    ) -> None:
        """See `Architecture.check`; also refuses times 0 and 1 where the lookup divides by them."""
        super().check(frame0, frame1, time, scale=scale, reference=reference)
        if not isinstance(time, Tensor) and time in (0, 1) and not self.time_guard:
            raise UserError(
                f"{type(self).__name__} predicts times between 0 and 1; got {time}: take frame{int(time)} itself"
            )


def split_flow(x: Tensor) -> tuple[Tensor, Tensor]:
    """The two flows (B 4 H W) and the feature that a decoder gives."""
    return x[:, :4], x[:, 4:]


def add(values: tuple[Tensor, Tensor], increments: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Flow and feature after an update, whose increments come feature first."""
    return values[0] + increments[1], values[1] + increments[0]


def warp_fields(image: Tensor, flow: Tensor) -> Tensor:
    """One image B C H W warped by each field of B N 2 H W: B N C H W."""
    fields = flow.shape[1]
    repeated = image.unsqueeze(1).expand(-1, fields, -1, -1, -1).flatten(0, 1)
    return warp(repeated, flow.flatten(0, 1)).unflatten(0, (-1, fields))


def enlarge(x: Tensor, size: torch.Size) -> Tensor:
    """Bilinear resize to exactly `size`; a factor would lose a pixel where its float is a little short."""
    return x if x.shape[-2:] == size else F.interpolate(x, size=size, mode="bilinear", align_corners=False)
