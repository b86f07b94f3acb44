"""Pairs of neighbouring frames, and which of them need no prediction: cuts, and pairs without motion."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

import cv2
import numpy as np

from datamodules.storage import scene_cuts
from datamodules.storage.image_io import SCALES, ImageArray, flatten, has_alpha, to_bits
from datamodules.storage.media import Frame
from vfi_train.interpolate.frame_times import Plan, PlannedFrame

BLOCK = 16  # pixels a side, over which change is averaged

Kind = Literal["moving", "static", "cut", "known"]


@dataclass
class Pair:
    """Two consecutive frames, and the frames planned from frame0 on and before the next pair.

    `kind`: "moving" is predicted; "cut" and "static" repeat frame0; "known": only frame0 and frame1 are planned.
    `before` and `after` are those of `with_context`.
    """

    frame0: Frame
    frame1: Frame
    planned: list[PlannedFrame]
    kind: Kind
    before: Frame | None = None
    after: Frame | None = None

    def inner_times(self) -> list[Fraction]:
        """Times of the planned frames that are neither frame0 nor frame1."""
        return [planned.time for planned in self.planned if 0 < planned.time < 1]


class PairClassifier:
    """Finds cuts and static pairs.

    Args:
        cut_threshold: change in grey levels (of 255), unexplained by motion, above which a pair is a cut; None: no
            pair is.
        static_threshold: a pair in which no block of 16x16 pixels changes by more grey levels than this, on average
            over its pixels and in its strongest colour, is static; None: no pair is.
    """

    def __init__(self, cut_threshold: float | None, static_threshold: float | None) -> None:
        self.cut_threshold, self.static_threshold = cut_threshold, static_threshold
        self._last: tuple[Frame, scene_cuts.Small] | None = None

    def classify(self, frame0: Frame, frame1: Frame) -> Kind:
        """Whether there is motion, a cut, or no change between two frames."""
        if self.static_threshold is not None and largest_change(frame0.image, frame1.image) <= self.static_threshold:
            return "static"
        if self.cut_threshold is not None:
            before = self._last[1] if self._last and self._last[0] is frame0 else _small(frame0.image)
            after = _small(frame1.image)
            self._last = (frame1, after)
            if scene_cuts.unexplained(before, after) > self.cut_threshold:
                return "cut"
        return "moving"


def pairs(frames: Iterable[Frame], plan: Plan, classifier: PairClassifier) -> Iterator[Pair | Frame]:
    """All pairs of neighbours, then the last frame."""
    last: Frame | None = None
    for frame in frames:
        if last is not None:
            pair = Pair(last, frame, plan.between(last, frame), "known")
            if pair.inner_times():
                pair.kind = classifier.classify(last, frame)
            yield pair
        last = frame
    if last is not None:
        yield last


def with_context(items: Iterable[Pair | Frame], classifier: PairClassifier) -> Iterator[Pair | Frame]:
    """The items of `pairs`, each pair with the frames before and after it; at ends and cuts its own frames again."""
    last: Pair | None = None
    last_is_cut = True
    for item in items:
        if not isinstance(item, Pair):
            if last is not None:
                yield replace(last, after=last.frame1)
            yield item
            return
        is_cut = _is_cut(item, classifier)
        if last is not None:
            yield replace(last, after=last.frame1 if is_cut else item.frame1)
        last = replace(item, before=item.frame0 if last is None or last_is_cut else last.frame0)
        last_is_cut = is_cut


def without_repeats(frames: Iterable[Frame]) -> Iterator[Frame]:
    """The frames without those that equal the one before (animation drawn at half the rate); the last frame stays."""
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
    changes = [cv2.absdiff(flatten(first), flatten(second))]
    if has_alpha(first):
        changes.append(cv2.absdiff(first[..., 3], second[..., 3]))
    means = [cv2.resize(change, blocks, interpolation=cv2.INTER_AREA).max() for change in changes]
    return float(max(means)) * 255 / SCALES[first.dtype]


def _is_cut(pair: Pair, classifier: PairClassifier) -> bool:
    kind = classifier.classify(pair.frame0, pair.frame1) if pair.kind == "known" else pair.kind
    return kind == "cut"


def _small(image: ImageArray) -> scene_cuts.Small:
    return scene_cuts.small(to_bits(flatten(image), 8))
