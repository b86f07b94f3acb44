"""For large frames: the scale at which flow is estimated, and tiles that fit the memory."""

from __future__ import annotations

from bisect import bisect_left

import torch
from torch import Tensor

from vfi_train.errors import UserError
from vfi_train.inference.backend import Backend
from vfi_train.inference.batch_predictor import TIMES_PER_TILE
from vfi_train.inference.interpolator import Interpolator
from vfi_train.profile.inference_cost import peak_memory
from vfi_train.runtime.console import GIB
from vfi_train.runtime.devices import free_memory

SCALES = ((2000, 1.0), (3000, 0.5))  # up to these longer sides; beyond: 0.25
TILES = (2048, 1536, 1024, 768, 512, 384, 256)
WORKSPACES = 1.4  # measured over counted memory, at most: what convolutions take for themselves
KEPT = 1.7  # memory of a process that keeps freed memory over that of one that does not, at most
USABLE = 0.8  # of the free memory
# Frames up to 720p need at most 6 KiB a pixel in all networks here: without counting, which takes seconds.
SMALL, BYTES_PER_PIXEL = 720 * 1280, 6 * 1024


def scale_for(height: int, width: int) -> float:
    """The scale for frames of this size: 1 below 2K, 0.5 for 2K, 0.25 for 4K.

    Source: X-TEST protocols of EMA-VFI (`down_scale` 0.5 for 2K, 0.25 for 4K).
    """
    return next((scale for side, scale in SCALES if max(height, width) <= side), 0.25)


def tile_for(interpolator: Interpolator, size: tuple[int, int], batch: int, memory: float | None) -> int | None:
    """The largest tile whose frames fit the memory; None where complete frames do.

    Args:
        interpolator: as it will be used; its tile is not changed.
        size: height and width of the frames.
        batch: pairs at once.
        memory: GiB that may be used; None: 80 % of what is free on the device.

    Raises:
        UserError: not even small tiles fit.
    """
    budget = _budget(interpolator, memory)

    def fits(tile: int | None) -> bool:
        return _fits(interpolator, size, batch, tile, budget)

    if fits(None):
        return None
    tiles = [tile for tile in TILES if interpolator.tile_overlap < tile < max(size)]
    first = bisect_left(tiles, True, key=fits)
    if first < len(tiles):
        return tiles[first]
    raise UserError(
        f"{budget / GIB:.2f} GiB of memory hold no tile of {TILES[-1]} pixels beside frames of {size[0]}x{size[1]}: "
        "take batch=1, a smaller model, or tile=128"
    )


def may_keep(interpolator: Interpolator, size: tuple[int, int], batch: int, memory: float | None) -> bool:
    """Whether `devices.keep_freed_memory` helps (on a CPU) and fits the memory; arguments as for `tile_for`.

    Frames of 1920x1080 take less than half the time with it (benchmarks/RESULTS.md).
    """
    if _device(interpolator).type != "cpu":
        return False
    tile = None if interpolator.tile is None else max(interpolator.tile)
    return _fits(interpolator, size, batch, tile, _budget(interpolator, memory) / KEPT)


def needed(interpolator: Interpolator, size: tuple[int, int], batch: int, tile: int | None) -> int:
    """Counted bytes for frames of this size: complete, or one tile and the images that tiles are blended into."""
    times = [0.5] * max(interpolator.times_at_once, 1 if tile is None else TIMES_PER_TILE)
    before = interpolator.tile, interpolator.backend
    interpolator.tile, interpolator.backend = None, Backend(interpolator.model)  # nothing is computed
    try:
        shape = size if tile is None else (min(tile, size[0]), min(tile, size[1]))
        peak = peak_memory(interpolator.model, lambda *pair: _run(interpolator, pair, times), shape, batch)
    finally:
        interpolator.tile, interpolator.backend = before
    images = 0 if tile is None else 2 + len(times) + 1  # the frames, a blend for each time, and the result
    return peak + 4 * size[0] * size[1] * (3 * images * batch + (0 if tile is None else len(times)))


def _fits(interpolator: Interpolator, size: tuple[int, int], batch: int, tile: int | None, budget: float) -> bool:
    at_once = interpolator.times_at_once * (2 if interpolator.flips and interpolator.tta_batched else 1)
    if size[0] * size[1] <= SMALL and size[0] * size[1] * batch * at_once * BYTES_PER_PIXEL * WORKSPACES <= budget:
        return True
    return needed(interpolator, size, batch, tile) * WORKSPACES <= budget


def _budget(interpolator: Interpolator, memory: float | None) -> float:
    return free_memory(_device(interpolator)) * USABLE if memory is None else memory * GIB


def _device(interpolator: Interpolator) -> torch.device:
    return next(interpolator.model.parameters(), torch.zeros(())).device


def _run(interpolator: Interpolator, pair: tuple[Tensor, Tensor], times: list[float]) -> None:
    for _ in interpolator.stream(*pair, times):
        pass
