"""Samples, where they come from, and the random numbers of each."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from torch.utils.data import Dataset

from vfi_train.errors import DataError

Sample = dict[str, Any]


class SampleSource(Protocol):
    """Numbered samples of a dataset, drawn with given random numbers.

    A sample holds `frame0`, `frame1`, `target` (H W 3, uint8, or float32 in [0, 1]), `time` (a number, or a
    distance map H W), `key`, and, where the dataset gives it, `flow` (H W 4, float32, pixels: target to
    frame0 as x, y, then target to frame1), `reference` and `reference_time`, `before` and `after` (see
    `VFIDataModule.give_context`), `occluded` (H W: an input does not show the target's pixel), and `pair` (a name of
    the two inputs, shared by samples of other times between them).

    A source whose training item is a group (all targets between two frames) gives a list of samples, which
    enter the batch together; sizes of batches then count groups.
    """

    def __len__(self) -> int: ...

    def sample(self, index: int, rng: np.random.Generator | None) -> Sample | list[Sample]:
        """The sample; `rng` is None for validation samples, which are the same every time."""
        ...


@runtime_checkable
class HasSubsets(Protocol):
    """A source whose samples do not all suit one batch."""

    def after(self, index: int) -> int:
        """The sample that replaces a broken one; it suits the same batch."""
        ...


@runtime_checkable
class HasPairs(Protocol):
    """A source with several samples between the same two frames, which are neighbours."""

    def pair(self, index: int) -> str:
        """A name of the two frames of a sample: its `pair`, without reading it."""
        ...


class SeededDataset(Dataset[Sample | list[Sample]]):
    """Samples of a source by (epoch, index); the random numbers of each are seeded by (seed, epoch, index).

    An epoch of None is for validation samples: no random numbers.

    Args:
        source: of the samples.
        seed: of their augmentation.
        skips: how many broken training samples in a row may be skipped. What is drawn instead depends only on
            (seed, epoch, index), too. Validation samples are never skipped: a score must be that of the full set.
    """

    def __init__(self, source: SampleSource, seed: int, skips: int = 0) -> None:
        self.source, self.seed, self.skips = source, seed, skips

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, position: tuple[int | None, int]) -> Sample | list[Sample]:
        epoch, index = position
        if epoch is None:
            return self.source.sample(index, None)
        skipped: list[str] = []
        at = index
        while True:
            rng = np.random.default_rng((self.seed, epoch, index, *([len(skipped)] if skipped else [])))
            try:
                drawn = self.source.sample(at, rng)
                break
            except DataError as error:
                if len(skipped) == self.skips:
                    raise
                skipped.append(str(error))
                at = self.source.after(at) if isinstance(self.source, HasSubsets) else (at + 1) % len(self.source)
        if skipped:
            (drawn[0] if isinstance(drawn, list) else drawn)["skipped"] = skipped
        return drawn

    def __getitems__(self, positions: list[tuple[int | None, int]]) -> list[Sample]:
        """The samples of a batch, those of a group one after the other."""
        drawn = [self[position] for position in positions]
        return [sample for item in drawn for sample in (item if isinstance(item, list) else [item])]
