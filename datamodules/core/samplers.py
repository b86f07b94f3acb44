"""Which samples make up which batch: a function of seed, epoch and position.

The global batch of optimizer step k holds the same samples, with the same augmentation, for any number of processes,
workers and accumulated micro-batches, and whether or not the run was stopped and resumed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from torch.utils.data import Sampler

from vfi_train.errors import UserError


class GlobalBatchSampler(Sampler[list[tuple[int, int]]]):
    """Micro-batches of one process for one epoch of training, as lists of (epoch, index).

    Micro-batch j of process r takes the slice [j * world * b + r * b : + b] of the shuffled samples, b being
    `per_device`. The samples left over when the dataset does not divide by `batch_size` are left out of this epoch
    (the next one is shuffled differently).

    Args:
        size: number of samples of the dataset.
        batch_size: samples per optimizer step, over all processes and accumulated micro-batches.
        per_device: samples per micro-batch of one process.
        seed: of the order.
        rank, world_size: which process of how many.
        position: called at each `begin`; returns (epoch, micro-batches of it that are already done).

    Raises:
        UserError: the dataset is smaller than one global batch.
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        per_device: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        position: Callable[[], tuple[int, int]] = lambda: (0, 0),
    ) -> None:
        if size < batch_size:
            raise UserError(
                f"the training set has {size} samples, fewer than one batch of data.batch_size={batch_size}: "
                "choose a smaller batch, or more data"
            )
        self.size, self.batch_size, self.per_device, self.seed = size, batch_size, per_device, seed
        self.rank, self.world_size, self.position = rank, world_size, position
        self.accumulate = batch_size // (per_device * world_size)
        self.epoch, self.done = 0, 0

    def __len__(self) -> int:
        """Micro-batches of a full epoch, also where the next iteration resumes in the middle of one."""
        return self.size // self.batch_size * self.accumulate

    def begin(self) -> None:
        """Find the position at which the next iteration starts."""
        self.epoch, self.done = self.position()

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        return self.micro_batches(self.epoch, self.done)

    def micro_batches(self, epoch: int, done: int = 0) -> Iterator[list[tuple[int, int]]]:
        """Those of an epoch after the first `done` ones."""
        order = np.random.default_rng((self.seed, epoch)).permutation(self.size).tolist()
        for number in range(done, len(self)):
            start = (number * self.world_size + self.rank) * self.per_device
            yield [(epoch, index) for index in order[start : start + self.per_device]]


class ShardedEvalSampler(Sampler[list[tuple[None, int]]]):
    """Batches of validation samples of one process: rank r takes r, r + world, ...; none is taken twice.

    Args:
        size: number of samples of the dataset.
        batch_size: samples of a batch.
        rank, world_size: which process of how many.
        start: the first sample that is taken.
    """

    def __init__(self, size: int, batch_size: int, rank: int = 0, world_size: int = 1, start: int = 0) -> None:
        self.indices, self.batch_size = range(start + (rank - start) % world_size, size, world_size), batch_size

    def __len__(self) -> int:
        return -(-len(self.indices) // self.batch_size)

    def __iter__(self) -> Iterator[list[tuple[None, int]]]:
        for start in range(0, len(self.indices), self.batch_size):
            yield [(None, index) for index in self.indices[start : start + self.batch_size]]


def split_batch(batch_size: int, world_size: int, micro_batch_size: int | None = None) -> tuple[int, int]:
    """Samples per device and micro-batch, and micro-batches per optimizer step, for a global batch.

    Args:
        batch_size: samples per optimizer step.
        world_size: number of devices.
        micro_batch_size: the largest batch that fits one device; None: any fits.

    Returns:
        (per_device, accumulate): per_device * accumulate * world_size = batch_size.

    Raises:
        UserError: it does not divide.
    """
    for name, value in (("data.batch_size", batch_size), ("data.micro_batch_size", micro_batch_size)):
        if value is not None and value < 1:
            raise UserError(f"{name}={value} is not a number of samples: give 1 or more")
    if batch_size % world_size:
        raise UserError(
            f"data.batch_size={batch_size} does not divide by {world_size} devices: choose a multiple of {world_size}"
        )
    samples = batch_size // world_size
    per_device = samples if micro_batch_size is None else min(samples, micro_batch_size)
    if samples % per_device:
        fitting = [n for n in range(1, per_device) if samples % n == 0][-1]
        raise UserError(
            f"data.batch_size={batch_size} is {samples} samples for each of {world_size} devices, which does "
            f"not divide by data.micro_batch_size={micro_batch_size}: choose {fitting}"
        )
    return per_device, samples // per_device
