"""RIFE: three flow blocks, a privileged teacher, a refinement U-net.

The flow blocks, each at twice the resolution of the one before, estimate the flows from the wanted moment
to both frames and a mask; the U-net, fed with warped context features, adds a residual. In training a fourth
block that sees the true frame, the teacher, continues from the third.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from vfi_train.architectures.base import Architecture, Encoding
from vfi_train.architectures.layers.reference import known_reference
from vfi_train.architectures.layers.time_map import time_plane
from vfi_train.architectures.layers.warp import resize
from vfi_train.architectures.rife.blocks import ContextNet, FlowBlock, Stage, UNet
from vfi_train.contract import Prediction
from vfi_train.errors import UserError


@dataclass
class RIFEEncoding(Encoding):
    """What all times share."""

    frames: Tensor  # 2B 3 H W, frame 0's first
    pair: Tensor  # B 6 H W: both beside each other
    shrinks: list[float]  # how many times smaller than the frames each flow block works
    images: list[Tensor]  # for each flow block B 6 h w: `pair` at its size
    context: list[Tensor]  # four levels, fine to coarse, 2B C h w, as `frames`


class RIFE(Architecture):
    """RIFE for the frame in the middle; `time` is not read.

    Args:
        widths: channels of the flow blocks, coarse to fine; the teacher has the last.
        stride: of the first convolutions: 2, or 1 for twice the working resolution.
        teacher: build the privileged teacher, which is used when `target` is given. A network that is not
            trained can do without; `load_published` takes both kinds of checkpoint into both.

    The prediction's `merged`, `flow0`, `flow1` and `mask` have three full-size entries, one per flow block.
    Its `teacher` has the teacher's one of each, and the teacher's blend as `frame`.
    """

    family = "rife"
    size_multiple = 32
    full_size_multiple = 32
    min_size = 32
    channel_order = "bgr"
    faster_channels_last = True
    checkpointed = ("block*", "contextnet.*", "unet.*")
    index_channels: ClassVar[int] = 0  # channels beside the frames that hold the time

    def __init__(self, widths: tuple[int, int, int] = (240, 150, 90), stride: int = 2, teacher: bool = True) -> None:
        super().__init__()
        if stride not in (1, 2):
            raise UserError(f"RIFE takes stride 2, or 1 for twice the working resolution; got {stride}")
        frames = 6 + self.index_channels
        refining = frames + 6 + 1 + 4  # warped frames, mask logit, flow
        self.block0 = FlowBlock(frames, widths[0], stride)
        self.block1 = FlowBlock(refining, widths[1], stride)
        self.block2 = FlowBlock(refining, widths[2], stride)
        self.block_tea = FlowBlock(refining + 3, widths[2], stride) if teacher else None
        self.contextnet = ContextNet(stride)
        self.unet = UNet(stride)

    def check(
        self,
        frame0: Tensor,
        frame1: Tensor,
        time: float | Tensor = 0.5,
        *,
        scale: float = 1.0,
        reference: Tensor | None = None,
    ) -> None:
        """As `Architecture.check`; the U-net works at full size: `scale` above 1 allows no smaller frames."""
        super().check(frame0, frame1, time, scale=min(scale, 1.0), reference=reference)

    def encode(self, frame0: Tensor, frame1: Tensor, *, scale: float = 1.0) -> RIFEEncoding:
        """Context features of both frames, and the frames at the size of each flow block.

        `scale` divides the published list [4, 2, 1] of how much smaller the blocks work: 0.5 gives [8, 4, 2].
        The teacher always works at full size; flows stay in pixels of the full size.
        """
        frames, pair = torch.cat((frame0, frame1)), torch.cat((frame0, frame1), dim=1)
        shrinks = [shrink / scale for shrink in (4, 2, 1)]
        images = [resize(pair, 1 / shrink) for shrink in shrinks]
        return RIFEEncoding(frame0, frame1, scale, frames, pair, shrinks, images, self.contextnet(frames))

    def decode(
        self,
        encoding: Encoding,
        time: Tensor,
        *,
        target: Tensor | None = None,
        reference: Tensor | None = None,
        reference_time: Tensor | None = None,
    ) -> Prediction:
        """Predict the frame at `time`; `target` adds the teacher's prediction, if there is a teacher."""
        assert isinstance(encoding, RIFEEncoding)
        return self.predict(encoding, self.index(encoding, time), target)

    def index(self, encoding: RIFEEncoding, time: Tensor) -> list[Tensor]:
        """Inputs of the flow blocks that hold the time, each B C H W."""
        return []

    def predict(self, encoding: RIFEEncoding, index: list[Tensor], target: Tensor | None) -> Prediction:
        """One pass of the network."""
        e = encoding
        student: Stage | None = None
        stages = []
        blocks = (self.block0, self.block1, self.block2)
        for block, images, shrink in zip(blocks, e.images, e.shrinks, strict=True):
            student = block(student, e.frames, images, index, shrink)
            stages.append(student)
        last = stages[-1]
        residual = self.unet([e.pair, *last.warped.chunk(2), last.logit], e.context, last.flow)
        return Prediction(
            frame=torch.clamp(last.merged + residual, 0, 1),
            merged=[stage.merged for stage in stages],
            flow0=[stage.flow[:, :2] for stage in stages],
            flow1=[stage.flow[:, 2:] for stage in stages],
            mask=[stage.mask for stage in stages],
            residual=residual,
            teacher=self.teach(last, e, index, target),
        )

    def teach(
        self, student: Stage, encoding: RIFEEncoding, index: list[Tensor], target: Tensor | None
    ) -> Prediction | None:
        """The teacher's prediction, if there is a teacher. Its gradients also reach the student."""
        if self.block_tea is None or target is None:
            return None
        stage = self.block_tea(student, encoding.frames, encoding.pair, index, 1.0, target)
        return Prediction(
            frame=stage.merged,
            merged=[stage.merged],
            flow0=[stage.flow[:, :2]],
            flow1=[stage.flow[:, 2:]],
            mask=[stage.mask],
        )


class RIFEm(RIFE):
    """RIFE at any time, the same for all pixels: a plane beside the frames. Options as `RIFE`."""

    arbitrary_time = True
    index_channels = 1

    def index(self, encoding: RIFEEncoding, time: Tensor) -> list[Tensor]:
        """The time as a plane."""
        return [time_plane(time, encoding.frame0.shape[-2:])]


class RIFEd(RIFEm):
    """RIFE with a distance index map: 0 = still at frame 0, 1 = arrived at frame 1. Options as `RIFE`."""

    takes_time_map = True


class RIFEdr(RIFEd):
    """RIFE that starts from a reference frame with a known distance map; without one, from frame 0 at map 0.

    Options as `RIFE`.
    """

    takes_reference = True
    index_channels = 5

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
        assert isinstance(encoding, RIFEEncoding)
        image, known = known_reference(encoding.frame0, time, reference, reference_time)
        index = [time_plane(at, image.shape[-2:]) for at in (time, known)]
        return self.predict(encoding, [*index, image], target)
