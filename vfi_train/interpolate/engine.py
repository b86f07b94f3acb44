"""From pairs of frames to the frames wanted, in order: batches over pairs, one encoding for all times of a pair."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vfi_train.errors import UserError
from vfi_train.inference.interpolator import Interpolator
from vfi_train.inference.nested import insert_frames
from vfi_train.interpolate.frame_times import Plan
from vfi_train.interpolate.media import Frame, ImageArray
from vfi_train.interpolate.pairs import Pair

SMALLEST_TILE = 128  # pixels a side
QUEUED = 4  # pairs that need no computing wait behind each that does, at most
TIMES_BY_TILES = 4  # that share the encoding of a tile: an image of floats is held for each
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


@dataclass
class Output:
    """A frame to write, and the source's frame that is shown at its time."""

    frame: Frame
    original: Frame


class Engine:
    """Asks an `Interpolator` for the frames that pairs want.

    Args:
        interpolator: its tile gets smaller while running where memory runs out.
        batch: pairs that are computed at once, where they want equally many frames.
        precision: "fp32", or "bf16" or "fp16" by autocast (coordinates of warps stay float32).
        rounds: how many frames each round inserts between neighbours (see `nested.insert_frames`), which here stay
            unrounded; the plan is `FactorPlan` for the product of (n + 1).
        recursion_depth: with a recursive interpolator, times are taken to the nearest k / 2^recursion_depth.
        note: called with a line for the user.

    Attributes:
        counts: pairs by kind, and frames "made".
    """

    def __init__(
        self,
        interpolator: Interpolator,
        *,
        batch: int = 1,
        precision: str = "fp32",
        rounds: Sequence[int] | None = None,
        recursion_depth: int = 5,
        note: Callable[[str], None] = lambda line: None,
    ) -> None:
        dtypes = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
        if precision not in dtypes:
            raise UserError(f"precision={precision} is not known: give one of {', '.join(dtypes)}")
        if batch < 1:
            raise UserError(f"batch={batch} is not a number of pairs: give 1 or more")
        self.interpolator = interpolator
        self.batch, self.rounds, self.recursion_depth = batch, rounds, recursion_depth
        self.counts: Counter[str] = Counter()
        self._autocast_dtype = dtypes[precision]
        self._note = note
        self._like = next(interpolator.model.parameters(), torch.zeros(()))
        interpolator.model.eval()

    def outputs(self, items: Iterable[Pair | Frame], plan: Plan, held: bool) -> Iterator[Output]:
        """All frames in order; `items` ends with the last frame alone (see `pairs`), `held` is for `Plan.after`."""
        for group in self._groups(items):
            moving = [pair for pair in group if isinstance(pair, Pair) and pair.kind == "moving"]
            made = dict(zip(map(id, moving), self._made(moving), strict=True)) if moving else {}
            for item in group:
                if isinstance(item, Pair):
                    yield from self._of_pair(item, made.get(id(item)))
                else:
                    for moment in plan.after(item, held):
                        yield Output(Frame(item.image, moment.when, item.duration, item.native), item)

    def _of_pair(self, pair: Pair, made: Iterator[ImageArray] | None) -> Iterator[Output]:
        frame0, frame1 = pair.frame0, pair.frame1
        self.counts[pair.kind] += 1
        for moment in pair.moments:
            image, native = frame0.image, frame0.native
            if moment.time == 1:
                image, native = frame1.image, frame1.native
            elif moment.time > 0 and made is not None:
                image, native = next(made), None
                self.counts["made"] += 1
            yield Output(Frame(image, moment.when, frame0.duration, native), frame0)

    def _groups(self, items: Iterable[Pair | Frame]) -> Iterator[list[Pair | Frame]]:
        """Stretches of pairs in which up to `batch` are computed, all wanting equally many frames."""
        group: list[Pair | Frame] = []
        together: tuple[Any, ...] | None = None
        count = 0
        for item in items:
            computed = isinstance(item, Pair) and item.kind == "moving"
            if computed and count and (count >= self.batch or self._wants(item) != together):  # type: ignore[arg-type]
                yield group
                group, count = [], 0
            group.append(item)
            if computed:
                together, count = self._wants(item), count + 1  # type: ignore[arg-type]
            if count == self.batch or len(group) >= QUEUED * self.batch:
                yield group
                group, count = [], 0
        if group:
            yield group

    def _wants(self, pair: Pair) -> tuple[Any, ...]:
        """Pairs for which this is the same can be computed together."""
        inner = pair.inner()
        return tuple(moment.time for moment in inner) if self.interpolator.recursive else (len(inner),)

    def _made(self, moving: list[Pair]) -> list[Iterator[ImageArray]]:
        """For each pair its frames in order."""
        if len(moving) > 1:
            try:
                columns = list(self._columns(moving))
                return [iter(images) for images in zip(*columns, strict=True)]
            except RuntimeError as error:
                if not _out_of_memory(error):
                    raise
                self.batch = 1
                self._note("memory ran out: going on with one pair at a time (batch=1)")
        return [self._alone(pair) for pair in moving]

    def _alone(self, pair: Pair) -> Iterator[ImageArray]:
        """The frames of one pair as they come; in smaller tiles once memory has run out."""
        done = 0
        while True:
            try:
                for column in self._columns([pair], done):
                    done += 1
                    yield column[0]
                return
            except RuntimeError as error:
                if not _out_of_memory(error):
                    raise
                self._take_smaller_tiles(pair.frame0.image.shape[:2])

    def _take_smaller_tiles(self, size: tuple[int, ...]) -> None:
        if self._like.is_cuda:
            torch.cuda.empty_cache()
        largest = max(self.interpolator.tile or size)
        side = -(-largest // 2 // 32) * 32
        if side < SMALLEST_TILE:
            raise UserError("memory runs out even for tiles of 128x128 pixels: take a smaller model, or another device")
        self.interpolator.tile = (side, side)
        self.interpolator.tile_overlap = min(self.interpolator.tile_overlap, side // 4)
        self._note(f"memory ran out: going on with tiles of {side}x{side} pixels (tile={side})")

    def _columns(self, moving: list[Pair], done: int = 0) -> Iterator[list[ImageArray]]:
        """The k-th frames of all pairs, for one k after the other from `done` on."""
        frame0 = self._batch([pair.frame0.image for pair in moving])
        frame1 = self._batch([pair.frame1.image for pair in moving])
        sixteen = moving[0].frame0.image.dtype == np.uint16
        if self.rounds:
            made = math.prod(count + 1 for count in self.rounds) - 1
            answers: Iterator[Tensor] = islice(
                insert_frames(self._between, [frame0, frame1], self.rounds), done + 1, made + 1
            )
        else:
            times = [self._time([m.time for m in column]) for column in zip(*(p.inner() for p in moving), strict=True)]
            together = TIMES_BY_TILES if self.interpolator.tile else len(times)
            answers = chain.from_iterable(
                self._stream(frame0, frame1, times[k : k + together]) for k in range(done, len(times), together)
            )
        for answer in answers:
            yield _images(answer, sixteen)

    def _stream(self, frame0: Tensor, frame1: Tensor, times: Sequence[float | Tensor]) -> Iterator[Tensor]:
        """Frames B 3 H W. Modes are entered anew for each frame, so that none is on while the caller has it."""
        predictions = self.interpolator.stream(frame0, frame1, times)
        device = self._like.device.type
        for _ in times:
            enabled = self._autocast_dtype is not None
            with torch.inference_mode(), torch.autocast(device, dtype=self._autocast_dtype, enabled=enabled):
                frame = next(predictions).frame
            yield frame.to(self._like.dtype)

    def _between(self, frame0: Tensor, frame1: Tensor, times: list[float]) -> Iterator[Tensor]:
        """Frames at times that are the same for all pairs, as `insert_frames` asks for them."""
        return self._stream(frame0, frame1, [self._time([Fraction(time).limit_denominator(1000)]) for time in times])

    def _time(self, times: Sequence[Fraction]) -> float | Tensor:
        """One time for all pairs, or a tensor B 1 1 1 of theirs."""
        if self.interpolator.recursive:
            grid = 1 << self.recursion_depth
            exact = times[0].denominator & (times[0].denominator - 1) == 0 and times[0].denominator <= 1024
            return float(times[0]) if exact else round(times[0] * grid) / grid
        if len(set(times)) == 1:
            return float(times[0])
        return self._like.new_tensor([float(time) for time in times]).reshape(-1, 1, 1, 1)

    def _batch(self, images: Sequence[ImageArray]) -> Tensor:
        """B 3 H W in [0, 1], on the network's device."""
        stacked = np.stack(images)
        scale = 255 if stacked.dtype == np.uint8 else 65535
        wide = stacked if stacked.dtype == np.uint8 else stacked.astype(np.int32)
        return torch.from_numpy(wide).to(self._like.device).movedim(-1, 1).to(self._like.dtype) / scale


def _images(frames: Tensor, sixteen: bool) -> list[ImageArray]:
    """B 3 H W in [0, 1] as images, rounded to the nearest."""
    arrays = frames.clamp(0, 1).movedim(1, -1).float()
    if sixteen:
        return list((arrays * 65535).round().int().cpu().numpy().astype(np.uint16))
    return list((arrays * 255).round().to(torch.uint8).cpu().numpy())


def _out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or any(sign in str(error) for sign in OUT_OF_MEMORY)
