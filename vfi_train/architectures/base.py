"""What all architectures share: how they are called, and which images they take."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, ClassVar, Literal, Self

from torch import Tensor, nn

from vfi_train.contract import Prediction
from vfi_train.errors import UserError


@dataclass
class Encoding:
    """What does not depend on time. Families extend it with their features."""

    frame0: Tensor  # B 3 H W
    frame1: Tensor  # B 3 H W
    scale: float  # the network works on frames resized by this factor

    def repeated(self, count: int) -> Self:
        """The encoding of each pair `count` times, one after another, to predict so many times at once."""
        return _repeated_fields(self, count)


class Architecture(nn.Module):
    """A video frame interpolation network: two frames and a time in, a `Prediction` out.

    A family writes `encode` and `decode`. Nothing here pads, swaps channels, or leaves the device of its
    inputs: the caller's `Interpolator` does that by the class attributes.
    """

    family: ClassVar[str]  # name maps of published weights are found by it
    size_multiple: ClassVar[int] = 1  # height and width after scaling are multiples of this
    full_size_multiple: ClassVar[int] = 1  # and before scaling, where the network also works at full size
    min_size: ClassVar[int] = 1  # smallest height and width after scaling
    channel_order: ClassVar[Literal["rgb", "bgr"]] = "rgb"  # of the published weights
    arbitrary_time: ClassVar[bool] = False  # False: trained for and called with only time 0.5
    takes_time_map: ClassVar[bool] = False  # `time` may be B 1 H W
    takes_reference: ClassVar[bool] = False  # `reference`, `reference_time` are used
    takes_context: ClassVar[bool] = False  # `before`, `after` are used, which `encode` takes by these names
    contiguous_parts: ClassVar[tuple[str, ...]] = ()  # what keeps its layout when the rest becomes channels-last
    faster_channels_last: ClassVar[bool] = False  # training on a CPU, by benchmarks/train_step.py
    checkpointed: ClassVar[tuple[str, ...]] = ("*",)  # parts that `checkpointing` computes twice
    published_tta: ClassVar[Literal["flip_hw", "flip_h"]] = "flip_hw"  # flips of its test-time augmentation

    def encode(self, frame0: Tensor, frame1: Tensor, *, scale: float = 1.0) -> Encoding:
        """Compute what is shared by all times between the two frames (B 3 H W each)."""
        raise NotImplementedError

    def adapt_to(self, height: int, width: int) -> bool:
        """Set what depends on the size of the frames, before they are padded (EBME: the levels of its pyramid).

        Returns:
            Whether it did, so that large frames need no smaller `scale`.
        """
        return False

    def decode(
        self,
        encoding: Encoding,
        time: Tensor,
        *,
        target: Tensor | None = None,
        reference: Tensor | None = None,
        reference_time: Tensor | None = None,
    ) -> Prediction:
        """Predict the frame at `time` (B 1 1 1, or B 1 H W where `takes_time_map`)."""
        raise NotImplementedError

    def forward(
        self,
        frame0: Tensor,
        frame1: Tensor,
        time: float | Tensor = 0.5,
        *,
        scale: float = 1.0,
        target: Tensor | None = None,
        reference: Tensor | None = None,
        reference_time: float | Tensor | None = None,
        before: Tensor | None = None,
        after: Tensor | None = None,
    ) -> Prediction:
        """Predict the frame at `time`.

        Args:
            frame0, frame1: B 3 H W, in `channel_order`, [0, 1]; H, W times `scale` are multiples of
                `size_multiple` and at least `min_size`.
            time: 0..1; a number, B 1 1 1, or B 1 H W where `takes_time_map`.
            scale: flow is estimated on frames resized by this factor (high resolution: 0.5, 0.25).
            target: the true frame, where training needs it inside the network.
            reference, reference_time: another known frame and its time or distance map, where `takes_reference`;
                without them, frame 0 at time 0. Several steps are the `Interpolator`'s work.
            before, after: the frames at the times -1 and 2, where `takes_context`; without them, the nearest frame.

        Raises:
            UserError: a size, time, reference or context that this architecture does not take.
        """
        self.check(frame0, frame1, time, scale=scale, reference=reference)
        encoding = self.encode(frame0, frame1, scale=scale, **self.context(frame0, before, after))
        known = None if reference_time is None else time_tensor(reference_time, frame0)
        extras = {"target": target, "reference": reference, "reference_time": known}
        return self.decode(encoding, time_tensor(time, frame0), **extras)

    def context(self, frame0: Tensor, before: Tensor | None, after: Tensor | None) -> dict[str, Any]:
        """The arguments of `encode` besides the two frames: none where the network takes only two.

        Raises:
            UserError: it takes only two and gets more, or they differ from `frame0` in shape.
        """
        name = type(self).__name__
        for frame in (before, after):
            if frame is not None and not self.takes_context:
                raise UserError(f"{name} takes two frames, none before or after them: leave `before` and `after` out")
            if frame is not None and frame.shape != frame0.shape:
                raise UserError(
                    f"{name} takes frames before and after of the two frames' shape {tuple(frame0.shape)}; got "
                    f"{tuple(frame.shape)}"
                )
        return {"before": before, "after": after} if self.takes_context else {}

    def check(
        self,
        frame0: Tensor,
        frame1: Tensor,
        time: float | Tensor = 0.5,
        *,
        scale: float = 1.0,
        reference: Tensor | None = None,
    ) -> None:
        """Raise a UserError when these inputs do not suit the network. Reads only shapes, never values on a GPU."""
        name = type(self).__name__
        if frame0.ndim != 4 or frame0.shape[1] != 3 or frame0.shape != frame1.shape:
            raise UserError(
                f"{name} takes two frames of one shape B 3 H W; got {tuple(frame0.shape)} and {tuple(frame1.shape)}"
            )
        height, width = (scaled_size(n, scale) for n in frame0.shape[-2:])
        if min(height, width) < self.min_size:
            raise UserError(f"{name} takes frames of at least {self.min_size} pixels a side; got {height}x{width}")
        if height % self.size_multiple or width % self.size_multiple:
            raise UserError(
                f"{name} takes heights and widths that are multiples of {self.size_multiple} (after scaling); "
                f"got {height}x{width}: pad the frames (Interpolator does) or change the crop"
            )
        if any(n % self.full_size_multiple for n in frame0.shape[-2:]):
            raise UserError(
                f"{name} takes heights and widths that are multiples of {self.full_size_multiple} before scaling "
                f"too; got {'x'.join(map(str, frame0.shape[-2:]))}: pad the frames (Interpolator does)"
            )
        if isinstance(time, Tensor):
            if time.ndim == 4 and time.shape[-1] > 1 and not self.takes_time_map:
                raise UserError(f"{name} takes one time per sample, not a map; got shape {tuple(time.shape)}")
            if time.ndim == 4 and time.shape[-1] > 1 and time.shape[-2:] != frame0.shape[-2:]:
                got = f"{tuple(time.shape)} for frames {tuple(frame0.shape)}"
                raise UserError(f"{name} takes time maps of the frames' height and width; got {got}")
        elif not self.arbitrary_time and time != 0.5:
            raise UserError(
                f"{name} predicts only the middle frame (time 0.5); got time {time}: Interpolator reaches k / 2^n "
                "by recursive=True"
            )
        elif not 0 <= time <= 1:
            raise UserError(f"{name} takes times from 0 to 1; got {time}")
        if reference is not None and not self.takes_reference:
            raise UserError(f"{name} takes no reference frame: choose a variant whose name ends in r")


def _repeated_fields(value: Any, count: int) -> Any:
    return replace(value, **{f.name: _repeated(getattr(value, f.name), count) for f in fields(value)})


def _repeated(value: Any, count: int) -> Any:
    if isinstance(value, Tensor):  # B, or 2B with frame 0's first: copies of a sample follow each other in both
        return value.repeat_interleave(count, dim=0)
    if isinstance(value, list):
        return [_repeated(item, count) for item in value]
    if hasattr(value, "repeated"):
        return value.repeated(count)
    return _repeated_fields(value, count) if is_dataclass(value) else value


def scaled_size(size: int, scale: float) -> int:
    """The side that `F.interpolate(scale_factor=scale)` gives: rounded down."""
    return int(size * scale)


def time_tensor(time: float | Tensor, frame: Tensor) -> Tensor:
    """`time` as a tensor B 1 1 1 or B 1 H W of the frame's device and dtype."""
    if not isinstance(time, Tensor):
        return frame.new_full((frame.shape[0], 1, 1, 1), time)
    if time.ndim < 4:
        time = time.reshape(-1, 1, 1, 1)
    time = time.to(device=frame.device, dtype=frame.dtype)
    return time.expand(frame.shape[0], *time.shape[1:]) if time.shape[0] == 1 else time


def count_parameters(model: nn.Module) -> int:
    """Number of parameters, buffers left out."""
    return sum(p.numel() for p in model.parameters())
