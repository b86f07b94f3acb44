"""Signals that stop a training: the current step is finished and saved first.

SIGTERM (preemption, or `kill`), SIGUSR1 and SIGUSR2 (SLURM's warning before the time limit, `--signal=USR1@120`) and
Ctrl-C. During training steps the signal is only recorded, and `LastCheckpoint` ends the training at the end of the
step; at any other time the training ends immediately, since nothing is lost.
"""

from __future__ import annotations

import signal
import threading
from collections import deque
from types import FrameType
from typing import Any

import lightning as L
import torch
import torch.distributed as dist
from torch import Tensor

from vfi_train.runtime.early_signals import early_signals

NAMES = ("SIGTERM", "SIGINT", "SIGUSR1", "SIGUSR2")
STOP_SIGNALS = tuple(getattr(signal, name) for name in NAMES if hasattr(signal, name))
LAG = 2  # steps after which the result of an all-reduce on GPUs is read: it is ready by then, and the host never waits


class Stopped(BaseException):
    """A training ends because of a signal; its progress is saved.

    Args:
        number: of the signal.
        step: optimizer steps that are saved; None: training had not started, or had ended.

    Attributes:
        outlook: what happens next, for the user.
    """

    def __init__(self, number: int, step: int | None = None) -> None:
        super().__init__(number, step)
        self.number, self.step = number, step
        self.outlook = "the same command resumes from there"

    def __str__(self) -> str:
        where = "" if self.step is None else f" after step {self.step}, which is saved"
        return f"stopped by {signal.Signals(self.number).name}{where}: {self.outlook}"


class StopSignals:
    """Handles the signals within `with stop_signals:`.

    Attributes:
        received: the number of the first signal; 0: none.
        deferred: record signals instead of ending immediately.
    """

    def __init__(self) -> None:
        self.received = 0
        self.deferred = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        self.received, self.deferred = 0, False
        if threading.current_thread() is threading.main_thread():  # others must not
            self._before = {number: signal.signal(number, self._handle) for number in STOP_SIGNALS}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def raise_early(self) -> None:
        """Raise `Stopped` if a signal came while the program was being loaded."""
        if early_signals:
            self.received = early_signals.pop()
            raise Stopped(self.received)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and (self.received == signal.SIGINT or not self.deferred):
            raise KeyboardInterrupt  # the second Ctrl-C does not wait for the step
        first, self.received = not self.received, self.received or number
        if first and not self.deferred:  # SLURM sends several
            raise Stopped(number)


stop_signals = StopSignals()


class Agreement:
    """Whether any process received a signal, with the same result on all of them after the same step."""

    def __init__(self) -> None:
        self._pending: deque[tuple[Tensor, Any]] = deque()

    def signal(self, trainer: L.Trainer) -> int:
        """The signal's number, or 0. All processes call it after each optimizer step.

        On GPUs the result is that of `LAG` steps ago, so that no step waits for the GPU.
        """
        if trainer.world_size == 1:
            return stop_signals.received
        device = trainer.strategy.root_device
        received = torch.full((), stop_signals.received, device=device)
        dist.all_reduce(received, dist.ReduceOp.MAX)
        if device.type != "cuda":
            return int(received)
        host = torch.empty_like(received, device="cpu", pin_memory=True).copy_(received, non_blocking=True)
        known = torch.cuda.Event()
        known.record()
        self._pending.append((host, known))
        if len(self._pending) <= LAG:
            return 0
        host, known = self._pending.popleft()
        known.synchronize()
        return int(host)
