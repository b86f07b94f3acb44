"""A few fixed samples: a network that cannot overfit them cannot learn."""

from __future__ import annotations

import numpy as np

from datamodules.core.samples import Sample, SampleSource
from vfi_train.errors import UserError


class FixedSubset:
    """The first samples of a source, each with one draw of the augmentation (see `SampleSource`).

    Args:
        source: of the samples.
        count: how many.
        seed: of the augmentation.
        times: how often each is in an epoch.
    """

    def __init__(self, source: SampleSource, count: int, seed: int, times: int = 1) -> None:
        if not 1 <= count <= len(source):
            raise UserError(f"data.overfit={count} is not a number of samples from 1 to {len(source)}")
        self.source, self.count, self.seed, self.times = source, count, seed, times

    def repeated(self, batch_size: int) -> FixedSubset:
        """The same with an epoch of at least 64 batches: each epoch restarts the loader."""
        return FixedSubset(self.source, self.count, self.seed, -(-64 * batch_size // self.count))

    def __len__(self) -> int:
        return self.count * self.times

    def sample(self, index: int, rng: np.random.Generator | None) -> Sample | list[Sample]:
        """Sample `index`; `rng` is ignored."""
        index %= self.count
        return self.source.sample(index, np.random.default_rng((self.seed, 0, index)))
