"""The output frames in order, of pairs of input frames: pairs are predicted in batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datamodules.storage.image_io import ImageArray
from datamodules.storage.media import Frame
from vfi_train.errors import UserError
from vfi_train.inference.batch_predictor import LEVELS, BatchPredictor, ImagePair
from vfi_train.interpolate import pixels
from vfi_train.interpolate.frame_times import Plan
from vfi_train.interpolate.pairs import Pair

QUEUED = 4  # pairs without prediction that are held with each that is predicted, at most
Times = Sequence[float | NDArray[Any]]  # between two frames: numbers, or maps H W


@dataclass
class Output:
    """A frame to write, and the input frame that is shown at its time."""

    frame: Frame
    original: Frame


class FrameStream:
    """The frames of a plan.

    Args:
        predictor: predicts frames.
        plan: which frames.
        batch: pairs that are predicted at once, where they have equally many frames between them.
        has_clock: of the output, see `Plan.after`.
        note: called with a line for the user.

    Attributes:
        batch: 1 after a batch did not fit the memory.
        counts: pairs by kind, and "predicted" frames.
    """

    def __init__(
        self,
        predictor: BatchPredictor,
        plan: Plan,
        *,
        batch: int = 1,
        has_clock: bool = False,
        note: Callable[[str], None] = lambda line: None,
    ) -> None:
        if batch < 1:
            raise UserError(f"batch={batch} is not a number of pairs: give 1 or more")
        self.predictor, self.plan, self.batch = predictor, plan, batch
        self.counts: Counter[str] = Counter()
        self._has_clock, self._note = has_clock, note

    def outputs(self, items: Iterable[Pair | Frame]) -> Iterator[Output]:
        """All frames in order; `items` ends with the last frame (see `pairs`, `with_context`)."""
        for group in self._groups(items):
            moving = [pair for pair in group if isinstance(pair, Pair) and pair.kind == "moving"]
            times = [[float(time) for time in pair.inner_times()] for pair in moving]
            images = dict(zip(map(id, moving), self.predicted(moving, times), strict=True)) if moving else {}
            for item in group:
                if isinstance(item, Pair):
                    yield from self._between(item, images.get(id(item)))
                else:
                    for planned in self.plan.after(item, self._has_clock):
                        yield Output(Frame(item.image, planned.appears, item.duration, item.native), item)

    def _between(self, pair: Pair, images: Iterator[ImageArray] | None) -> Iterator[Output]:
        frame0, frame1 = pair.frame0, pair.frame1
        self.counts[pair.kind] += 1
        for planned in pair.planned:
            image, native = frame0.image, frame0.native
            if planned.time == 1:
                image, native = frame1.image, frame1.native
            elif planned.time > 0 and images is not None:
                image, native = next(images), None
                self.counts["predicted"] += 1
            yield Output(Frame(image, planned.appears, frame0.duration, native), frame0)

    def _groups(self, items: Iterable[Pair | Frame]) -> Iterator[list[Pair | Frame]]:
        """Consecutive items, of which up to `batch` are predicted and fit one batch."""
        group: list[Pair | Frame] = []
        signature: tuple[Any, ...] = ()
        count = 0
        for item in items:
            if isinstance(item, Pair) and item.kind == "moving":
                if count and (count >= self.batch or self._signature(item) != signature):
                    yield group
                    group, count = [], 0
                signature, count = self._signature(item), count + 1
            group.append(item)
            if count == self.batch or len(group) >= QUEUED * self.batch:
                yield group
                group, count = [], 0
        if group:
            yield group

    def _signature(self, pair: Pair) -> tuple[Any, ...]:
        """Pairs of one signature fit one batch."""
        times = pair.inner_times()
        return tuple(times) if self.predictor.interpolator.recursive else (len(times),)

    def predicted(self, pairs: list[Pair], times: Sequence[Times]) -> list[Iterator[ImageArray]]:
        """The images of each pair at its times, in order."""
        split = [pixels.parts(*(frame.image for frame in self._inputs(pair))) for pair in pairs]
        if len({len(one) for one in split}) > 1:  # of a batch, only some have alpha that moves
            return [self.predicted([pair], [at])[0] for pair, at in zip(pairs, times, strict=True)]
        columns = [self._predicted_rgb(list(column), times) for column in zip(*split, strict=True)]
        of_pairs = [zip(*images, strict=True) for images in zip(*columns, strict=True)]
        return [
            (pixels.joined(images, pair.frame0.image) for images in found)
            for found, pair in zip(of_pairs, pairs, strict=True)
        ]

    def _inputs(self, pair: Pair) -> list[Frame]:
        """What the network gets: the two frames and, where it takes them, those before and after."""
        around = (pair.before, pair.after) if self.predictor.interpolator.model.takes_context else ()
        return [pair.frame0, pair.frame1, *(frame for frame in around if frame is not None)]

    def _predicted_rgb(
        self, images: list[tuple[ImageArray, ...]], times: Sequence[Times]
    ) -> list[Iterator[ImageArray]]:
        """Images between those of each pair, H W 3, in their dtype."""
        dtype = images[0][0].dtype
        ranges = [pixels.Range(*inputs) if dtype == np.float32 else None for inputs in images]
        given = []
        for inputs, r, at in zip(images, ranges, times, strict=True):
            image0, image1, *around = inputs if r is None else map(r.compress, inputs)
            given.append(ImagePair(image0, image1, at, *around))
        predictions = self.predictor.predict(given)
        if len(given) == 1:
            return [(_images(frame, dtype, ranges)[0] for _, frame in predictions)]
        found: list[list[ImageArray]] = [[] for _ in given]
        for indices, frames in predictions:
            if len(indices) < len(given) and self.batch > 1:
                self.batch = 1
                self._note("memory ran out: going on with one pair at a time (batch=1)")
            for index, image in zip(indices, _images(frames, dtype, [ranges[i] for i in indices]), strict=True):
                found[index].append(image)
        return [iter(column) for column in found]


def _images(frames: Tensor, dtype: np.dtype[Any], ranges: Sequence[pixels.Range | None]) -> list[ImageArray]:
    """B 3 H W in [0, 1] as images, rounded to the nearest where they are integers."""
    values = frames.clamp(0, 1).float()
    if dtype == np.float32:
        floats = values.movedim(1, -1).cpu().numpy()
        return [image if r is None else r.expand(image) for image, r in zip(floats, ranges, strict=True)]
    levels = (values * LEVELS[dtype]).round_().to(torch.uint8 if dtype == np.uint8 else torch.int32)
    return [_interleaved(image).astype(dtype, copy=False) for image in levels]


def _interleaved(image: Tensor) -> ImageArray:
    """3 H W as an array H W 3 that lies as encoders take it."""
    shown = image.movedim(0, -1)
    if image.device.type == "cpu" and not shown.is_contiguous():
        return cv2.merge(list(image.numpy()))  # in half of the time that torch takes
    return shown.contiguous().cpu().numpy()
