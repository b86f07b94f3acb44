"""One way to ask any architecture for frames: padding, channel order, scale, flips, recursion, tiles."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Literal, cast, overload

import numpy as np
import torch
from torch import Tensor

from vfi_train.architectures import Architecture, Encoding, create_model
from vfi_train.architectures.base import time_tensor
from vfi_train.architectures.layers.reference import known_reference, reference_schedule
from vfi_train.contract import Prediction
from vfi_train.errors import UserError
from vfi_train.inference.conversion import Frame, from_batch, to_batch, to_map
from vfi_train.inference.padding import Padding, PaddingMode, PaddingSide, padded_size
from vfi_train.inference.tiling import Blend, Tiles

TimeLike = float | Tensor | np.ndarray  # a map as an array: H W, B H W or B 1 H W
FLIPS = {"flip_hw": (-2, -1), "flip_h": (-2,)}
LARGEST_DENOMINATOR = 1024  # ten halvings
IMAGES = ("frame", "merged", "warped0", "warped1", "residual")  # fields with colours


class Interpolator:
    """An architecture behind the calls that validation, evaluation and users make.

    Args:
        model: an architecture, or a name of `list_models()`.
        weights: what `vfi_train.weights.load_weights` takes (a name of shipped weights, a run, a file); None
            keeps those that the model has.
        scale: flow is estimated on frames resized by this (0.5 for 2K, 0.25 for 4K).
        tta: test-time augmentation: the mean of the answer and of the flipped-back answer for flipped frames.
            "flip_hw" flips rows and columns (RIFE, EMA-VFI, ATM-VFI), "flip_h" flips rows alone (AMT's Vimeo90K
            script); True is the one of the model's family. Times stay, maps and references are flipped too.
        tta_batched: both passes as one batch (EMA-VFI's fast_TTA), or one after the other in half the memory;
            the numbers agree within float noise.
        times_at_once: of the times that are asked for, how many are computed as one batch from the one encoding of
            their pair: faster where a GPU has room left, and more memory; not with `recursive` or a reference.
        recursive: reach times k / 2^n by halving intervals, each with time 0.5 (published tools of fixed-time
            networks, and AMT's 2^n demo). New frames are used unrounded.
        iterations: steps from the reference (frame 0 at time 0, if none is given) to each time, where the model
            `takes_reference`; each has the last one's answer, unrounded, as its reference (published: 2, in
            InterpAny-Clearer's app 3).
        padding: "replicate" (the benchmarks), "zeros" (RIFE's tools) or "reflect".
        padding_side: "center" (an odd pixel goes right or to the bottom) or "right_bottom" (RIFE's tools).
        padding_multiple: pad to a multiple of this (or of a height and a width) instead of the smallest size
            that suits the model; (480, 640) makes the canvas of the Middlebury protocols.
        tile: largest frame side that the network sees at once (or height and width); larger frames are cut
            into overlapping tiles, whose answers are blended.
        tile_overlap: pixels that neighbouring tiles share.
        device: where to move the model.

    Source: the `inference` functions, padders and demos of the RIFE, EMA-VFI, AMT and ATM-VFI repositories.
    """

    def __init__(
        self,
        model: Architecture | str,
        *,
        weights: str | Path | None = None,
        scale: float = 1.0,
        tta: bool | Literal["flip_hw", "flip_h"] = False,
        tta_batched: bool = True,
        times_at_once: int = 1,
        recursive: bool = False,
        iterations: int = 2,
        padding: PaddingMode = "replicate",
        padding_side: PaddingSide = "center",
        padding_multiple: int | tuple[int, int] | None = None,
        tile: int | tuple[int, int] | None = None,
        tile_overlap: int = 64,
        device: str | torch.device | None = None,
    ) -> None:
        _one_of("padding", padding, ("replicate", "zeros", "reflect"))
        _one_of("padding_side", padding_side, ("center", "right_bottom"))
        _one_of("tta", tta, (False, True, *FLIPS))
        if scale <= 0:
            raise UserError(f"scale is a factor above 0 (1, 0.5, 0.25); got {scale}")
        if iterations < 1:
            raise UserError(f"iterations is a number of steps, 1 or more; got {iterations}")
        if times_at_once < 1:
            raise UserError(f"times_at_once is a number of times, 1 or more; got {times_at_once}")
        self.model = create_model(model).eval() if isinstance(model, str) else model
        if weights is not None:
            from vfi_train.weights import load_weights  # type: ignore[attr-defined]

            load_weights(self.model, weights)
        if device is not None:
            self.model.to(device)
        self.scale = scale
        self.flips = FLIPS[self.model.published_tta if tta is True else tta] if tta else None
        self.tta_batched = tta_batched
        self.times_at_once = times_at_once
        self.recursive = recursive
        self.iterations = iterations
        self.padding: PaddingMode = padding
        self.padding_side: PaddingSide = padding_side
        self.padding_multiple = _pair(padding_multiple)
        self.tile = _pair(tile)
        self.tile_overlap = tile_overlap

    @overload
    def __call__(
        self,
        frame0: Frame,
        frame1: Frame,
        times: float = 0.5,
        *,
        reference: Frame | None = None,
        reference_time: TimeLike | None = None,
    ) -> Frame: ...

    @overload
    def __call__(
        self,
        frame0: Frame,
        frame1: Frame,
        times: Sequence[TimeLike] | Tensor | np.ndarray,
        *,
        reference: Frame | None = None,
        reference_time: TimeLike | None = None,
    ) -> list[Frame]: ...

    @torch.no_grad()
    def __call__(
        self,
        frame0: Frame,
        frame1: Frame,
        times: TimeLike | Sequence[TimeLike] = 0.5,
        *,
        reference: Frame | None = None,
        reference_time: TimeLike | None = None,
    ) -> Frame | list[Frame]:
        """Frames between two frames, in the form of those given.

        Args:
            frame0: RGB image: NumPy H W 3 or B H W 3, torch 3 H W or B 3 H W; uint8, or floats in [0, 1].
            frame1: the next one, of the same kind and size.
            times: 0..1; a number gives one frame, a list or 1-D array gives a list of frames. Where the model
                `takes_time_map`, a distance index map (H W, B H W or B 1 H W) may stand for a number.
            reference: another known frame, where the model `takes_reference`.
            reference_time: its time or map.

        Returns:
            One frame or a list of frames of the type, layout, dtype and (torch) device of `frame0`; uint8 is
            rounded to the nearest.

        Raises:
            UserError: frames or times that the model does not take; the message says which.
        """
        like = next(self.model.parameters(), torch.zeros(()))
        one = isinstance(times, (int, float)) or getattr(times, "ndim", 1) != 1
        listed: list[TimeLike] = [times] if one else list(times)  # type: ignore[arg-type, list-item, assignment]
        if not listed:
            raise UserError("no times are given: give a number from 0 to 1, or a list of them")
        with _evaluating(self.model):
            predictions = self.stream(
                to_batch(frame0, like),
                to_batch(frame1, like),
                [to_map(time, like) for time in listed],
                reference=None if reference is None else to_batch(reference, like),
                reference_time=None if reference_time is None else to_map(reference_time, like),
            )
            answers = [from_batch(p.frame, frame0) for p in predictions]
        return answers[0] if one else answers

    def predict(
        self,
        frame0: Tensor,
        frame1: Tensor,
        time: float | Tensor = 0.5,
        *,
        target: Tensor | None = None,
        reference: Tensor | None = None,
        reference_time: float | Tensor | None = None,
    ) -> Prediction:
        """The prediction at one time; see `stream`."""
        extras = {"target": target, "reference": reference, "reference_time": reference_time}
        return next(self.stream(frame0, frame1, [time], **extras))  # type: ignore[arg-type]

    def stream(
        self,
        frame0: Tensor,
        frame1: Tensor,
        times: Sequence[float | Tensor],
        *,
        target: Tensor | None = None,
        reference: Tensor | None = None,
        reference_time: float | Tensor | None = None,
    ) -> Iterator[Prediction]:
        """Predictions at several times from one encoding of the frames, one after the other.

        Args:
            frame0: B 3 H W, RGB, [0, 1], any size, on the model's device.
            frame1: the same.
            times: numbers 0..1, or tensors B 1 1 1 or B 1 H W (where the model `takes_time_map`).
            target: the true frame, for what the network computes from it (features, a teacher).
            reference: another known frame, B 3 H W.
            reference_time: its time or map.

        Yields:
            A prediction for each time: `frame` B 3 H W, RGB, clamped to [0, 1]; full-size fields are cropped
            to H W and RGB too, coarser ones are as the network gave them for the padded, scaled frames.
            All but `frame` come from TTA's unflipped pass; recursion beyond 0.5 and tiles give `frame` alone.
        """
        request = Request(frame0, frame1, list(times), target, reference, reference_time)
        if self.tile is not None and (frame0.shape[-2] > self.tile[0] or frame0.shape[-1] > self.tile[1]):
            yield from self._tiled(request, self.tile)
        else:
            yield from self._whole(request)

    def _whole(self, request: Request) -> Iterator[Prediction]:
        """Pad, turn to the network's channel order, ask, and undo both."""
        size = (request.frame0.shape[-2], request.frame0.shape[-1])
        padded = padded_size(size, self.model, self.scale, self.padding_multiple)
        padding = Padding.between(size, padded, self.padding, self.padding_side)
        bgr = self.model.channel_order == "bgr"
        asked = request.map(lambda x: padding.pad(x.flip(-3) if bgr else x), padding.pad_map)

        def undo(name: str, x: Tensor) -> Tensor:
            if tuple(x.shape[-2:]) == padded and name not in ("features", "target_features"):
                x = padding.crop(x)
            if bgr and name in IMAGES:
                x = x.flip(-3)
            return x.clamp(0, 1) if name == "frame" else x

        answers = self._halved(asked) if self.recursive else self._augmented(asked)
        for answer in answers:
            yield _map_prediction(answer, undo)

    def _tiled(self, request: Request, tile: tuple[int, int]) -> Iterator[Prediction]:
        """Ask for each tile apart and blend the frames."""
        height, width = request.frame0.shape[-2:]
        tiles = Tiles(height, width, tile, self.tile_overlap)
        blends = [Blend(tiles) for _ in request.times]
        for rows, columns in tiles.windows():

            def cut(x: Tensor, rows: slice = rows, columns: slice = columns) -> Tensor:
                return x[..., rows, columns] if tuple(x.shape[-2:]) == (height, width) else x

            for blend, answer in zip(blends, self._whole(request.map(cut, cut)), strict=True):
                blend.add(answer.frame, rows, columns)
        for blend in blends:
            yield Prediction(blend.result())

    def _halved(self, request: Request) -> Iterator[Prediction]:
        """Reach each time by halving; frames on the way are made once."""
        if request.reference is not None or any(isinstance(time, Tensor) for time in request.times):
            raise UserError("recursive=True takes times as numbers and no reference: leave recursive out")
        known = {
            Fraction(0): Prediction(request.frame0),
            Fraction(1): Prediction(request.frame1),
        }
        for time in request.times:
            yield self._reach(_dyadic(float(time)), known, request)

    def _reach(self, time: Fraction, known: dict[Fraction, Prediction], request: Request) -> Prediction:
        low, high = Fraction(0), Fraction(1)
        while time not in known:
            middle = (low + high) / 2
            if middle not in known:
                pair = replace(request, frame0=known[low].frame, frame1=known[high].frame, times=[0.5], target=None)
                answer = next(self._augmented(pair))
                frame = answer.frame.clamp(0, 1)
                # The fields of a later halving speak of other frames than frame0 and frame1.
                known[middle] = replace(answer, frame=frame) if middle == Fraction(1, 2) else Prediction(frame)
            low, high = (low, middle) if time < middle else (middle, high)
        return known[time]

    def _augmented(self, request: Request) -> Iterator[Prediction]:
        """The network's answers, with test-time augmentation where it is on."""
        request = self._checked(request)
        if self.flips is None:
            yield from self._ask(request)
            return
        flips = self.flips
        flipped = request.map(lambda x: x.flip(flips), lambda x: x.flip(flips))
        if not self.tta_batched:
            for one, other in zip(self._ask(request), self._ask(flipped), strict=True):
                yield replace(one, frame=(one.frame + other.frame.flip(flips)) / 2)
            return
        count = request.frame0.shape[0]
        for both in self._ask(request.joined(flipped)):
            frame = (both.frame[:count] + both.frame[count:].flip(flips)) / 2
            yield replace(_map_prediction(both, lambda _, x: x[:count]), frame=frame)

    def _checked(self, request: Request) -> Request:
        """The request with its times as tensors, after the model has looked at it."""
        r = request
        for time in r.times:
            self.model.check(r.frame0, r.frame1, time, scale=self.scale, reference=r.reference)
        known = None if r.reference_time is None else time_tensor(r.reference_time, r.frame0)
        return replace(r, times=[time_tensor(time, r.frame0) for time in r.times], reference_time=known)

    def _ask(self, request: Request) -> Iterator[Prediction]:
        encoding = self.model.encode(request.frame0, request.frame1, scale=self.scale)
        times = cast(list[Tensor], request.times)  # _checked made tensors of them
        if self.model.takes_reference:
            for time in times:
                yield self._approach(encoding, time, request)
            return
        for start in range(0, len(times), self.times_at_once):
            yield from self._decode(encoding, times[start : start + self.times_at_once], request.target)

    def _decode(self, encoding: Encoding, times: list[Tensor], target: Tensor | None) -> Iterator[Prediction]:
        """The answers at several times as one batch: copies of a pair follow each other."""
        count = len(times)
        if count == 1:
            yield self.model.decode(encoding, times[0], target=target)
            return
        moments = torch.stack(torch.broadcast_tensors(*times), dim=1).flatten(0, 1)
        targets = None if target is None else target.repeat_interleave(count, dim=0)
        answer = self.model.decode(encoding.repeated(count), moments, target=targets)
        for k in range(count):
            yield _map_prediction(answer, lambda _, x, k=k: x[k::count])  # type: ignore[misc]

    def _approach(self, encoding: Encoding, time: Tensor, request: Request) -> Prediction:
        """The answer at `time`, reached from the reference in steps."""
        known = request.reference_time
        assert known is None or isinstance(known, Tensor)
        image, start = known_reference(request.frame0, time, request.reference, known)
        for to, since in reference_schedule(time, start, self.iterations):
            extras = {"target": request.target, "reference": image, "reference_time": since}
            answer = self.model.decode(encoding, to, **extras)
            image = answer.frame
        return answer


@dataclass(frozen=True)
class Request:
    """What a network is asked: images B 3 H W, and times as numbers or tensors."""

    frame0: Tensor
    frame1: Tensor
    times: list[float | Tensor]
    target: Tensor | None = None
    reference: Tensor | None = None
    reference_time: float | Tensor | None = None

    def map(self, image: Callable[[Tensor], Tensor], plane: Callable[[Tensor], Tensor]) -> Request:
        """Another request: `image` applied to frames, `plane` to times and maps that are tensors."""

        def time(value: float | Tensor) -> float | Tensor:
            return plane(value) if isinstance(value, Tensor) and value.ndim == 4 else value

        return Request(
            image(self.frame0),
            image(self.frame1),
            [time(value) for value in self.times],
            None if self.target is None else image(self.target),
            None if self.reference is None else image(self.reference),
            None if self.reference_time is None else time(self.reference_time),
        )

    def joined(self, other: Request) -> Request:
        """Both requests as one batch; times are tensors."""

        def join(a: object, b: object) -> object:
            if isinstance(a, list) and isinstance(b, list):
                return [join(x, y) for x, y in zip(a, b, strict=True)]
            return torch.cat((a, b)) if isinstance(a, Tensor) and isinstance(b, Tensor) else a

        pairs = ((getattr(self, f.name), getattr(other, f.name)) for f in dataclasses.fields(self))
        return Request(*(join(a, b) for a, b in pairs))  # type: ignore[arg-type]


def _map_prediction(prediction: Prediction, change: Callable[[str, Tensor], Tensor]) -> Prediction:
    """The prediction with `change(name of the field, tensor)` applied to every tensor in it."""

    def apply(name: str, value: object) -> object:
        if isinstance(value, Tensor):
            return change(name, value)
        if isinstance(value, list):
            return [apply(name, item) for item in value]
        return _map_prediction(value, change) if isinstance(value, Prediction) else value

    names = [field.name for field in dataclasses.fields(prediction)]
    return replace(prediction, **{name: apply(name, getattr(prediction, name)) for name in names})  # type: ignore[arg-type]


def _dyadic(time: float) -> Fraction:
    fraction = Fraction(time)
    if not 0 <= fraction <= 1 or fraction.denominator > LARGEST_DENOMINATOR:
        near = Fraction(round(min(max(time, 0), 1) * 64), 64)
        raise UserError(
            f"recursive=True reaches times k / 2^n from 0 to 1 (n up to 10); got {time}: take {near} = {float(near)}"
        )
    return fraction


@contextmanager
def _evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Evaluation mode, and back to training mode where the model was in it."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def _pair(value: int | Sequence[int] | None) -> tuple[int, int] | None:
    if value is None:
        return None
    height, width = (value, value) if isinstance(value, int) else value
    return height, width


def _one_of(name: str, value: object, choices: tuple[object, ...]) -> None:
    if value not in choices:
        raise UserError(f"{name} is one of {', '.join(map(str, choices))}; got {value!r}")
