"""Nested interpolation: rounds that insert frames between neighbours, each on the frames of the round before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from vfi_train.errors import UserError

Frame = TypeVar("Frame")
Interpolate = Callable[[Frame, Frame, list[float]], Iterable[Frame]]


def insert_frames(interpolate: Interpolate[Frame], frames: Iterable[Frame], insert: Sequence[int]) -> Iterator[Frame]:
    """The frames with others between them, in the order of time.

    Each round inserts `insert[round]` frames between all neighbours, at the times i / (insert[round] + 1); for the next
    round they are neighbours too: [1, 1, 1] makes 9 frames of 2, [5, 5] makes 37.

    Args:
        interpolate: an `Interpolator`, or another function that gives the frames between two at a list of times. Where
            frames are uint8, the next round works on rounded frames, as published (where they are truncated).
        frames: images of one size, yielded unchanged. They are read when they are needed, for example from a video.
        insert: how many frames to insert between two neighbours, a number for each round.

    Yields:
        One frame after another; each round holds one pair and the frames between.

    Raises:
        UserError: `insert` holds something other than integers from 1.

    Source: `--num` of InterpAny-Clearer's inference scripts (Zhong et al., ECCV 2024).
    """
    if any(not isinstance(count, int) or count < 1 for count in insert):
        raise UserError(
            f"insert lists whole numbers from 1, how many frames to insert between two in each round; got {insert}"
        )
    result: Iterable[Frame] = frames
    for count in insert:
        result = _round(interpolate, result, [i / (count + 1) for i in range(1, count + 1)])
    return iter(result)


def _round(interpolate: Interpolate[Frame], frames: Iterable[Frame], times: list[float]) -> Iterator[Frame]:
    last = None
    for frame in frames:
        if last is not None:
            yield from interpolate(last, frame, times)
        yield frame
        last = frame
