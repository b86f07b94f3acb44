"""Which samples make up which batch, with which random numbers: a function of seed, epoch and position alone.

The global batch of optimizer step k holds the same samples, with the same augmentation, whatever the number
of processes, of workers or of accumulated micro-batches, and whether or not the run was stopped and resumed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol, runtime_checkable

import cv2
import numpy as np
import torch.distributed as dist
from torch.utils.data import DataLoader, Dataset, Sampler

from vfi_train.errors import DataError, UserError

Sample = dict[str, Any]
REST = 0.25  # seconds; threads need microseconds, where they are given a core
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
cv2.setNumThreads(0)  # workers are as many as wanted; a forked one waits for ever for threads that it does not have


class SampleSource(Protocol):
    """A dataset as this package sees it: numbered samples, drawn with the random numbers that it is given.

    A sample holds `frame0`, `frame1`, `target` (H W 3, uint8, or float32 in [0, 1]), `time` (a number, or a
    distance map H W), `key`, and, where the dataset gives it, `flow` (H W 4, float32, pixels: target to
    frame0 as x, y, then target to frame1).

    A source whose training item is a group (all the moments between two frames) gives a list of samples, which
    enter the batch together; sizes of batches then count groups.
    """

    def __len__(self) -> int: ...

    def sample(self, index: int, rng: np.random.Generator | None) -> Sample | list[Sample]:
        """The sample; `rng` is None for held-out ones, which are the same every time."""
        ...


@runtime_checkable
class HasSubsets(Protocol):
    """A source whose samples do not all suit one batch."""

    def after(self, index: int) -> int:
        """The sample that is drawn instead of a broken one: it suits the same batch."""
        ...


class SeededDataset(Dataset[Sample | list[Sample]]):
    """Asks a source for samples by (epoch, index); the random numbers of each come from (seed, epoch, index).

    An epoch of None is for held-out samples: no random numbers.

    Args:
        source: of the samples.
        seed: of their augmentation.
        skips: how many broken training samples in a row may be passed over, up to the next whole one. What is
            drawn instead depends on (seed, epoch, index) alone, too. Held-out samples are never passed over: a
            score must be that of the whole set.
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
        given = [self[position] for position in positions]
        return [sample for one in given for sample in (one if isinstance(one, list) else [one])]


class GlobalBatchSampler(Sampler[list[tuple[int, int]]]):
    """Micro-batches of one process for one epoch of training, as lists of (epoch, index).

    Micro-batch j of process r takes the slice [j * world * b + r * b : + b] of the global batch, b being
    `per_device`. The samples left over when the dataset does not divide by `batch_size` sit out this epoch
    (others do in the next: the order is drawn anew).

    Args:
        size: number of samples of the dataset.
        batch_size: samples per optimizer step, over all processes and accumulated micro-batches.
        per_device: samples per micro-batch of one process.
        seed: of the order.
        rank, world_size: which process of how many.
        position: asked at each `begin` for (epoch, micro-batches of it that are already done).

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
        """Micro-batches of a whole epoch, also where the next iteration resumes in the middle of one."""
        return self.size // self.batch_size * self.accumulate

    def begin(self) -> None:
        """Ask for the position at which the next iteration starts."""
        self.epoch, self.done = self.position()

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        return self.micro_batches(self.epoch, self.done)

    def micro_batches(self, epoch: int, done: int = 0) -> Iterator[list[tuple[int, int]]]:
        """Those of an epoch after the first `done` ones."""
        order = np.random.default_rng((self.seed, epoch)).permutation(self.size).tolist()
        for number in range(done, len(self)):
            start = (number * self.world_size + self.rank) * self.per_device
            yield [(epoch, index) for index in order[start : start + self.per_device]]


class Loader(DataLoader):
    """A DataLoader that starts its workers at a quiet moment.

    When a collective is over, a thread of torch.distributed still lets go of Python objects. A worker that is forked
    in that moment may wait for ever for a lock of CPython's that the thread held (seen with gloo and Python 3.11).
    """

    def __iter__(self) -> Any:
        if self.num_workers and self._iterator is None and dist.is_available() and dist.is_initialized():
            time.sleep(REST)
        return super().__iter__()


class TrainLoader(Loader):
    """A loader over `GlobalBatchSampler`; its iteration begins once, though torch starts the sampler twice."""

    batch_sampler: GlobalBatchSampler

    def __iter__(self) -> Any:
        self.batch_sampler.begin()
        return super().__iter__()


class ShardedEvalSampler(Sampler[list[tuple[None, int]]]):
    """Batches of held-out samples of one process: rank r takes r, r + world, ...; none is taken twice."""

    def __init__(self, size: int, batch_size: int, rank: int = 0, world_size: int = 1) -> None:
        self.indices, self.batch_size = range(rank, size, world_size), batch_size

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
    share = batch_size // world_size
    per_device = share if micro_batch_size is None else min(share, micro_batch_size)
    if share % per_device:
        fitting = [n for n in range(1, per_device) if share % n == 0][-1]
        raise UserError(
            f"data.batch_size={batch_size} is {share} samples for each of {world_size} devices, which does "
            f"not divide by data.micro_batch_size={micro_batch_size}: choose {fitting}"
        )
    return per_device, share // per_device


def init_worker(worker: int) -> None:
    """Keep freed memory in a worker process: what is handed back to the system is cleared anew when it is needed.

    Signals are the main process's to answer: those that a terminal or SLURM sends to all processes must not end a
    worker whose batches are still wanted.
    """
    _leave_signals_to(os.getppid())
    with contextlib.suppress(OSError, AttributeError):  # other C libraries than glibc
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, 32 << 20)  # bytes; the most that glibc takes
        libc.mallopt(M_TRIM_THRESHOLD, 256 << 20)


def _leave_signals_to(parent: int) -> None:
    """Ignore requests to stop, but for the parent's own."""
    for name in ("SIGINT", "SIGUSR1", "SIGUSR2"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if not hasattr(signal, "sigwaitinfo"):
        return  # not Linux

    def wait() -> None:
        while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
            pass
        os._exit(0)

    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # of this thread and those that it starts
    threading.Thread(target=wait, daemon=True).start()
