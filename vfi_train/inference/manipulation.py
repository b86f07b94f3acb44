"""Manipulated interpolation: each object of an image moves by its own timing.

A mask says where an object is in frame 0, a curve how far along its path it is in each frame. Together they make a time
map for every frame, for networks that take maps.

Source: the app of InterpAny-Clearer (Zhong et al., ECCV 2024).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from vfi_train.errors import UserError
from vfi_train.inference.conversion import Frame
from vfi_train.inference.interpolator import Interpolator

Array = NDArray[np.float32]
OBJECTS = (0.1, 0.9)  # times of objects: the app's networks blur less away from 0 and 1
BLUR = {"ksize": (9, 9), "sigmaX": 1.7, "borderType": cv2.BORDER_REFLECT_101}  # as training blurs its maps


def manipulate(
    interpolate: Interpolator | Callable[..., list[Frame]],
    frame0: Frame,
    frame1: Frame,
    masks: Sequence[ArrayLike],
    curves: Sequence[Sequence[float]],
    frames: int | Sequence[float],
    *,
    elsewhere: float | Sequence[float] = 0.0,
) -> list[Frame]:
    """Frames in which each object follows its own curve.

    Args:
        interpolate: with a model that `takes_time_map`; the app uses one with a reference, and 3 `iterations`. Or
            whatever gives the frames between two at a list of times.
        frame0, frame1: see `Interpolator`.
        masks: where each object is in frame 0, H W each; the first of overlapping masks counts.
        curves: for each mask, see `timing`.
        frames: see `timing`; the first and the last are predicted too.
        elsewhere: see `time_maps`.

    Raises:
        UserError: masks, curves and frames do not match, or the model takes no maps.
    """
    timings = [timing(curve, frames, *OBJECTS) for curve in curves]
    maps = smooth(time_maps(masks, timings, elsewhere)).clip(0, 1)
    return interpolate(frame0, frame1, list(maps))


def compose(
    interpolate: Interpolator | Callable[..., list[NDArray]],
    frame0: NDArray,
    frame1: NDArray,
    masks: Sequence[ArrayLike],
    curves: Sequence[Sequence[float]],
    frames: int | Sequence[float],
    *,
    elsewhere: float | Sequence[float] = 0.0,
    steps: int = 64,
) -> list[NDArray]:
    """As `manipulate`, by a network that takes one time for the whole image.

    A frame is predicted for each timing; the result shows of each what its mask covers, with soft edges.

    Args:
        interpolate, masks, curves, frames, elsewhere: see `manipulate`.
        frame0, frame1: H W 3.
        steps: times are rounded to k / steps; a power of two suits `recursive` networks.

    Raises:
        UserError: masks, curves and frames do not match.
    """
    weights = smooth(time_maps(masks, list(np.eye(len(masks))), 0.0))
    weights = np.concatenate([weights, 1 - weights.sum(0, keepdims=True)])[..., None]
    timings = [timing(curve, frames) for curve in curves]
    timings.append(np.broadcast_to(np.asarray(elsewhere, np.float32), timings[0].shape))
    ticks = np.rint(np.clip(timings, 0, 1) * steps).astype(int)
    between = sorted(set(ticks.flat) - {0, steps})
    predicted = interpolate(frame0, frame1, [tick / steps for tick in between]) if between else []
    complete = {0: frame0, steps: frame1, **dict(zip(between, predicted, strict=True))}
    composed = [np.sum([w * complete[k] for w, k in zip(weights, at, strict=True)], axis=0) for at in ticks.T]
    if np.issubdtype(frame0.dtype, np.integer):
        composed = [np.rint(image) for image in composed]
    return [image.astype(frame0.dtype) for image in composed]


def retime(interpolate: Interpolator, frame0: Frame, frame1: Frame, curve: Sequence[float], count: int) -> list[Frame]:
    """`count` frames in which the complete image follows one curve; frame 0 and frame 1 are the first and the last.

    Frames are predicted from the middle outwards, each between its nearest known ones (see `anchors`).

    Args:
        interpolate, frame0, frame1: see `manipulate`; a model for arbitrary times.
        curve: see `timing`.
    """
    position = timing(curve, count)
    frames = {0: frame0, count - 1: frame1} if count > 1 else {0: frame0}
    for index, left, right in anchors(count):
        distance = position[right] - position[left]
        time = float(np.clip((position[index] - position[left]) / distance, 0, 1)) if distance else 0.0
        if 0 < time < 1:
            frames[index] = interpolate(frames[left], frames[right], time)
        else:
            frames[index] = frames[right if time else left]
    return [frames[index] for index in range(count)]


def timing(curve: Sequence[float], frames: int | Sequence[float], low: float = 0.0, high: float = 1.0) -> Array:
    """How far along its path an object is in each frame.

    Args:
        curve: two or more heights, evenly spaced from the first to the last frame; 0 = at frame 0, 1 = at frame 1.
            They are interpolated by a spline: cubic from four on (not-a-knot), it may overshoot.
        frames: their number, evenly spaced with the first and the last, or the times (0..1) of one or more.
        low, high: times of the heights 0 and 1.
    """
    from scipy.interpolate import make_interp_spline  # takes half a second to import

    at = np.linspace(0, 1, frames) if isinstance(frames, int) else np.asarray(frames, np.float64)
    if len(curve) < 2 or not at.size:
        raise UserError(
            f"a curve has two heights or more, for one frame or more; got {len(curve)} heights for {at.size} frames"
        )
    heights = low + (high - low) * np.asarray(curve, np.float64)
    spline = make_interp_spline(np.linspace(0, 1, len(curve)), heights, k=min(3, len(curve) - 1))
    return spline(at).astype(np.float32)


def time_maps(
    masks: Sequence[ArrayLike], timings: Sequence[ArrayLike], elsewhere: float | Sequence[float] = 0.0
) -> Array:
    """A time map for each frame: N H W.

    Args:
        masks: M masks H W; the first of overlapping masks counts.
        timings: for each mask, N values (see `timing`).
        elsewhere: the time of pixels in no mask, one value or N. 0 shows frame 0 there in all frames, as in the app;
            `timing([0, 1], N)` is even motion.

    Raises:
        UserError: numbers or sizes of masks and timings differ.
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
    """Maps N H W with soft edges (the app's blur, with a fixed width instead of a random one)."""
    options: dict[str, Any] = BLUR
    return np.stack([cv2.GaussianBlur(plane, **options) for plane in maps])


def masked_average(distance: ArrayLike, masks: Sequence[ArrayLike]) -> Array:
    """A map H W that is constant within each mask.

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
    """Which of `count` frames are predicted between which others: (index, left, right), in the order of computation.

    The first and the last are known; the middle one, or two, are predicted between them, then each half likewise.
    """
    return _between(0, count - 1)


def _between(left: int, right: int) -> list[tuple[int, int, int]]:
    half = (right - left) // 2
    if half < 1:
        return []
    first, second = left + half, right - half
    middle = [(index, left, right) for index in sorted({first, second})]
    return middle + _between(left, first) + _between(second, right)
