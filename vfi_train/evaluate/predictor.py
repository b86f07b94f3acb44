"""Frames of a network for pairs of frames, by the settings of a protocol."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from vfi_train.architectures import Architecture
from vfi_train.evaluate.protocol import Settings
from vfi_train.evaluate.samples import Pair
from vfi_train.inference.batch_predictor import BatchPredictor, ImagePair, tf32
from vfi_train.inference.interpolator import Interpolator


class Predictor:
    """Predicts the targets of pairs.

    Args:
        model: the network, on its device.
        settings: of a protocol.
        backend, precision: see `Backend`; for "tf32", and for "fp32" on a GPU, see `set_up`.

    Raises:
        UserError: an unknown backend or precision, or one that is not here.
    """

    def __init__(
        self, model: Architecture, settings: Settings, backend: str = "torch", precision: str = "fp32"
    ) -> None:
        self.recursive = not model.arbitrary_time if settings.recursive is None else settings.recursive
        interpolator = Interpolator(
            model,
            scale=settings.scale,
            tta=settings.tta,
            recursive=self.recursive,
            iterations=settings.iterations,
            channel_order=settings.channels,
            padding=settings.padding,
            padding_side=settings.padding_side,
            padding_multiple=settings.padding_multiple,
            backend=backend,
            precision=precision,
        )
        self.backend = interpolator.backend
        self.device = next(model.parameters(), torch.zeros(())).device
        # Channels-last makes convolutions on a CPU up to 1.5 times as fast.
        memory_format = torch.channels_last if self.device.type == "cpu" else torch.contiguous_format
        model.to(memory_format=memory_format)
        self._batch = BatchPredictor(interpolator, memory_format=memory_format)
        self.to_tensor = self._batch.to_tensor

    def frames(self, pairs: list[Pair]) -> Iterator[Tensor]:
        """The frame B 3 H W, RGB, in [0, 1], of the k-th moment of every pair, for one k after the other.

        Pairs that are too large for the memory as a batch are predicted one by one.
        """
        separate: dict[range, list[Tensor]] = {}
        images = [ImagePair(p.frame0, p.frame1, [target.time for target in p.targets], **p.context) for p in pairs]
        for indices, frame in self._batch.predict(images):
            if len(indices) == len(pairs):
                yield frame.contiguous()
            else:
                separate.setdefault(indices, []).append(frame)
        yield from (torch.cat(frames).contiguous() for frames in zip(*separate.values(), strict=True))


@contextmanager
def set_up(model: Architecture, settings: Settings, precision: str = "fp32") -> Iterator[None]:
    """Set the attributes of the network that the settings name, and whether GPUs use tf32; restore both afterwards."""
    attributes = {name: value for name, value in settings.model.items() if hasattr(model, name)}
    before = {name: getattr(model, name) for name in attributes}
    try:
        for name, value in attributes.items():
            setattr(model, name, value)
        with tf32(precision == "tf32"):
            yield
    finally:
        for name, value in before.items():
            setattr(model, name, value)
