"""Frames between pairs of images, several pairs at once: tensors, and what to do when memory runs out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vfi_train.contract import CONTEXT
from vfi_train.errors import UserError
from vfi_train.inference.interpolator import Interpolator
from vfi_train.inference.nested import insert_frames

LEVELS = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535}
SMALLEST_TILE = 128  # pixels a side
TIMES_PER_TILE = 4  # times that share the encoding of a tile: a float image is held for each
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


@dataclass(frozen=True)
class ImagePair:
    """Two images H W 3 (uint8, uint16, or floats in [0, 1]) and the times between them: numbers, or maps H W.

    `before` and `after` are the images an interval before and after, for networks that take them; all pairs of a batch
    have both, or none.
    """

    frame0: NDArray[Any]
    frame1: NDArray[Any]
    times: Sequence[float | NDArray[Any]]
    before: NDArray[Any] | None = None
    after: NDArray[Any] | None = None


class BatchPredictor:
    """Predicts frames of pairs with an `Interpolator`.

    Args:
        interpolator: its tiles get smaller where `smaller_tiles` is set and memory runs out.
        memory_format: of the frames that the network gets.
        insert: instead of at the pairs' times, insert frames in rounds; see `insert_frames`. Frames between rounds stay
            unrounded.
        smaller_tiles: what to do when the memory does not hold one pair: go on with tiles, or fail.
        note: called with a line for the user when tiles get smaller.
    """

    def __init__(
        self,
        interpolator: Interpolator,
        *,
        memory_format: torch.memory_format = torch.preserve_format,
        insert: Sequence[int] | None = None,
        smaller_tiles: bool = False,
        note: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.interpolator, self.insert = interpolator, insert
        self._memory_format, self._smaller_tiles, self._note = memory_format, smaller_tiles, note
        self._like = next(interpolator.model.parameters(), torch.zeros(()))
        interpolator.model.eval()

    @property
    def device(self) -> torch.device:
        """Of the network."""
        return self._like.device

    def predict(self, pairs: Sequence[ImagePair], start: int = 0) -> Iterator[tuple[range, Tensor]]:
        """Frames at the first time of every pair, then at the second, and so on.

        All pairs are one batch; from where the memory runs out, one pair after the other.

        Args:
            pairs: of one size and type, with equally many times; with a recursive interpolator, the same times.
            start: of the times.

        Yields:
            The indices of pairs, and their frames B 3 H W, RGB, [0, 1], in the network's dtype.

        Raises:
            UserError: the memory does not hold one pair, or not even small tiles.
        """
        while True:
            try:
                for frames in self._frames(pairs, start):
                    start += 1
                    yield range(len(pairs)), frames
                return
            except RuntimeError as error:
                if not _is_out_of_memory(error):
                    raise
            if self._like.is_cuda:  # outside of the handler, where the traceback would hold tensors
                torch.cuda.empty_cache()
            if len(pairs) > 1:
                for index, pair in enumerate(pairs):
                    for _, frame in self.predict([pair], start):
                        yield range(index, index + 1), frame
                return
            self._make_tiles_smaller(pairs[0].frame0.shape[:2])

    def to_tensor(self, images: Sequence[NDArray[Any]]) -> Tensor:
        """Images as B 3 H W in [0, 1], on the device and in the dtype of the network."""
        stacked = np.stack(images)
        levels = LEVELS.get(stacked.dtype)
        wide = stacked.astype(np.int32) if stacked.dtype == np.uint16 else stacked
        x = torch.from_numpy(wide).to(self._like.device, non_blocking=True).movedim(-1, 1)
        x = x.to(self._like.dtype, memory_format=self._memory_format)
        return x if levels is None else x.div_(levels)

    def _frames(self, pairs: Sequence[ImagePair], start: int) -> Iterator[Tensor]:
        frame0, frame1 = (self.to_tensor([getattr(pair, name) for pair in pairs]) for name in ("frame0", "frame1"))
        given = [name for name in CONTEXT if getattr(pairs[0], name) is not None]
        context = {name: self.to_tensor([getattr(pair, name) for pair in pairs]) for name in given}

        def stream(frame0: Tensor, frame1: Tensor, times: Sequence[float | Tensor]) -> Iterator[Tensor]:
            return self._stream(frame0, frame1, times, **context)

        if self.insert:
            count = math.prod(n + 1 for n in self.insert) - 1
            return islice(insert_frames(stream, [frame0, frame1], self.insert), start + 1, count + 1)
        times = [self._time(column) for column in zip(*(pair.times for pair in pairs), strict=True)]
        together = TIMES_PER_TILE if self.interpolator.tile else max(1, len(times))
        groups = (times[k : k + together] for k in range(start, len(times), together))
        return chain.from_iterable(stream(frame0, frame1, group) for group in groups)

    def _stream(
        self, frame0: Tensor, frame1: Tensor, times: Sequence[float | Tensor], **context: Tensor
    ) -> Iterator[Tensor]:
        predictions = self.interpolator.stream(frame0, frame1, times, **context)
        for _ in times:
            with torch.inference_mode():  # entered for each frame, so that the caller is not in it
                frame = next(predictions).frame
            yield frame.to(self._like.dtype)

    def _time(self, times: Sequence[float | NDArray[Any]]) -> float | Tensor:
        """One time for all pairs, or a tensor B 1 1 1 or B 1 H W."""
        if isinstance(times[0], np.ndarray):
            return torch.from_numpy(np.stack(times)).to(self._like)[:, None]
        if len(set(times)) == 1:
            return float(times[0])
        return self._like.new_tensor([float(time) for time in times]).reshape(-1, 1, 1, 1)

    def _make_tiles_smaller(self, size: tuple[int, ...]) -> None:
        if not self._smaller_tiles:
            shape = "x".join(map(str, size))
            raise UserError(f"the memory does not hold a pair of frames of {shape}: take another device")
        side = -(-max(self.interpolator.tile or size) // 2 // 32) * 32
        if side < SMALLEST_TILE:
            raise UserError("memory runs out even for tiles of 128x128 pixels: take a smaller model, or another device")
        self.interpolator.tile = (side, side)
        self.interpolator.tile_overlap = min(self.interpolator.tile_overlap, side // 4)
        self._note(f"memory ran out: going on with tiles of {side}x{side} pixels (tile={side})")


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Whether GPUs may multiply float32 numbers with ten-bit mantissas."""
    backends: list[Any] = [torch.backends.cudnn, torch.backends.cuda.matmul]
    before = [backend.allow_tf32 for backend in backends]
    try:
        for backend in backends:
            backend.allow_tf32 = allowed
        yield
    finally:
        for backend, value in zip(backends, before, strict=True):
            backend.allow_tf32 = value


def _is_out_of_memory(error: RuntimeError) -> bool:
    """The CPU's allocator has no exception type of its own."""
    return isinstance(error, torch.OutOfMemoryError) or any(text in str(error) for text in OUT_OF_MEMORY)
