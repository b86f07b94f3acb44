"""Between which frames there is nothing to compute: cuts, and pairs where nothing moves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from datamodules.storage import scene_cuts as cuts
from vfi_train.interpolate.frame_times import Moment, Plan
from vfi_train.interpolate.media import Frame, ImageArray

BLOCK = 16  # pixels a side, over which a pair is looked at for stillness

Kind = Literal["moving", "still", "cut", "given"]


@dataclass
class Pair:
    """Two frames that follow each other and the moments wanted between them. Moments at frame0 itself are among them.

    `kind`: "moving" is computed; "cut" and "still" repeat frame0; "given" wants no frame but frame0 and frame1.
    """

    frame0: Frame
    frame1: Frame
    moments: list[Moment]
    kind: Kind

    def inner(self) -> list[Moment]:
        """Moments that are neither frame0 nor frame1."""
        return [moment for moment in self.moments if 0 < moment.time < 1]


class Judge:
    """Says of what kind a pair is.

    Args:
        cut: change in grey levels (of 255), unexplained by motion, above which a pair is a cut; None: none is.
        still: a pair in which no block of 16x16 pixels changes by more grey levels than this, on average over its
            pixels and in its strongest colour, is still; None: none is.
    """

    def __init__(self, cut: float | None, still: float | None) -> None:
        self.cut, self.still = cut, still
        self._last: tuple[Frame, cuts.Small] | None = None

    def kind(self, frame0: Frame, frame1: Frame) -> Kind:
        """What lies between two frames: motion, a cut, or nothing."""
        if self.still is not None and largest_change(frame0.image, frame1.image) <= self.still:
            return "still"
        if self.cut is not None:
            before = self._last[1] if self._last and self._last[0] is frame0 else _small(frame0.image)
            after = _small(frame1.image)
            self._last = (frame1, after)
            if cuts.unexplained(before, after) > self.cut:
                return "cut"
        return "moving"


def pairs(frames: Iterable[Frame], plan: Plan, judge: Judge) -> Iterator[Pair | Frame]:
    """All pairs of neighbours, and after them the last frame alone."""
    last: Frame | None = None
    for frame in frames:
        if last is not None:
            moments = plan.between(last, frame)
            wanted = any(0 < moment.time < 1 for moment in moments)
            yield Pair(last, frame, moments, judge.kind(last, frame) if wanted else "given")
        last = frame
    if last is not None:
        yield last


def moving(frames: Iterable[Frame]) -> Iterator[Frame]:
    """The frames without those that repeat the one before, as in animation drawn at half the rate; the last stays."""
    shown: Frame | None = None
    repeated: Frame | None = None
    for frame in frames:
        if shown is not None and np.array_equal(frame.image, shown.image):
            repeated = frame
            continue
        yield frame
        shown, repeated = frame, None
    if repeated is not None:
        yield repeated


def largest_change(first: ImageArray, second: ImageArray) -> float:
    """The mean absolute difference of the 16x16 block that changes most, in grey levels of 255."""
    height, width = first.shape[:2]
    blocks = (max(1, width // BLOCK), max(1, height // BLOCK))
    means = cv2.resize(cv2.absdiff(first, second), blocks, interpolation=cv2.INTER_AREA)
    return float(means.max()) / (1 if first.dtype == np.uint8 else 257)


def _small(image: ImageArray) -> cuts.Small:
    return cuts.small(image if image.dtype == np.uint8 else (image >> 8).astype(np.uint8))  # type: ignore[arg-type]
