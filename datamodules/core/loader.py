"""Loaders and their worker processes."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from typing import Any

import cv2
import torch.distributed as dist
from torch.utils.data import DataLoader

from datamodules.core.malloc import MMAP_THRESHOLD, TRIM_THRESHOLD, set_malloc
from datamodules.core.samplers import GlobalBatchSampler

FORK_DELAY = 0.25  # seconds; threads need microseconds once they are given a core
cv2.setNumThreads(0)  # workers are the parallelism, and a forked one would wait for ever for threads it does not have


class Loader(DataLoader):
    """A DataLoader that forks its workers with care.

    It waits first: after a collective, a thread of torch.distributed still releases Python objects, and a worker that
    is forked in that moment may wait for ever for a lock of CPython's that the thread held (gloo, Python 3.11).

    Garbage, such as a decoder, is collected before: a worker that collects it, which may happen before `init_worker`
    can prevent it, may wait for ever for threads that a fork does not have.

    Workers are forked with SIGTERM blocked: torch may start threads in them before `init_worker` can block it.
    """

    def __iter__(self) -> Any:
        if not self.num_workers or self._iterator is not None:
            return super().__iter__()
        gc.collect()
        if dist.is_available() and dist.is_initialized():
            time.sleep(FORK_DELAY)
        if not hasattr(signal, "pthread_sigmask"):
            return super().__iter__()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            return super().__iter__()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


class TrainLoader(Loader):
    """A loader over `GlobalBatchSampler`; its iteration begins once, though torch starts the sampler twice."""

    batch_sampler: GlobalBatchSampler

    def __iter__(self) -> Any:
        self.batch_sampler.begin()
        return super().__iter__()


def init_worker(worker: int) -> None:
    """Set up a worker process: keep freed memory, which the system would have to clear again, and ignore signals.

    A terminal or SLURM sends signals to all processes; the main process handles them, and still needs the batches.
    """
    gc.freeze()  # garbage of the main process, such as a decoder, may wait for threads that a fork does not have
    _ignore_signals_except_from(os.getppid())
    set_malloc({MMAP_THRESHOLD: 32 << 20, TRIM_THRESHOLD: 256 << 20})  # bytes; the first is the most that glibc takes


def _ignore_signals_except_from(parent: int) -> None:
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
