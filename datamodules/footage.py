"""The user's own videos as a test: every frame between the inputs of each stretch of a video or folder of frames."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from datamodules.core.samples import SampleSource
from datamodules.file_dataset import Triplet, evenly_spaced
from datamodules.storage.frame_cache import Frames
from datamodules.video import ClipData, ClipTriplets, is_even
from vfi_train.errors import DataError, UserError


class Footage(ClipData):
    """Frames i and i + `factor` of each clip, for i = 0, factor, ..., and the targets between them.

    Args:
        factor: frames from one input to the other; the time of the k-th between them is k / factor.
        **data: see `ClipData`.
    """

    trains = False

    def __init__(self, *, factor: int = 2, **data: Any) -> None:
        super().__init__(**data)
        if factor < 2:
            raise UserError(f"data.factor={factor} leaves no frame between two: give 2 or more")
        self.factor, self.arbitrary_time = factor, factor != 2

    def train_source(self) -> SampleSource:
        """There is none."""
        raise DataError("data=footage is only for evaluation: train with data=video")

    def val_source(self) -> ClipTriplets:
        """The targets of all clips; decodes what is new."""
        triplets = evenly_spaced(self._triplets, self.val_samples)
        return ClipTriplets(triplets, self.val_transforms, "{target:06d}", self.context_cuts)

    @cached_property
    def _triplets(self) -> list[tuple[Frames, Triplet]]:
        triplets: list[tuple[Frames, Triplet]] = []
        over_cuts = count = uneven = 0
        for frames in self.decoded():
            cuts_before = np.cumsum(frames.unexplained > self.cut_threshold)
            for first in range(0, len(frames) - self.factor, self.factor):
                last = first + self.factor
                if cuts_before[last] == cuts_before[first]:
                    found = [Triplet(first, target, last) for target in range(first + 1, last)]
                    kept = [triplet for triplet in found if is_even(frames, triplet)]
                    triplets += [(frames, triplet) for triplet in kept]
                    count, uneven = count + len(found), uneven + len(found) - len(kept)
                else:
                    over_cuts += 1
        if over_cuts:
            self.notes.append(
                f"{over_cuts} pairs lie over a cut and are left out (data.cut_threshold={self.cut_threshold:g})"
            )
        if uneven:
            self.notes.append(
                f"{uneven} of {count} targets are not at their time (frames unevenly spaced in time) and are left out"
            )
        if not triplets:
            raise DataError(
                f"data.root={self.root} holds no {self.factor + 1} frames one after the other without a cut and evenly "
                "spaced in time: give more footage, or another data.factor, data.cut_threshold"
            )
        return triplets
