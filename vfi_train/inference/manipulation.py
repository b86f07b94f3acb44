"""Manipulated interpolation: the objects of an image move by timings of their own.

A mask says where an object is in frame 0, a curve how far along its way it has got at each moment. Together they make
a time map for every frame wanted, which any network that takes maps can be asked for.

Source: the app of InterpAny-Clearer (Zhong et al., ECCV 2024).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from vfi_train.errors import UserError
from vfi_train.inference.conversion import Frame
from vfi_train.inference.interpolator import Interpolator

Array = NDArray[np.float32]
OBJECTS = (0.1, 0.9)  # the app's networks blur less where nothing is asked to stand quite still or to arrive
BLUR = {"ksize": (9, 9), "sigmaX": 1.7, "borderType": cv2.BORDER_REFLECT_101}  # as training blurs its maps


def manipulate(
    interpolate: Interpolator,
    frame0: Frame,
    frame1: Frame,
    masks: Sequence[ArrayLike],
    curves: Sequence[Sequence[float]],
    count: int,
    *,
    elsewhere: float | Sequence[float] = 0.0,
) -> list[Frame]:
    """`count` frames in which each object follows a curve of its own.

    Args:
        interpolate: with a model that `takes_time_map`; the app has one with a reference, and 3 `iterations`.
        frame0, frame1: see `Interpolator`.
        masks: where each object is in frame 0, H W each; where masks overlap, the first one counts.
        curves: for each mask, see `timing`.
        count: number of frames; the first and the last are predicted too.
        elsewhere: see `time_maps`.

    Raises:
        UserError: masks, curves and frames do not fit together, or the model takes no maps.
    """
    timings = [timing(curve, count, *OBJECTS) for curve in curves]
    maps = smooth(time_maps(masks, timings, elsewhere)).clip(0, 1)
    return interpolate(frame0, frame1, list(maps))


def compose(
    interpolate: Interpolator,
    frame0: NDArray,
    frame1: NDArray,
    masks: Sequence[ArrayLike],
    curves: Sequence[Sequence[float]],
    count: int,
    *,
    elsewhere: float | Sequence[float] = 0.0,
    steps: int = 64,
) -> list[NDArray]:
    """As `manipulate`, by a network that takes one time for the whole image.

    Whole frames are made for each timing, and a frame shows of each what its mask covers, with soft edges.

    Args:
        interpolate, masks, curves, count, elsewhere: see `manipulate`.
        frame0, frame1: H W 3.
        steps: times are rounded to this part; a power of two suits networks that halve intervals.

    Raises:
        UserError: masks, curves and frames do not fit together.
    """
    shares = smooth(time_maps(masks, list(np.eye(len(masks))), 0.0))
    shares = np.concatenate([shares, 1 - shares.sum(0, keepdims=True)])[..., None]
    timings = [*(timing(curve, count) for curve in curves), np.broadcast_to(np.asarray(elsewhere, np.float32), count)]
    ticks = np.rint(np.clip(timings, 0, 1) * steps).astype(int)
    between = sorted(set(ticks.flat) - {0, steps})
    made = interpolate(frame0, frame1, [tick / steps for tick in between]) if between else []
    whole = {0: frame0, steps: frame1, **dict(zip(between, made, strict=True))}
    frames = [np.sum([share * whole[k] for share, k in zip(shares, at, strict=True)], axis=0) for at in ticks.T]
    if np.issubdtype(frame0.dtype, np.integer):
        frames = [np.rint(frame) for frame in frames]
    return [frame.astype(frame0.dtype) for frame in frames]


def retime(interpolate: Interpolator, frame0: Frame, frame1: Frame, curve: Sequence[float], count: int) -> list[Frame]:
    """`count` frames of the whole image by one curve; frame 0 and frame 1 are the first and the last.

    Frames are made from the middle outwards, each between the nearest ones that there are by then (see `anchors`).

    Args:
        interpolate, frame0, frame1, count: see `manipulate`; a model for arbitrary times suffices.
        curve: see `timing`.
    """
    position = timing(curve, count)
    frames = {0: frame0, count - 1: frame1} if count > 1 else {0: frame0}
    for index, left, right in anchors(count):
        way = position[right] - position[left]
        # Between anchors at one place there is nowhere to go.
        time = float(np.clip((position[index] - position[left]) / way, 0, 1)) if way else 0.0
        if 0 < time < 1:
            frames[index] = interpolate(frames[left], frames[right], time)
        else:
            frames[index] = frames[right if time else left]
    return [frames[index] for index in range(count)]


def timing(curve: Sequence[float], count: int, low: float = 0.0, high: float = 1.0) -> Array:
    """How far along its way something is in each of `count` frames.

    Args:
        curve: heights at two or more moments, evenly spaced from the first to the last frame; 0 = at frame 0,
            1 = at frame 1. A spline goes through them: cubic from four on (not-a-knot), it may overshoot.
        count: number of frames.
        low, high: what heights 0 and 1 are mapped to.
    """
    from scipy.interpolate import make_interp_spline  # takes half a second to import

    if len(curve) < 2 or count < 1:
        raise UserError(
            f"a curve has two heights or more, for one frame or more; got {len(curve)} heights for {count} frames"
        )
    heights = low + (high - low) * np.asarray(curve, np.float64)
    spline = make_interp_spline(np.linspace(0, 1, len(curve)), heights, k=min(3, len(curve) - 1))
    return spline(np.linspace(0, 1, count)).astype(np.float32)


def time_maps(
    masks: Sequence[ArrayLike], timings: Sequence[ArrayLike], elsewhere: float | Sequence[float] = 0.0
) -> Array:
    """A time map for each frame: N H W.

    Args:
        masks: M masks H W; where they overlap, the first one counts.
        timings: for each mask, N values (see `timing`).
        elsewhere: what pixels in no mask get, one value or N. 0 shows frame 0 there in all frames, as in the app;
            `timing([0, 1], N)` lets everything else move on evenly.

    Raises:
        UserError: not as many timings as masks, or of different sizes.
    """
    if not len(masks) == len(timings) > 0:
        raise UserError(f"every mask has a timing; got {len(masks)} masks and {len(timings)} timings")
    shapes = {np.shape(mask) for mask in masks}
    lengths = {np.shape(times) for times in timings}
    if len(shapes) > 1 or len(lengths) > 1 or {len(shape) for shape in shapes} != {2}:
        raise UserError(f"masks are H W of one size, timings equally long; got {sorted(shapes)}, {sorted(lengths)}")
    (size,), (length,) = shapes, lengths
    maps = np.empty((*length, *size), np.float32)
    maps[:] = np.asarray(elsewhere, np.float32).reshape(-1, 1, 1)
    for mask, times in zip(reversed(masks), reversed(timings), strict=True):
        maps[:, np.asarray(mask, bool)] = np.asarray(times, np.float32)[:, None]
    return maps


def smooth(maps: Array) -> Array:
    """Maps N H W with soft edges (the app's blur, whose width is drawn anew for every map, with a fixed width)."""
    options: dict[str, Any] = BLUR
    return np.stack([cv2.GaussianBlur(plane, **options) for plane in maps])


def masked_average(distance: ArrayLike, masks: Sequence[ArrayLike]) -> Array:
    """A map H W that is flat within each mask.

    A pixel gets the mean of the map over its mask; in several masks, the mean of their means; in none, the mean over
    all pixels in none.

    Source: the option `use_mask` of InterpAny-Clearer's datasets.
    """
    plane = np.asarray(distance, np.float32)
    regions = [np.asarray(mask, bool) for mask in masks]
    regions.append(~np.any(regions, axis=0) if regions else np.ones(plane.shape, bool))
    total, times = np.zeros_like(plane), np.zeros_like(plane)
    for region in regions:
        if region.any():
            total[region] += plane[region].mean()
            times[region] += 1
    return total / times


def anchors(count: int) -> list[tuple[int, int, int]]:
    """Which of `count` frames are made between which others: (index, left, right), in the order of making.

    The first and the last are there; the middle one, or two, are made between them, then each half likewise.
    """
    return _between(0, count - 1)


def _between(left: int, right: int) -> list[tuple[int, int, int]]:
    half = (right - left) // 2
    if half < 1:
        return []
    first, second = left + half, right - half
    made = [(index, left, right) for index in sorted({first, second})]
    return made + _between(left, first) + _between(second, right)
