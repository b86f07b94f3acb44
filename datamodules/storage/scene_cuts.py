"""Scene cuts and static frames, found on small grey images.

Only hard cuts are found: a dissolve looks like motion that is explained well enough.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

HEIGHT, WIDTH = 36, 64  # of the small images
MIN_CHANGE = 8.0  # grey levels, below which there is no cut
MIN_OVERLAP = 0.4  # of the image after a shift

Small = NDArray[np.uint8]


def small(frame: NDArray[np.uint8]) -> Small:
    """A frame (H W 3, RGB) as a grey image of 36x64."""
    return cv2.cvtColor(cv2.resize(frame, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)  # type: ignore[return-value]


def change(first: Small, second: Small) -> float:
    """Mean absolute difference, in grey levels of 255."""
    return float(np.abs(first.astype(np.float32) - second).mean())


def unexplained(first: Small, second: Small) -> float:
    """The change that neither a global shift nor local motion explains, in grey levels.

    A pan, even a fast one, is a shift; a passing car is local motion; a cut is neither. Hard cuts leave 25 levels
    and more, everything else up to some 10. A small `change` is returned as it is.
    """
    total = change(first, second)
    if total <= MIN_CHANGE:
        return total
    return min(_after_shift(first, second), _after_flow(first, second))


def _after_shift(first: Small, second: Small) -> float:
    """The least difference over shifts by up to half an image, where the two overlap."""
    best = np.inf
    for dy in range(-HEIGHT // 2, HEIGHT // 2 + 1, 2):
        for dx in range(-WIDTH // 2, WIDTH // 2 + 1, 2):
            if (HEIGHT - abs(dy)) * (WIDTH - abs(dx)) >= MIN_OVERLAP * HEIGHT * WIDTH:
                moved = first[max(0, dy) : HEIGHT + min(0, dy), max(0, dx) : WIDTH + min(0, dx)]
                fixed = second[max(0, -dy) : HEIGHT - max(0, dy), max(0, -dx) : WIDTH - max(0, dx)]
                best = min(best, cv2.norm(moved, fixed, cv2.NORM_L1) / moved.size)
    return best


def _after_flow(first: Small, second: Small) -> float:
    """The difference after warping by a dense flow."""
    size = (2 * WIDTH, 2 * HEIGHT)  # the flow estimator takes no smaller images
    first, second = cv2.resize(first, size), cv2.resize(second, size)  # type: ignore[assignment]
    estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow = estimator.calc(second, first, None)  # type: ignore[call-overload]
    y, x = np.mgrid[: size[1], : size[0]].astype(np.float32)
    x, y = x + flow[..., 0], y + flow[..., 1]
    warped = cv2.remap(first, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return change(warped, second)  # type: ignore[arg-type]
