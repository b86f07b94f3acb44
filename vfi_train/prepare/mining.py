"""Clips of a few frames out of long videos: without cuts and standing images, with motion of a wanted size.

Source: Vimeo90K (Xue et al., IJCV 2019), whose triplets were chosen so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from datamodules.storage.frame_cache import Frames
from datamodules.video import usable

LONGER_SIDE = 512  # pixels at which motion is measured
FASTEST = 95  # percentile of the image's pixels


@dataclass(frozen=True)
class Excerpt:
    """Some frames of a video.

    Args:
        video: its name.
        numbers: of the frames in it.
        motion: from the first to the last frame, in pixels, of the fastest 5 % of the image.
        mean_motion: of the whole image.
    """

    video: str
    numbers: tuple[int, ...]
    motion: float
    mean_motion: float


@dataclass(frozen=True)
class Found:
    """What a video gives.

    Args:
        excerpts: those to take.
        frames: that it has.
        candidates: excerpts without cuts and standing images that share no frame.
        slow, fast: how many of them move too little, and too much.
    """

    excerpts: list[Excerpt]
    frames: int
    candidates: int
    slow: int
    fast: int


def mine(
    frames: Frames, count: int, gap: int, cut: float, still: float, motion: tuple[float, float], most: int | None
) -> Found:
    """The excerpts of a video.

    Args:
        frames: of the video.
        count: frames of an excerpt, 3 or more.
        gap: from one frame of an excerpt to the next.
        cut, still: see `datamodules.video.Video`.
        motion: the least and the most, in pixels.
        most: excerpts, evenly spread; None: all.
    """
    candidates = [measured(frames, start, count, gap) for start in apart(usable(frames, gap, cut, still), count, gap)]
    least, largest = motion
    kept = [found for found in candidates if least <= found.motion <= largest]
    slow = sum(found.motion < least for found in candidates)
    fast = sum(found.motion > largest for found in candidates)
    if most is not None and most < len(kept):
        kept = [kept[i] for i in np.linspace(0, len(kept) - 1, most).round().astype(int)]
    return Found(kept, len(frames), len(candidates), slow, fast)


def apart(triplets: Sequence[int], count: int, gap: int) -> list[int]:
    """First frames of excerpts that share no frame, out of the first frames of usable triplets."""
    good = set(triplets)
    starts: list[int] = []
    for start in triplets:
        follows = not starts or start > starts[-1] + (count - 1) * gap
        if follows and all(start + k * gap in good for k in range(count - 2)):
            starts.append(start)
    return starts


def measured(frames: Frames, start: int, count: int, gap: int) -> Excerpt:
    """An excerpt with its motion, by OpenCV's DIS flow."""
    numbers = tuple(range(start, start + count * gap, gap))
    height, width = frames.shape[1:3]
    scale = min(1.0, LONGER_SIDE / max(height, width))
    size = max(32, round(width * scale)), max(32, round(height * scale))
    small = [cv2.resize(frames[number], size, interpolation=cv2.INTER_AREA) for number in (numbers[0], numbers[-1])]
    first, last = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in small)
    estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow = estimator.calc(first, last, None)  # type: ignore[call-overload]
    length = np.linalg.norm(flow * (width / size[0], height / size[1]), axis=2)
    return Excerpt(frames.name, numbers, float(np.percentile(length, FASTEST)), float(length.mean()))
