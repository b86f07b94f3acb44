"""The ATM-VFI network: base, lite, or any width.

Window attention between the frames gives the motion of each token. A local branch at 1/8 does so for every pair;
a global branch at 1/16, which may be switched off, first moves features and frames by the large motion. A
decoder predicts flows and a mask afresh at each scale; a small U-Net corrects the blend.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vfi_train.architectures.atm_vfi.attention import MotionBlock, SelfBlock
from vfi_train.architectures.atm_vfi.features import CrossScaleFusion, FeaturePyramid, encoder_level
from vfi_train.architectures.atm_vfi.motion import MotionEstimator, shifted_windows
from vfi_train.architectures.atm_vfi.synthesis import (
    ESTIMATE_CHANNELS,
    Blend,
    Decoder,
    Refinement,
    blend,
    enlarge_flow,
    half_size,
    split_estimate,
)
from vfi_train.architectures.base import Architecture, Encoding, scaled_size
from vfi_train.architectures.layers.residual import join
from vfi_train.architectures.layers.warp import warp
from vfi_train.architectures.registry import register_model
from vfi_train.contract import Prediction

ENSEMBLE_SCALES = 3  # 1, 1/2, 1/4
BASE: dict[str, Any] = {
    "widths": (24, 48, 96, 192, 288),
    "ratio": 4,
    "local_head_width": 576,
    "global_head_width": 768,
    "refinement_width": 64,
}
LITE: dict[str, Any] = {
    "widths": (16, 32, 64, 96, 128),
    "ratio": 2,
    "local_head_width": 224,
    "global_head_width": 352,
    "refinement_width": 32,
}


@register_model
def atm_vfi_base(
    global_motion: bool = True,
    ensemble_global_motion: bool = False,
    local_window: int = 8,
    global_window: int = 12,
) -> ATMVFI:
    """ATM-VFI base, 51,564,259 parameters; also the network of the "Pct" (perceptual) weights."""
    return ATMVFI(
        **BASE,
        global_motion=global_motion,
        ensemble_global_motion=ensemble_global_motion,
        local_window=local_window,
        global_window=global_window,
    )


@register_model
def atm_vfi_lite(
    global_motion: bool = True,
    ensemble_global_motion: bool = False,
    local_window: int = 8,
    global_window: int = 12,
) -> ATMVFI:
    """ATM-VFI lite, 11,975,523 parameters."""
    return ATMVFI(
        **LITE,
        global_motion=global_motion,
        ensemble_global_motion=ensemble_global_motion,
        local_window=local_window,
        global_window=global_window,
    )


@dataclass
class ATMEncoding(Encoding):
    """Features of both frames, stacked along the batch: those of frame0 first."""

    frames: Tensor  # 2B 3 H W, at the network's working size
    inputs: Tensor  # 2B C H W, what the encoder reads: only the frames, or more
    levels: list[Tensor]  # full size to 1/8
    tokens: Tensor  # 2B H/8 W/8 C


class ATMVFI(Architecture):
    """ATM-VFI of any width. It has no time input: it predicts the middle frame.

    Args:
        widths: channels of the pyramid, full size to 1/16.
        ratio: hidden channels of the transformer blocks' feed-forward layers, in token widths.
        local_head_width, global_head_width: hidden channels of the heads that predict flows and masks.
        refinement_width: channels of the residual's U-Net at full size.
        global_motion: let the global branch move features and frames first. An attribute: may be switched on
            a built model.
        ensemble_global_motion: run the global branch at scales 1, 1/2 and 1/4 and keep, for each sample, the
            flows that align its frames best. An attribute too; of no effect without `global_motion`.
        local_window, global_window: side of the attention's windows at 1/8 and 1/16, in tokens.

    Only the parameters of the global branch are named `global_*`; those of the residual's U-Net
    `refinement.*`.
    """

    family = "atm_vfi"
    in_channels: ClassVar[int] = 3  # of what the encoder reads of each frame
    faster_channels_last = True
    checkpointed = (
        *("encoder.*", "global_encoder", "*_estimator.fusion", "*_estimator.attention.*", "*_estimator.head"),
        *("enhancement.*", "decoder.*", "refinement.*"),
    )

    def __init__(
        self,
        widths: tuple[int, int, int, int, int],
        ratio: int,
        local_head_width: int,
        global_head_width: int,
        refinement_width: int,
        global_motion: bool = True,
        ensemble_global_motion: bool = False,
        local_window: int = 8,
        global_window: int = 12,
    ) -> None:
        super().__init__()
        self.global_motion = global_motion
        self.ensemble_global_motion = ensemble_global_motion
        *local_widths, global_width = widths
        self.encoder = FeaturePyramid(local_widths, self.in_channels)
        self.local_estimator = MotionEstimator(widths[1:4], local_window, ratio, local_head_width)
        tokens = self.local_estimator.width
        self.enhancement_window = 8
        self.enhancement = nn.ModuleList(SelfBlock(tokens, ratio) for _ in range(2))
        decoder_widths = (tokens, tokens // 2, tokens // 4)
        self.decoder = Decoder(2 * tokens + ESTIMATE_CHANNELS, decoder_widths)
        self.refinement = Refinement(refinement_width, decoder_widths)
        self.global_encoder = encoder_level(widths[3], global_width)
        self.global_estimator = MotionEstimator(widths[2:5], global_window, ratio, global_head_width)
        self.apply(_initialise)

    @property
    def size_multiple(self) -> int:  # type: ignore[override]
        """8; 16 with the global branch, 64 with its ensemble."""
        if not self.global_motion:
            return 8
        return 64 if self.ensemble_global_motion else 16

    @property
    def min_size(self) -> int:  # type: ignore[override]
        """Two tokens on the coarsest map that is warped."""
        return min(64, 2 * self.size_multiple)

    def set_windows(self, local_window: int, global_window: int) -> None:
        """Change the sides of the attention's windows at 1/8 and 1/16; no weight depends on them."""
        self.local_estimator.set_window(local_window)
        self.global_estimator.set_window(global_window)

    def encode(self, frame0: Tensor, frame1: Tensor, *, scale: float = 1.0) -> ATMEncoding:
        """Pyramid and tokens of both frames."""
        return self.encode_inputs(frame0, frame1, torch.cat((frame0, frame1)), scale)

    def encode_inputs(self, frame0: Tensor, frame1: Tensor, inputs: Tensor, scale: float) -> ATMEncoding:
        """Pyramid and tokens of `inputs`, 2B C H W at the frames' size; the frames are their first channels."""
        if scale != 1:
            inputs = _resize(inputs, [scaled_size(n, scale) for n in inputs.shape[-2:]])
        levels = self.encoder(inputs)
        tokens = self.local_estimator.fusion(*levels[1:])
        return ATMEncoding(frame0, frame1, scale, inputs[:, :3], inputs, levels, tokens)

    def decode(
        self,
        encoding: Encoding,
        time: Tensor,
        *,
        target: Tensor | None = None,
        reference: Tensor | None = None,
        reference_time: Tensor | None = None,
    ) -> Prediction:
        """Predict the frame half way between (`any_time.py`: at `time`); what serves other families has no effect.

        Flows, masks, warped frames and blends come at 1/8, 1/4, 1/2 and full size, after those of the global
        branch at 1/16 (left out by its ensemble). Where both branches move a frame, the flow is the way
        through both.
        """
        assert isinstance(encoding, ATMEncoding)
        e, weight = encoding, self.motion_time(time)
        frames = [e.frames]
        for _ in range(3):
            frames.insert(0, half_size(frames[0]))  # coarse to fine
        tokens, blends = e.tokens, []
        flows_before: list[Tensor | None] = [None] * 4
        if self.global_motion:
            flow, logit = self.global_flow(e, weight)
            if logit is not None:
                blends.append(blend(half_size(frames[0]), flow, logit))
            tokens = _warp_tokens(tokens, enlarge_flow(flow, 2))
            for level in range(4):
                flows_before[level] = flow = enlarge_flow(flow, 2)
                frames[level] = warp(frames[level], flow, padding_mode="zeros")

        windows = shifted_windows(tokens, self.local_estimator.window)
        tokens, estimate = self.local_estimator(tokens, windows, weight)
        blends.append(blend(frames[0], *split_estimate(estimate), flows_before[0]))
        windows = shifted_windows(tokens, self.enhancement_window)
        for block, (grid, mask) in zip(self.enhancement, windows, strict=True):
            tokens = block(tokens, grid, mask)
        tokens = _warp_tokens(tokens, split_estimate(estimate)[0])
        decoded = self.decoder(join((*tokens.permute(0, 3, 1, 2).chunk(2), estimate)))
        for level, out in enumerate(decoded, start=1):
            blends.append(blend(frames[level], *split_estimate(out), flows_before[level]))
        residual = self.refinement(decoded, e.frames, blends[-1].warped, blends[-1].merged)
        if e.scale != 1:
            blends[-1] = self._blend_at_full_size(e, *split_estimate(decoded[-1]), flows_before[-1])
            residual = _resize(residual, e.frame0.shape[-2:])
        return _prediction(blends, residual)

    def motion_time(self, time: Tensor) -> Tensor | None:
        """What weights the motion that attention finds; None where all of it belongs to half way."""
        return None

    def global_flow(self, encoding: ATMEncoding, time: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """The global branch's flows, 2B 2 H/16 W/16, and its mask logit (None for the ensemble)."""
        if not self.ensemble_global_motion:
            return split_estimate(self._global_estimate(encoding.levels, time))
        flows = self.global_flow_candidates(encoding, time)
        best = alignment_errors(encoding.frames, flows).argmin(dim=0)  # the finest of equals
        same_size = torch.stack([enlarge_flow(flow, 2**k) for k, flow in enumerate(flows)])
        return _choose(same_size, best), None

    def global_flow_candidates(self, encoding: ATMEncoding, time: Tensor | None = None) -> list[Tensor]:
        """Global flows found at 1, 1/2 and 1/4 of the size: 2B 2 h w with h = H/16, H/32 and H/64."""
        levels, inputs, flows = encoding.levels, encoding.inputs, []
        for k in range(ENSEMBLE_SCALES):
            if k > 0:
                inputs = half_size(inputs)
                levels = self.encoder(inputs)
            flows.append(split_estimate(self._global_estimate(levels, time))[0])
        return flows

    def _global_estimate(self, levels: list[Tensor], time: Tensor | None) -> Tensor:
        tokens = self.global_estimator.fusion(*levels[2:], self.global_encoder(levels[3]))
        return self.global_estimator(tokens, shifted_windows(tokens, self.global_estimator.window), time)[1]

    def _blend_at_full_size(self, e: ATMEncoding, flow: Tensor, logit: Tensor, flow_before: Tensor | None) -> Blend:
        """The last blend of frames that were resized for the network, at their own size."""
        size, up = e.frame0.shape[-2:], 1 / e.scale
        frames = torch.cat((e.frame0, e.frame1))
        if flow_before is not None:
            flow_before = _resize(flow_before, size) * up
            frames = warp(frames, flow_before, padding_mode="zeros")
        return blend(frames, _resize(flow, size) * up, _resize(logit, size), flow_before)


def alignment_errors(frames: Tensor, flows: list[Tensor]) -> Tensor:
    """How far the frames differ after each candidate's flows have moved them to the middle.

    Args:
        frames: 2B 3 H W, those of frame0 first.
        flows: 2B 2 h w each, h dividing H.

    Returns:
        Candidates B: mean absolute difference over colours and pixels.
    """
    errors = []
    for flow in flows:
        full = enlarge_flow(flow, frames.shape[-2] // flow.shape[-2])
        warped0, warped1 = warp(frames, full, padding_mode="zeros").chunk(2)
        errors.append((warped0 - warped1).abs().mean(dim=(1, 2, 3)))
    return torch.stack(errors)


def _choose(flows: Tensor, best: Tensor) -> Tensor:
    """Of candidates K 2B 2 h w the one that `best` (B) names for each sample: 2B 2 h w."""
    samples = torch.arange(len(best), device=best.device)
    return flows.unflatten(1, (2, -1))[best, :, samples].transpose(0, 1).flatten(0, 1)


def _warp_tokens(tokens: Tensor, flow: Tensor) -> Tensor:
    """N h w C warped by N 2 h w."""
    return warp(tokens.permute(0, 3, 1, 2), flow, padding_mode="zeros").permute(0, 2, 3, 1)


def _resize(x: Tensor, size: list[int] | torch.Size) -> Tensor:
    """Bilinear resize, corners aligned, as everywhere in this family."""
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=True)


def _prediction(blends: list[Blend], residual: Tensor) -> Prediction:
    flows = [b.flow.chunk(2) for b in blends]
    warped = [b.warped.chunk(2) for b in blends]
    merged = [b.merged for b in blends]
    return Prediction(
        frame=torch.clamp(merged[-1] + residual, 0, 1),
        merged=merged,
        flow0=[flow0 for flow0, _ in flows],
        flow1=[flow1 for _, flow1 in flows],
        warped0=[warped0 for warped0, _ in warped],
        warped1=[warped1 for _, warped1 in warped],
        mask=[b.mask for b in blends],
        residual=residual,
    )


def _initialise(module: nn.Module) -> None:
    """Fusion and transformer blocks: as in PVTv2. Everything else keeps PyTorch's defaults."""
    if not isinstance(module, (CrossScaleFusion, MotionBlock, SelfBlock)):
        return
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.trunc_normal_(part.weight, std=0.02, a=-2, b=2)
        elif isinstance(part, nn.Conv2d):
            fan_out = part.kernel_size[0] * part.kernel_size[1] * part.out_channels // part.groups
            nn.init.normal_(part.weight, std=math.sqrt(2 / fan_out))
        else:
            continue
        if part.bias is not None:
            nn.init.zeros_(part.bias)
