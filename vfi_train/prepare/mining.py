"""Clips of a few frames out of long videos: without cuts and static frames, with motion of a given size.

Source: Vimeo90K (Xue et al., IJCV 2019), whose triplets were chosen so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from datamodules.file_dataset import evenly_spaced
from datamodules.storage.frame_cache import Frames
from datamodules.video import even, usable
from vfi_train.metrics.motion import dis_flow

MAX_SIDE = 512  # pixels of the frames in which motion is measured
FASTEST = 95  # percentile of the image's pixels


@dataclass(frozen=True)
class MiningRules:
    """Which excerpts to take.

    Args:
        count: frames of an excerpt, 3 or more.
        gap: from one frame of an excerpt to the next.
        cut, static: thresholds, see `datamodules.video.Video`.
        motion: the least and the most, in pixels.
        per_video: excerpts of a video, evenly spaced; None: all.
    """

    count: int
    gap: int
    cut: float
    static: float
    motion: tuple[float, float]
    per_video: int | None = None


@dataclass(frozen=True)
class Excerpt:
    """Some frames of a video.

    Args:
        video: its name.
        numbers: of the frames in it.
        motion: from the first to the last frame, in pixels, of the fastest 5 % of the image.
        mean_motion: of the complete image.
    """

    video: str
    numbers: tuple[int, ...]
    motion: float
    mean_motion: float


@dataclass(frozen=True)
class MiningResult:
    """What a video gives.

    Args:
        excerpts: to take.
        frames: of the video.
        uneven: triplets that are left out, since their frames are not evenly spaced in time.
        candidates: excerpts without cuts and static frames that share no frame.
        slow, fast: how many of them move too little, and too much.
    """

    excerpts: list[Excerpt]
    frames: int
    uneven: int
    candidates: int
    slow: int
    fast: int


def mine(frames: Frames, rules: MiningRules) -> MiningResult:
    """The excerpts of a video."""
    found = usable(frames, rules.gap, rules.cut, rules.static)
    triplets = even(frames, found, rules.gap)
    starts = disjoint_starts(triplets, rules.count, rules.gap)
    candidates = [measure(frames, start, rules.count, rules.gap) for start in starts]
    least, most = rules.motion
    kept = [found for found in candidates if least <= found.motion <= most]
    slow = sum(found.motion < least for found in candidates)
    fast = sum(found.motion > most for found in candidates)
    taken = list(evenly_spaced(kept, rules.per_video))
    return MiningResult(taken, len(frames), len(found) - len(triplets), len(candidates), slow, fast)


def disjoint_starts(triplets: Sequence[int], count: int, gap: int) -> list[int]:
    """First frames of excerpts that share no frame, out of the first frames of usable triplets."""
    good = set(triplets)
    starts: list[int] = []
    for start in triplets:
        follows = not starts or start > starts[-1] + (count - 1) * gap
        if follows and all(start + k * gap in good for k in range(count - 2)):
            starts.append(start)
    return starts


def measure(frames: Frames, start: int, count: int, gap: int) -> Excerpt:
    """An excerpt with its motion, by OpenCV's DIS flow."""
    numbers = tuple(range(start, start + count * gap, gap))
    length = np.linalg.norm(dis_flow(frames[numbers[0]], frames[numbers[-1]], MAX_SIDE), axis=2)
    return Excerpt(frames.name, numbers, float(np.percentile(length, FASTEST)), float(length.mean()))
