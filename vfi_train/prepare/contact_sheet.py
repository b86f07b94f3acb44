"""A sheet of small images of the clips that were taken."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

TILE = 224  # pixels of an image's longer side
COLUMNS = 4
CAPTION = 18  # rows
MAX_CLIPS = 48
Image = NDArray[np.uint8]


def contact_sheet(clips: Sequence[tuple[str, Image, Image, Image]]) -> Image:
    """Each clip: the mean of its first and last frame, whose double edges show the motion, beside its middle frame.

    Args:
        clips: a caption, and the first, middle and last frame, H W 3, RGB.
    """
    tiles = [_tile(*clip) for clip in clips]
    height, width = (max(tile.shape[axis] for tile in tiles) for axis in (0, 1))
    rows = -(-len(tiles) // COLUMNS)
    sheet = np.full((rows * height, min(COLUMNS, len(tiles)) * width, 3), 255, np.uint8)
    for number, tile in enumerate(tiles):
        top, left = number // COLUMNS * height, number % COLUMNS * width
        sheet[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return sheet


def _tile(caption: str, first: Image, middle: Image, last: Image) -> Image:
    ends = cv2.addWeighted(first, 0.5, last, 0.5, 0)
    scale = TILE / max(first.shape[:2])
    size = max(1, round(first.shape[1] * scale)), max(1, round(first.shape[0] * scale))
    images = np.hstack([cv2.resize(np.asarray(p), size, interpolation=cv2.INTER_AREA) for p in (ends, middle)])
    tile = np.full((images.shape[0] + CAPTION + 4, images.shape[1] + 4, 3), 255, np.uint8)
    tile[CAPTION : CAPTION + images.shape[0], : images.shape[1]] = images
    place = (2, CAPTION - 5)
    return cv2.putText(tile, caption, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)  # type: ignore[return-value]
