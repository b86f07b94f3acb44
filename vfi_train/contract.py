"""What all parts of the program share: the batch of data and the prediction of networks.

Conventions: B = batch, H, W = rows, columns; colours are RGB, float32 in [0, 1]; flows are in pixels of the
map that holds them, channel 0 = x (to the right), channel 1 = y (downwards). There are two kinds: `flow0` and
`flow1` belong to the pixels of the target and point from its time to an input frame, so that `warp(frame0, flow0)`
resembles the target; `forward_flow0` and `forward_flow1` belong to the pixels of an input frame and point to the
other input, so that `splat(frame0, time * forward_flow0)` resembles the target.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TypedDict

from torch import Tensor

from vfi_train.errors import UserError

FLOW_KINDS = {
    "flow0": "flow from the target time to frame0",
    "flow1": "flow from the target time to frame1",
    "forward_flow0": "flow from frame0 to frame1",
    "forward_flow1": "flow from frame1 to frame0",
    "flow": "labels: flow from the target time to frame0, then to frame1",  # of a batch
}
CONTEXT = ("before", "after")  # the frames at the times -1 and 2; where a clip ends, the nearest frame again
FRAMES = ("frame0", "frame1", "target", "reference", *CONTEXT)  # entries of a batch that are frames
TIMES = ("time", "reference_time")


class Batch(TypedDict, total=False):
    """One batch of training or validation samples. Optional keys are absent, never None."""

    frame0: Tensor  # B 3 H W
    frame1: Tensor  # B 3 H W
    target: Tensor  # B 3 H W, the true frame at `time`
    time: Tensor  # B 1 1 1 (one time for all pixels) or B 1 H W (a distance index map), 0..1
    flow: Tensor  # optional, B 4 H W: pseudo labels, target to frame0 then target to frame1
    reference: Tensor  # optional, B 3 H W: another known frame (the [R] variants)
    reference_time: Tensor  # optional, B 1 H W: its distance map
    before: Tensor  # optional, B 3 H W: the frame at time -1, as far before frame0 as frame1 is after it
    after: Tensor  # optional, B 3 H W: the frame at time 2
    key: list[str]  # which samples these are


@dataclass
class Prediction:
    """The result of an architecture. Lists run from coarse to fine; what a network does not have is None."""

    frame: Tensor  # B 3 H W, the predicted frame
    merged: list[Tensor] | None = None  # B 3 h w: warped frames blended, before any residual
    flow0: list[Tensor] | None = None  # B 2 h w (AMT's many fields: B N 2 h w), target time to frame0
    flow1: list[Tensor] | None = None  # the same to frame1
    forward_flow0: list[Tensor] | None = None  # B 2 h w, frame0 to frame1 over the full interval (networks that splat)
    forward_flow1: list[Tensor] | None = None  # B 2 h w, frame1 to frame0
    warped0: list[Tensor] | None = None  # B 3 h w, frame0 warped to the target time
    warped1: list[Tensor] | None = None  # the same of frame1
    mask: list[Tensor] | None = None  # B 1 h w, after the sigmoid: the weight of frame0
    residual: Tensor | None = None  # B 3 H W: what is added to the blend
    features: list[Tensor] | None = None  # decoder features of the target time
    target_features: list[Tensor] | None = None  # the encoder's features of the true frame (needs `target`)
    teacher: Prediction | None = None  # of a privileged network (needs `target`)

    def require(self, name: str, *, reader: str) -> Tensor | list[Tensor] | Prediction:
        """The field `name`.

        Args:
            name: of a field.
            reader: what reads it, for the message.

        Raises:
            UserError: this prediction does not have it.
        """
        value = getattr(self, name)
        if value is None:
            present = ", ".join(f.name for f in fields(self) if getattr(self, f.name) is not None)
            kind = f" ({FLOW_KINDS[name]})" if name in FLOW_KINDS else ""
            raise UserError(
                f"{reader} reads prediction.{name}{kind}, which this architecture does not give "
                f"(it gives {present}): take the term out of the loss, or choose another architecture"
            )
        return value
