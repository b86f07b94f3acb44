"""Inference with any architecture: padding, channel order, scale, test-time augmentation, recursion, tiles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
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
from vfi_train.inference.backend import Backend
from vfi_train.inference.conversion import Frame, from_batch, to_batch, to_map
from vfi_train.inference.padding import Padding, PaddingMode, PaddingSide, check_padding, padded_size
from vfi_train.inference.recursion import predict_recursively
from vfi_train.inference.request import Request, map_prediction
from vfi_train.inference.tiling import TileBlend, Tiles
from vfi_train.weights import load_weights

TimeLike = float | Tensor | np.ndarray  # a map as an array: H W, B H W or B 1 H W
FLIPS = {"flip_hw": (-2, -1), "flip_h": (-2,)}
IMAGES = ("frame", "merged", "warped0", "warped1", "residual")  # fields with colour channels


class Interpolator:
    """An architecture with all that inference needs around it; validation, evaluation and users call it.

    Args:
        model: an architecture, or a name of `list_models()`.
        weights: what `vfi_train.weights.load_weights` takes (a name of shipped weights, a run, a file); None
            keeps the model's own.
        scale: flow is estimated on frames resized by this factor (0.5 for 2K, 0.25 for 4K).
        tta: test-time augmentation: the mean of the prediction and of the flipped-back prediction for flipped frames.
            "flip_hw" flips rows and columns (RIFE, EMA-VFI, ATM-VFI), "flip_h" only rows (AMT's Vimeo90K script);
            True takes that of the model's family. Times stay, maps and references are flipped too.
        tta_batched: both passes as one batch (EMA-VFI's fast_TTA), or one after the other in half the memory;
            the numbers agree within float noise.
        times_at_once: how many times of a pair are computed as one batch from its encoding: faster on a GPU that is
            not full, with more memory; not with `recursive` or a reference.
        recursive: reach times k / 2^n by halving intervals, each at time 0.5 (published scripts of fixed-time
            networks, and AMT's 2^n demo). New frames are used unrounded.
        recursion_depth: with `recursive`, other times are taken to the nearest k / 2^recursion_depth; None refuses
            them.
        iterations: steps from the reference (frame 0 at time 0, if none is given) to each time, where the model
            `takes_reference`; each takes the previous prediction, unrounded, as its reference (published: 2, in
            InterpAny-Clearer's app 3).
        channel_order: of the images that the network gets, "rgb" or "bgr"; None: the model's own.
        padding: "replicate" (the benchmarks), "zeros" (RIFE's scripts), "reflect", or a value (EBME's scripts: 0.5).
        padding_side: "center" (an odd pixel goes right or to the bottom) or "right_bottom" (RIFE's and EBME's).
        padding_multiple: pad to a multiple of this (or of a height and a width) instead of the smallest size
            that suits the model; (480, 640) makes the canvas of the Middlebury protocols.
        tile: largest frame side that the network gets at once (or height and width); larger frames are cut
            into overlapping tiles, whose predictions are blended.
        tile_overlap: pixels that neighbouring tiles share.
        device: where to move the model.
        backend: what computes the network: "torch", "compiled" (CUDA), "openvino", "onnxruntime", "tensorrt", or
            "auto"; see `Backend`. All but "torch" make a graph for each size of frames (those of runtimes are kept in
            the user's cache folder), compute each time from the beginning, and give only `frame`.
        precision: "fp32" ("float32"), "bf16", "fp16", or "auto"; see `Backend`.

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
        recursion_depth: int | None = None,
        iterations: int = 2,
        channel_order: Literal["rgb", "bgr"] | None = None,
        padding: PaddingMode = "replicate",
        padding_side: PaddingSide = "center",
        padding_multiple: int | tuple[int, int] | None = None,
        tile: int | tuple[int, int] | None = None,
        tile_overlap: int = 64,
        device: str | torch.device | None = None,
        backend: str = "torch",
        precision: str = "fp32",
    ) -> None:
        check_padding(padding)
        _one_of("padding_side", padding_side, ("center", "right_bottom"))
        _one_of("tta", tta, (False, True, *FLIPS))
        if not 0 < scale <= 16:
            raise UserError(f"scale={scale} is not a factor above 0 and up to 16: give for example 1, 0.5 or 0.25")
        if iterations < 1:
            raise UserError(f"iterations is a number of steps, 1 or more; got {iterations}")
        if times_at_once < 1:
            raise UserError(f"times_at_once is a number of times, 1 or more; got {times_at_once}")
        self.model = create_model(model).eval() if isinstance(model, str) else model
        if weights is not None:
            load_weights(self.model, weights)
        if device is not None:
            self.model.to(device)
        self.scale = scale
        self.flips = FLIPS[self.model.published_tta if tta is True else tta] if tta else None
        self.tta_batched = tta_batched
        self.times_at_once = times_at_once
        self.recursive, self.recursion_depth = recursive, recursion_depth
        self.iterations = iterations
        self.channel_order = channel_order or self.model.channel_order
        self.padding: PaddingMode = padding
        self.padding_side: PaddingSide = padding_side
        self.padding_multiple = _pair(padding_multiple)
        self.tile = _pair(tile)
        self.tile_overlap = tile_overlap
        self.backend = Backend(self.model, backend, precision, scale=scale, iterations=iterations)

    @overload
    def __call__(
        self,
        frame0: Frame,
        frame1: Frame,
        times: float = 0.5,
        *,
        reference: Frame | None = None,
        reference_time: TimeLike | None = None,
        before: Frame | None = None,
        after: Frame | None = None,
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
        before: Frame | None = None,
        after: Frame | None = None,
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
        before: Frame | None = None,
        after: Frame | None = None,
    ) -> Frame | list[Frame]:
        """Frames between two frames, in the form of the inputs.

        Args:
            frame0: RGB image: NumPy H W 3 or B H W 3, torch 3 H W or B 3 H W; uint8, or floats in [0, 1].
            frame1: the next frame, of the same kind and size.
            times: 0..1; a number gives one frame, a list or 1-D array gives a list of frames. Where the model
                `takes_time_map`, a distance index map (H W, B H W or B 1 H W) may replace a number.
            reference: another known frame, where the model `takes_reference`.
            reference_time: its time or map.
            before, after: the frames one interval before `frame0` and after `frame1`, where the model `takes_context`;
                None: there is none (a clip begins or ends here), and the nearest frame is taken again.

        Returns:
            One frame or a list of frames of the type, layout, dtype and (torch) device of `frame0`; uint8 is
            rounded to the nearest.

        Raises:
            UserError: frames or times that the model does not take.
        """
        like = next(self.model.parameters(), torch.zeros(()))
        single = isinstance(times, (int, float)) or getattr(times, "ndim", 1) != 1
        listed: list[TimeLike] = [times] if single else list(times)  # type: ignore[arg-type, list-item, assignment]
        if not listed:
            raise UserError("no times are given: give a number from 0 to 1, or a list of them")
        with _evaluating(self.model):
            predictions = self.stream(
                to_batch(frame0, like),
                to_batch(frame1, like),
                [to_map(time, like) for time in listed],
                reference=None if reference is None else to_batch(reference, like),
                reference_time=None if reference_time is None else to_map(reference_time, like),
                before=None if before is None else to_batch(before, like),
                after=None if after is None else to_batch(after, like),
            )
            frames = [from_batch(p.frame, frame0) for p in predictions]
        return frames[0] if single else frames

    def predict(
        self,
        frame0: Tensor,
        frame1: Tensor,
        time: float | Tensor = 0.5,
        *,
        target: Tensor | None = None,
        reference: Tensor | None = None,
        reference_time: float | Tensor | None = None,
        before: Tensor | None = None,
        after: Tensor | None = None,
    ) -> Prediction:
        """The prediction at one time; see `stream`."""
        extras = {"target": target, "reference": reference, "reference_time": reference_time}
        return next(self.stream(frame0, frame1, [time], **extras, before=before, after=after))  # type: ignore[arg-type]

    def stream(
        self,
        frame0: Tensor,
        frame1: Tensor,
        times: Sequence[float | Tensor],
        *,
        target: Tensor | None = None,
        reference: Tensor | None = None,
        reference_time: float | Tensor | None = None,
        before: Tensor | None = None,
        after: Tensor | None = None,
    ) -> Iterator[Prediction]:
        """Predictions at several times from one encoding of the frames, one after the other.

        Args:
            frame0: B 3 H W, RGB, [0, 1], any size, on the model's device.
            frame1: the same.
            times: numbers 0..1, or tensors B 1 1 1 or B 1 H W (where the model `takes_time_map`).
            target: the true frame, for what the network computes from it (features, a teacher).
            reference: another known frame, B 3 H W.
            reference_time: its time or map.
            before, after: the frames one interval before and after, B 3 H W; None: the nearest frame again.

        Yields:
            A prediction for each time: `frame` B 3 H W, RGB, clamped to [0, 1]; full-size fields are cropped
            to H W and RGB too, coarser ones are those of the padded, scaled frames.
            All but `frame` come from TTA's unflipped pass; recursion beyond 0.5 and tiles give only `frame`.
        """
        request = Request(frame0, frame1, list(times), target, reference, reference_time, before, after)
        if self.tile is not None and (frame0.shape[-2] > self.tile[0] or frame0.shape[-1] > self.tile[1]):
            yield from self._tiled(request, self.tile)
        else:
            yield from self._padded(request)

    def _padded(self, request: Request) -> Iterator[Prediction]:
        """Pad, change to the network's channel order, predict, and undo both."""
        size = (request.frame0.shape[-2], request.frame0.shape[-1])
        padded = padded_size(size, self.model, self.scale, self.padding_multiple)
        padding = Padding.between(size, padded, self.padding, self.padding_side)
        bgr = self.channel_order == "bgr"
        padded_request = request.map(lambda x: padding.pad(x.flip(-3) if bgr else x), padding.pad_map)

        def undo(name: str, x: Tensor) -> Tensor:
            if tuple(x.shape[-2:]) == padded and name not in ("features", "target_features"):
                x = padding.crop(x)
            if bgr and name in IMAGES:
                x = x.flip(-3)
            return x.clamp(0, 1) if name == "frame" else x

        if self.recursive:
            predictions = predict_recursively(
                padded_request, lambda pair: next(self._augmented(pair)), self.recursion_depth
            )
        else:
            predictions = self._augmented(padded_request)
        for prediction in predictions:
            yield map_prediction(prediction, undo)

    def _tiled(self, request: Request, tile: tuple[int, int]) -> Iterator[Prediction]:
        """Predict each tile separately and blend the frames."""
        height, width = request.frame0.shape[-2:]
        tiles = Tiles(height, width, tile, self.tile_overlap)
        blends = [TileBlend(tiles) for _ in request.times]
        for rows, columns in tiles.windows():

            def cut(x: Tensor, rows: slice = rows, columns: slice = columns) -> Tensor:
                return x[..., rows, columns] if tuple(x.shape[-2:]) == (height, width) else x

            for blend, prediction in zip(blends, self._padded(request.map(cut, cut)), strict=True):
                blend.add(prediction.frame, rows, columns)
        for blend in blends:
            yield Prediction(blend.result())

    def _augmented(self, request: Request) -> Iterator[Prediction]:
        """The network's predictions, with test-time augmentation where it is on."""
        request = self._checked(request)
        if self.flips is None:
            yield from self._decoded(request)
            return
        flips = self.flips
        flipped = request.map(lambda x: x.flip(flips), lambda x: x.flip(flips))
        if not self.tta_batched:
            for plain, other in zip(self._decoded(request), self._decoded(flipped), strict=True):
                yield replace(plain, frame=(plain.frame + other.frame.flip(flips)) / 2)
            return
        count = request.frame0.shape[0]
        for both in self._decoded(request.joined(flipped)):
            frame = (both.frame[:count] + both.frame[count:].flip(flips)) / 2
            yield replace(map_prediction(both, lambda _, x: x[:count]), frame=frame)

    def _checked(self, request: Request) -> Request:
        """The request with its times as tensors, after the model's checks."""
        r = request
        for time in r.times:
            self.model.check(r.frame0, r.frame1, time, scale=self.scale, reference=r.reference)
        reference_time = None if r.reference_time is None else time_tensor(r.reference_time, r.frame0)
        return replace(r, times=[time_tensor(time, r.frame0) for time in r.times], reference_time=reference_time)

    def _decoded(self, request: Request) -> Iterator[Prediction]:
        computed = self.backend.predict(request)
        if computed is not None:
            yield from map(Prediction, computed)
            return
        with self.backend.autocast():
            context = self.model.context(request.frame0, request.before, request.after)
            encoding = self.model.encode(request.frame0, request.frame1, scale=self.scale, **context)
        times = cast(list[Tensor], request.times)  # by _checked
        if self.model.takes_reference:
            for time in times:
                with self.backend.autocast():
                    prediction = self._from_reference(encoding, time, request)
                yield prediction
            return
        for start in range(0, len(times), self.times_at_once):
            with self.backend.autocast():
                together = self._decoded_together(encoding, times[start : start + self.times_at_once], request.target)
            yield from together

    def _decoded_together(self, encoding: Encoding, times: list[Tensor], target: Tensor | None) -> list[Prediction]:
        """Predictions at several times as one batch, in which copies of a pair follow each other."""
        count = len(times)
        if count == 1:
            return [self.model.decode(encoding, times[0], target=target)]
        all_times = torch.stack(torch.broadcast_tensors(*times), dim=1).flatten(0, 1)
        targets = None if target is None else target.repeat_interleave(count, dim=0)
        prediction = self.model.decode(encoding.repeated(count), all_times, target=targets)
        return [map_prediction(prediction, lambda _, x, k=k: x[k::count]) for k in range(count)]  # type: ignore[misc]

    def _from_reference(self, encoding: Encoding, time: Tensor, request: Request) -> Prediction:
        """The prediction at `time`, reached from the reference in steps."""
        reference_time = request.reference_time
        assert reference_time is None or isinstance(reference_time, Tensor)
        image, start = known_reference(request.frame0, time, request.reference, reference_time)
        for to, since in reference_schedule(time, start, self.iterations):
            extras = {"target": request.target, "reference": image, "reference_time": since}
            prediction = self.model.decode(encoding, to, **extras)
            image = prediction.frame
        return prediction


@contextmanager
def _evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Evaluation mode, and afterwards the mode that the model was in."""
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
