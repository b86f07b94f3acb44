"""Sampling of Common Objects in 3D (Reizenstein et al., ICCV 2021): views around an object taken for a video.

Source: frame-interpolation-VLR, EMA-VFI tuned to densify an object's views. An object's pictures, in the natural
order of their names, fall into packs of neighbours; a pack gives one training sample.
"""

from __future__ import annotations

import numpy as np

Triplet = tuple[int, int, int]  # positions of frame0, target and frame1


def packs(pictures: int, wanted: int = 18, *, drop_last_exact: bool = False) -> list[range]:
    """An object's packs: neighbouring pictures, floor(pictures / wanted) each; a rest shorter than that is left out.

    Args:
        pictures: how many the object has.
        wanted: packs per object, about: short packs may give more.
        drop_last_exact: leave out a last pack that ends with the last picture, as published.

    Returns:
        Positions; none where a pack would be a single picture.

    Raises:
        ValueError: wanted is not positive.
    """
    if wanted < 1:
        raise ValueError(f"an object is cut into one pack or more; got wanted={wanted}")
    size = pictures // wanted
    if size < 2:
        return []
    end = pictures - size + (0 if drop_last_exact else 1)
    return [range(start, start + size) for start in range(0, end, size)]


def random_triplet(size: int, rng: np.random.Generator) -> Triplet:
    """Three different positions in a pack of this size, in order, all triplets alike ("multi" in the source)."""
    _check(size)
    first, second, third = sorted(int(i) for i in rng.choice(size, 3, replace=False))
    return first, second, third


def middle_triplet(size: int) -> Triplet:
    """Both ends of a pack and the picture in the middle, floor(size / 2)."""
    _check(size)
    return 0, size // 2, size - 1


def time_of(triplet: Triplet) -> float:
    """The target's time, views being evenly spaced: its share of the way from frame0 to frame1.

    The source adds 1e-6 to the divisor, and gives every middle triplet the time 0.5, also where the picture in the
    middle of an even pack is past it.
    """
    first, second, third = triplet
    return (second - first) / (third - first)


def inner_times(size: int) -> list[float]:
    """The times of the pictures between a pack's ends, for its pairs of interpolated and true pictures."""
    return [time_of((0, i, size - 1)) for i in range(1, size - 1)]


def subsample(pictures: int, kept: int) -> list[int]:
    """Positions of so many pictures, both ends among them, evenly spread and rounded down.

    Raises:
        ValueError: more are to be kept than there are.
    """
    if not 1 <= kept <= pictures:
        raise ValueError(f"of {pictures} pictures, 1 to {pictures} can be kept; got {kept}")
    return [int(position) for position in np.linspace(0, pictures - 1, kept)]


def _check(size: int) -> None:
    if size < 3:
        raise ValueError(f"a pack of {size} pictures has no triplet; give one of 3 or more (fewer packs per object)")
