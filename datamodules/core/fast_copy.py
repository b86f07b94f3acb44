"""Fast copies of pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


def fast_copy(pixels: Any, place: NDArray) -> None:
    """Copy an array, or one number, to `place`, a contiguous array of its shape.

    Flips, transpositions and reversed channels of an image are strided views, which NumPy copies number by number;
    OpenCV's routines do the same 10 to 50 times faster.
    """
    if not isinstance(pixels, np.ndarray) or not _has_complete_pixels(pixels):
        np.copyto(place, pixels)
        return
    steps: list[Any] = []
    if pixels.strides[2] < 0:
        pixels = pixels[..., ::-1]
        steps.append(lambda source, to: cv2.cvtColor(source, cv2.COLOR_RGB2BGR, to))
    if abs(pixels.strides[0]) < abs(pixels.strides[1]):
        pixels = pixels.swapaxes(0, 1)
        steps.append(cv2.transpose)
    upside_down, mirrored = pixels.strides[0] < 0, pixels.strides[1] < 0
    if upside_down or mirrored:
        pixels = pixels[:: -1 if upside_down else 1, :: -1 if mirrored else 1]
        code = -1 if upside_down and mirrored else int(mirrored)
        steps.append(lambda source, to: cv2.flip(source, code, to))
    if not steps:
        np.copyto(place, pixels)
        return
    for step in steps[:0:-1]:  # in reverse order
        pixels = step(pixels, None)
    steps[0](pixels, place)


def joined(flows: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Two flows H W 2 as one array H W 4; NumPy's concatenation, several times faster."""
    return cv2.merge(flows)  # type: ignore[return-value]


def _has_complete_pixels(array: NDArray) -> bool:
    """Whether it is H W C, flipped or transposed in any way, with contiguous pixels of a dtype that OpenCV takes."""
    if array.ndim != 3 or array.dtype not in (np.uint8, np.float32):
        return False
    size, channels = array.itemsize, array.shape[2]
    rows, columns, within = (abs(stride) for stride in array.strides)
    contiguous = within == size and min(rows, columns) == size * channels
    return contiguous and channels <= 4 and (array.strides[2] > 0 or channels == 3)
