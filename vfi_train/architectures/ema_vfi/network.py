"""EMA-VFI: features once per pair, then flow, blend and residual for each time."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vfi_train.architectures.base import Architecture, Encoding
from vfi_train.architectures.ema_vfi.backbone import Backbone, Features
from vfi_train.architectures.ema_vfi.flow import FlowHead
from vfi_train.architectures.ema_vfi.refinement import Refinement
from vfi_train.architectures.layers.reference import frames_beside_reference
from vfi_train.architectures.layers.time_map import time_plane
from vfi_train.architectures.layers.warp import resize, resize_flow, warp_both
from vfi_train.contract import Prediction


@dataclass
class EMAVFIEncoding(Encoding):
    """Both frames and their features, stacked along the batch: frame0's come first (2B)."""

    frames: Tensor  # 2B 3 H W
    small_frames: Tensor  # 2B 3 h w, resized by `scale`
    appearance: list[Tensor]  # 2B C h w, of the full-size frames, strides 1 to 16
    estimation: Features  # of the small frames


class EMAVFI(Architecture):
    """EMA-VFI of any width, for the middle frame.

    Args:
        width: channels of the first stage; each of the four that follow has twice as many as the one before.
        depths: convolutions of stages 1 to 3, attention blocks of stages 4 and 5.
        in_channels: of a frame as the backbone sees it.

    Source: "Extracting Motion and Appearance via Inter-Frame Attention for Efficient Video Frame
    Interpolation" (Zhang et al., CVPR 2023).
    """

    family = "ema_vfi"
    size_multiple = 16
    full_size_multiple = 16
    min_size = 16
    channel_order = "bgr"
    faster_channels_last = True
    checkpointed = (
        *("feature_bone.patch_embed*", "feature_bone.block[123]", "feature_bone.block[45].*"),
        *("block.*", "unet.*"),
    )

    def __init__(self, width: int, depths: tuple[int, int, int, int, int], in_channels: int = 3) -> None:
        super().__init__()
        self.feature_bone = Backbone(width, depths, in_channels)
        self.block = nn.ModuleList(
            (
                FlowHead(features=4 * width, images=6, width=4 * width, stride=4),
                FlowHead(features=2 * width, images=17, width=4 * width, stride=2),
            )
        )
        self.unet = Refinement(width)

    def encode(self, frame0: Tensor, frame1: Tensor, *, scale: float = 1.0) -> Encoding:
        """Features of both frames; at another scale than 1 those of the small frames too."""
        return self.encode_inputs(frame0, frame1, torch.cat((frame0, frame1)), scale)

    def encode_inputs(self, frame0: Tensor, frame1: Tensor, inputs: Tensor, scale: float) -> EMAVFIEncoding:
        """The encoding for what the backbone sees: 2B `in_channels` H W, the first three channels frames."""
        small_inputs = resize(inputs, scale)
        estimation = self.feature_bone(small_inputs)
        appearance = estimation.appearance if scale == 1 else self.feature_bone(inputs).appearance
        frames, small_frames = inputs[:, :3], small_inputs[:, :3]
        return EMAVFIEncoding(frame0, frame1, scale, frames, small_frames, appearance, estimation)

    def decode(
        self,
        encoding: Encoding,
        time: Tensor,
        *,
        target: Tensor | None = None,
        reference: Tensor | None = None,
        reference_time: Tensor | None = None,
    ) -> Prediction:
        """Predict the frame at `time`."""
        assert isinstance(encoding, EMAVFIEncoding)
        e, frames = encoding, encoding.small_frames
        coarse = self.block[0](timed_features(e.estimation, 1, time), frames.chunk(2))
        first = Blend(frames, coarse)
        images = (*frames.chunk(2), *first.warped.chunk(2), first.logit)
        fine = coarse + self.block[1](timed_features(e.estimation, 0, time), images, first.flow)
        last = Blend(e.frames, enlarge(fine, 1 / e.scale))
        residual = self.unet(
            (*e.frames.chunk(2), *last.warped.chunk(2), last.logit, last.flow),
            warp_pyramid(e.appearance, last.flow),
        )
        blends = (first, last)
        return Prediction(
            frame=torch.clamp(last.merged + residual, 0, 1),
            merged=[blend.merged for blend in blends],
            flow0=[blend.flow[:, :2] for blend in blends],
            flow1=[blend.flow[:, 2:] for blend in blends],
            warped0=[blend.warped.chunk(2)[0] for blend in blends],
            warped1=[blend.warped.chunk(2)[1] for blend in blends],
            mask=[blend.mask for blend in blends],
            residual=residual,
        )


class EMAVFIt(EMAVFI):
    """EMA-VFI for any time between the frames, which may be a distance index map. Options as `EMAVFI`."""

    arbitrary_time = True
    takes_time_map = True


class EMAVFIr(EMAVFIt):
    """EMA-VFI that starts from a reference frame with a known distance map; without one, from frame 0 at map 0.

    The reference goes through the backbone beside each frame, so that nothing but the frames is shared by all times.

    Args:
        width, depths: see `EMAVFI`.

    Source: InterpAny-Clearer (Zhong et al., ECCV 2024), iterative reference-based estimation.
    """

    takes_reference = True

    def __init__(self, width: int, depths: tuple[int, int, int, int, int]) -> None:
        super().__init__(width, depths, in_channels=7)

    def encode(self, frame0: Tensor, frame1: Tensor, *, scale: float = 1.0) -> Encoding:
        """Both frames; their features wait for the reference."""
        return Encoding(frame0, frame1, scale)

    def decode(
        self,
        encoding: Encoding,
        time: Tensor,
        *,
        target: Tensor | None = None,
        reference: Tensor | None = None,
        reference_time: Tensor | None = None,
    ) -> Prediction:
        """Predict the frame at `time` from `reference` (B 3 H W) at `reference_time` (B 1 1 1 or B 1 H W)."""
        e = encoding
        inputs = frames_beside_reference(e.frame0, e.frame1, time, reference, reference_time)
        return super().decode(self.encode_inputs(e.frame0, e.frame1, inputs, e.scale), time)


class Blend:
    """Two frames warped to the target time and mixed.

    Args:
        frames: 2B 3 H W, frame0's first.
        estimate: B 5 H W: flow to frame0, flow to frame1, the logit of frame0's weight.
    """

    def __init__(self, frames: Tensor, estimate: Tensor) -> None:
        self.flow, self.logit = estimate.split_with_sizes((4, 1), dim=1)
        self.mask = torch.sigmoid(self.logit)
        self.warped = warp_both(frames, self.flow)  # 2B 3 H W
        warped0, warped1 = self.warped.chunk(2)
        self.merged = self.mask * warped0 + (1 - self.mask) * warped1


def timed_features(features: Features, level: int, time: Tensor) -> Tensor:
    """What a flow head reads: motion of both frames weighted by the time, then their appearance.

    Args:
        features: of the frames on which flow is estimated.
        level: 0 for stride 8, 1 for stride 16.
        time: B 1 1 1, or a map B 1 H W, which is resized to the features.

    Returns:
        B 4C h w.
    """
    motion, appearance = features.motion[level], features.appearance[3 + level]
    plane = time_plane(time, motion.shape[-2:])
    weighted = (motion * torch.cat((plane, 1 - plane))).to(motion.dtype)
    return torch.cat((*weighted.chunk(2), *appearance.chunk(2)), dim=1)


def enlarge(estimate: Tensor, factor: float) -> Tensor:
    """Flow and logit (B 5 h w) at another size, the flow in pixels of that size."""
    if factor == 1:
        return estimate
    flow, logit = resize(estimate, factor).split_with_sizes((4, 1), dim=1)
    return torch.cat((flow * factor, logit), dim=1)


def warp_pyramid(features: list[Tensor], flow: Tensor) -> list[Tensor]:
    """Warp features 2B C h w, each half as large as the one before, by the flow B 4 H W of the first."""
    warped = [warp_both(features[0], flow)]
    for feature in features[1:]:
        flow = resize_flow(flow, 0.5)
        warped.append(warp_both(feature, flow))
    return warped
