"""Signals that ask a training to stop: the step is finished and saved first.

SIGTERM (a cluster takes the machine back, or `kill`), SIGUSR1 and SIGUSR2 (SLURM's warning ahead of the time limit,
`--signal=USR1@120`) and Ctrl-C. While steps are done the signal is only noted, and `LastCheckpoint` ends the training
at the next step's end; at any other time it ends at once, for nothing is lost.
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

ASKING = (signal.SIGTERM, signal.SIGINT, *(getattr(signal, n) for n in ("SIGUSR1", "SIGUSR2") if hasattr(signal, n)))
LAG = 2  # steps after which a GPU is asked what the processes have agreed on: it is long known, and nothing waits


class Stopped(BaseException):
    """A training ends because a signal asked for it; what it did is saved.

    Args:
        number: of the signal.
        step: optimizer steps that are saved; None: no step was being done.

    Attributes:
        outlook: what comes next, for the user.
    """

    def __init__(self, number: int, step: int | None = None) -> None:
        super().__init__(number, step)
        self.number, self.step = number, step
        self.outlook = "the same command goes on from there"

    def __str__(self) -> str:
        where = "" if self.step is None else f" after step {self.step}, which is saved"
        return f"stopped by {signal.Signals(self.number).name}{where}: {self.outlook}"


class StopSignals:
    """Takes the signals while it is entered (`with stop_signals:`).

    Attributes:
        received: the number of the first signal; 0: none came.
        deferred: note signals instead of ending at once.
    """

    def __init__(self) -> None:
        self.received = 0
        self.deferred = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        self.received, self.deferred = 0, False
        if threading.current_thread() is threading.main_thread():  # others may not
            self._before = {number: signal.signal(number, self._take) for number in ASKING}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def answer_early_ones(self) -> None:
        """End if a signal came while the program was still being loaded."""
        if early_signals:
            self.received = early_signals.pop()
            raise Stopped(self.received)

    def _take(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and (self.received == signal.SIGINT or not self.deferred):
            raise KeyboardInterrupt  # the second Ctrl-C does not wait for the step
        first, self.received = not self.received, self.received or number
        if first and not self.deferred:  # later ones are of one that is being answered: SLURM sends several
            raise Stopped(number)


stop_signals = StopSignals()


class Agreement:
    """Whether any process was asked to stop, with the same answer on all of them after the same step."""

    def __init__(self) -> None:
        self._pending: deque[tuple[Tensor, Any]] = deque()

    def signal(self, trainer: L.Trainer) -> int:
        """The signal's number, or 0. All processes call it after each optimizer step.

        On GPUs the answer is that of `LAG` steps ago, so that no step waits for the GPU.
        """
        if trainer.world_size == 1:
            return stop_signals.received
        device = trainer.strategy.root_device
        asked = torch.full((), stop_signals.received, device=device)
        dist.all_reduce(asked, dist.ReduceOp.MAX)
        if device.type != "cuda":
            return int(asked)
        host = torch.empty_like(asked, device="cpu", pin_memory=True).copy_(asked, non_blocking=True)
        known = torch.cuda.Event()
        known.record()
        self._pending.append((host, known))
        if len(self._pending) <= LAG:
            return 0
        host, known = self._pending.popleft()
        known.synchronize()
        return int(host)
