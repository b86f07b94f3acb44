"""Overlapping tiles of a frame too large for the memory, and their blending."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from vfi_train.errors import UserError


@dataclass(frozen=True)
class Tiles:
    """Windows of one size that cover a frame, evenly spaced; neighbours share at least `overlap` pixels.

    Args:
        height, width: of the frame, pixels.
        tile: height and width of a window; a side larger than the frame is cut to it.
        overlap: pixels, above 0 and below the tile's smaller side.

    A pixel's weight in a window is 0 in the outer quarter of the overlap, where the network lacks context, rises over
    the middle half, and is 1 further in; at the frame's own border it is 1.
    """

    height: int
    width: int
    tile: tuple[int, int]
    overlap: int

    def __post_init__(self) -> None:
        if not 0 < self.overlap < min(self.tile):
            raise UserError(
                f"tiles of {self.tile[0]}x{self.tile[1]} cannot overlap by {self.overlap} pixels: "
                "take an overlap above 0 and below the tile's smaller side"
            )

    def windows(self) -> Iterator[tuple[slice, slice]]:
        """Rows and columns of each window."""
        rows, columns = min(self.tile[0], self.height), min(self.tile[1], self.width)
        for top in _starts(self.height, rows, self.overlap):
            for left in _starts(self.width, columns, self.overlap):
                yield slice(top, top + rows), slice(left, left + columns)

    def weight(self, rows: slice, columns: slice, like: Tensor) -> Tensor:
        """The weights H W of one window, on the device and in the dtype of `like`."""
        vertical = _ramp(rows, self.height, self.overlap, like)
        horizontal = _ramp(columns, self.width, self.overlap, like)
        return vertical[:, None] * horizontal[None, :]


class TileBlend:
    """The weighted mean of the overlapping tiles of an image."""

    def __init__(self, tiles: Tiles) -> None:
        self.tiles = tiles
        self.total: Tensor | None = None  # ... H W
        self.weights: Tensor | None = None  # H W

    def add(self, tile: Tensor, rows: slice, columns: slice) -> None:
        """Add the tile (... h w) of a window."""
        if self.total is None or self.weights is None:
            size = (self.tiles.height, self.tiles.width)
            self.total = tile.new_zeros((*tile.shape[:-2], *size))
            self.weights = tile.new_zeros(size)
        weight = self.tiles.weight(rows, columns, tile)
        self.total[..., rows, columns] += tile * weight
        self.weights[rows, columns] += weight

    def result(self) -> Tensor:
        """The image, ... H W."""
        assert self.total is not None and self.weights is not None, "no tile was added"  # noqa: PT018
        return self.total / self.weights


def _starts(length: int, tile: int, overlap: int) -> list[int]:
    """First pixels of evenly spaced tiles that cover `length`."""
    count = 1 if tile >= length else -(-(length - overlap) // (tile - overlap))
    return [i * (length - tile) // max(1, count - 1) for i in range(count)]


def _ramp(window: slice, length: int, overlap: int, like: Tensor) -> Tensor:
    """Weights along one axis of a window."""
    position = torch.arange(window.start, window.stop, device=like.device, dtype=like.dtype) + 0.5
    weight = torch.ones_like(position)
    if window.start > 0:
        weight = weight * _rise(position - window.start, overlap)
    if window.stop < length:
        weight = weight * _rise(window.stop - position, overlap)
    return weight


def _rise(distance: Tensor, overlap: int) -> Tensor:
    return ((distance - overlap / 4) / (overlap / 2)).clamp(0, 1)
