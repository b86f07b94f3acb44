"""A line that lives: where the training is, how fast it goes, how long it still takes."""

from __future__ import annotations

import sys
import time
from typing import Any

import lightning as L
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

SHOWN = {
    "train/loss": "loss {:.4f}",
    "train/samples_per_second": "{:.1f} samples/s",
    "train/data_wait": "{:.0%} waiting for data",
    "val/psnr": "val {:.2f} dB",
}


class StepProgress(L.Callback):
    """A progress bar over the whole training in optimizer steps; plain lines where there is no terminal.

    Args:
        every_seconds: between plain lines in a log file.
        later_steps: of the phases to come; the time that they take is told as if they were as fast as this one.
    """

    def __init__(self, every_seconds: float = 30.0, later_steps: int = 0) -> None:
        self.every_seconds, self.later_steps = every_seconds, later_steps
        self._progress: Progress | None = None
        self._began = self._told = 0.0
        self._first = 0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Begin where the checkpoint stood."""
        self._began = self._told = time.monotonic()
        self._first = trainer.global_step
        if trainer.is_global_zero and sys.stdout.isatty():
            columns = (
                TextColumn("step"), MofNCompleteColumn(), BarColumn(), TimeElapsedColumn(), TextColumn("left"),
                TimeRemainingColumn(), TextColumn("{task.fields[values]}"),
            )  # fmt: skip
            self._progress = Progress(*columns, console=Console(), refresh_per_second=4)
            self._progress.start()
            self._task = self._progress.add_task("", total=trainer.max_steps, completed=self._first, values="")

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move on. Values are read only when a line is drawn: reading them waits for the GPU."""
        now = time.monotonic()
        if self._progress is not None:
            if now - self._told > 1:
                self._told = now
                self._progress.update(
                    self._task, values=", ".join([*self._later(trainer, now), *self._values(trainer)])
                )
            self._progress.update(self._task, completed=trainer.global_step)
        elif trainer.is_global_zero and now - self._told > self.every_seconds:
            self._told = now
            left = f"{in_words(self._seconds(trainer, now) * (trainer.max_steps - trainer.global_step))} left"
            said = [f"step {trainer.global_step}/{trainer.max_steps}", left, *self._later(trainer, now)]
            print(", ".join([*said, *self._values(trainer)]), flush=True)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Leave the last state standing."""
        self._stop()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Give the terminal back before an error is told."""
        self._stop()

    def _values(self, trainer: L.Trainer) -> list[str]:
        metrics = trainer.callback_metrics
        return [form.format(float(metrics[name])) for name, form in SHOWN.items() if name in metrics]

    def _later(self, trainer: L.Trainer, now: float) -> list[str]:
        """The time that all phases still take."""
        steps = trainer.max_steps - trainer.global_step + self.later_steps
        return [f"all phases {in_words(self._seconds(trainer, now) * steps)}"] if self.later_steps else []

    def _seconds(self, trainer: L.Trainer, now: float) -> float:
        """What a step takes, with its part of the validations."""
        return (now - self._began) / max(1, trainer.global_step - self._first)

    def _stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


def in_words(seconds: float) -> str:
    """A length of time, as precise as one wants to know it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"
