"""Frames of a network for pairs of frames, by the settings of a protocol."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vfi_train.architectures import Architecture
from vfi_train.errors import UserError
from vfi_train.evaluate.protocol import Settings
from vfi_train.evaluate.samples import Pair
from vfi_train.inference.interpolator import Interpolator

PRECISIONS = {"fp32": None, "tf32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class Asker:
    """Asks a network for the targets of pairs.

    Args:
        model: the network, on its device.
        settings: how.
        precision: a key of PRECISIONS; by autocast, in which warps stay float32. "fp32" means it on GPUs, too.

    Raises:
        UserError: an unknown precision.
    """

    def __init__(self, model: Architecture, settings: Settings, precision: str = "fp32") -> None:
        if precision not in PRECISIONS:
            raise UserError(f"precision={precision} is not known: give one of {', '.join(PRECISIONS)}")
        self.precision = precision
        self.recursive = not model.arbitrary_time if settings.recursive is None else settings.recursive
        self.interpolator = Interpolator(
            model.eval(),
            scale=settings.scale,
            tta=settings.tta,
            recursive=self.recursive,
            iterations=settings.iterations,
            padding=settings.padding,
            padding_side=settings.padding_side,
            padding_multiple=settings.padding_multiple,
        )
        # The interpolator gives the network its own order; of frames that come reversed it gets the other.
        self.reversed = settings.channels not in (None, model.channel_order)
        self.like = next(model.parameters(), torch.zeros(()))
        # Colours side by side in memory make convolutions on a CPU up to 1.5 times as fast.
        self.layout = torch.channels_last if self.like.device.type == "cpu" else torch.contiguous_format
        model.to(memory_format=self.layout)

    def frames(self, pairs: list[Pair]) -> Iterator[Tensor]:
        """The frame B 3 H W, RGB, in [0, 1], of the k-th moment of every pair, for one k after the other.

        Of pairs that together are too large for the memory, each is asked for alone.
        """
        try:
            yield from self._together(pairs)
        except torch.OutOfMemoryError as error:
            if len(pairs) == 1:
                size = "x".join(map(str, pairs[0].frame0.shape[:2]))
                raise UserError(f"the memory does not hold a pair of frames of {size}: take another device") from error
            torch.cuda.empty_cache()
            columns = [list(self._together([pair])) for pair in pairs]
            yield from (torch.cat(column) for column in zip(*columns, strict=True))

    def batch(self, images: list[NDArray]) -> Tensor:
        """Images H W 3 as B 3 H W in [0, 1] on the network's device."""
        stacked = torch.from_numpy(np.stack(images)).to(self.like.device, non_blocking=True)
        moved = stacked.movedim(-1, 1).to(torch.float32, memory_format=self.layout)
        return moved.div_(255) if stacked.dtype == torch.uint8 else moved

    def _together(self, pairs: list[Pair]) -> Iterator[Tensor]:
        frames = [self.batch([getattr(pair, name) for pair in pairs]) for name in ("frame0", "frame1")]
        frame0, frame1 = (frame.flip(1) for frame in frames) if self.reversed else frames
        columns = zip(*([m.time for m in pair.moments] for pair in pairs), strict=True)
        predictions = self.interpolator.stream(frame0, frame1, [self._time(list(column)) for column in columns])
        dtype = PRECISIONS[self.precision]
        while True:
            # Entered anew for each frame, so that neither is on while the caller has it.
            with torch.inference_mode(), torch.autocast(self.like.device.type, dtype=dtype, enabled=dtype is not None):
                prediction = next(predictions, None)
            if prediction is None:
                return
            frame = prediction.frame.float()
            yield (frame.flip(1) if self.reversed else frame).contiguous()

    def _time(self, times: list[Any]) -> float | Tensor:
        """One time for all pairs, or a tensor of theirs: B 1 1 1, or maps B 1 H W."""
        if isinstance(times[0], np.ndarray):
            return torch.from_numpy(np.stack(times)).to(self.like.device, torch.float32)[:, None]
        if len(set(times)) == 1:
            return float(times[0])
        return torch.tensor(times, device=self.like.device, dtype=torch.float32).reshape(-1, 1, 1, 1)


@contextmanager
def set_up(model: Architecture, settings: Settings, precision: str = "fp32") -> Iterator[None]:
    """The network with the attributes that the settings give it, where it has them; afterwards as it was.

    Also whether GPUs may multiply with ten-bit factors (tf32).
    """
    attributes = {name: value for name, value in settings.model.items() if hasattr(model, name)}
    before = {name: getattr(model, name) for name in attributes}
    backends: list[Any] = [torch.backends.cudnn, torch.backends.cuda.matmul]
    allowed = [backend.allow_tf32 for backend in backends]
    try:
        for name, value in attributes.items():
            setattr(model, name, value)
        for backend in backends:
            backend.allow_tf32 = precision == "tf32"
        yield
    finally:
        for name, value in before.items():
            setattr(model, name, value)
        for backend, was in zip(backends, allowed, strict=True):
            backend.allow_tf32 = was
