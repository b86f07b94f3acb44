"""The checkpoint that a stopped run resumes from."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Checkpoint

from vfi_train.errors import UserError
from vfi_train.loggers.csv import CSVLog
from vfi_train.runtime.lightning_internals import complete_step_metrics, step_row
from vfi_train.runtime.stop_signals import Agreement, Stopped, stop_signals
from vfi_train.weights.load import LAST


class LastCheckpoint(Checkpoint):
    """Saves `last.ckpt` at the end of steps, and ends the training there after a signal (see stop_signals.py).

    It saves every `every_n_train_steps` steps, at the end of the training, and after a signal. A step that is followed
    by a validation is saved after the validation, with its results; the step before is saved too, so that a signal
    during the validation, which is not finished then, costs one step.

    Args:
        dirpath: the folder.
        every_n_train_steps: optimizer steps between checkpoints.
    """

    def __init__(self, dirpath: str | Path, every_n_train_steps: int) -> None:
        if every_n_train_steps < 1:
            raise UserError(f"checkpoint_every={every_n_train_steps} is not a number of steps: give 1 or more")
        self.path, self.every = Path(dirpath) / LAST, every_n_train_steps
        self._agreement = Agreement()
        self._seen = self._saved = -1  # optimizer steps

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """From here on a signal takes effect at the end of a step."""
        self._seen = self._saved = trainer.global_step
        stop_signals.deferred = True

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """After an optimizer step: save if it is due; stop if a signal came."""
        step = trainer.global_step
        if step == self._seen:
            return  # a micro-batch within a step
        self._seen = step
        received = self._agreement.signal(trainer)
        due = step % self.every == 0 or step == trainer.max_steps or self._is_validated(trainer, 1)
        if (due or received) and not self._is_validated(trainer, 0):
            write_csv_row(trainer)
            self._save(trainer)
        if received:
            if self._saved == step:
                complete_step_metrics(trainer)
            raise Stopped(received, self._saved)

    def on_validation_batch_end(self, trainer: L.Trainer, *args: Any, **kwargs: Any) -> None:
        """After a signal, do not finish the validation."""
        if stop_signals.deferred and stop_signals.received:
            raise Stopped(stop_signals.received, self._saved)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save the step with its validation, whose results the other callbacks have by now."""
        if stop_signals.deferred and not trainer.sanity_checking:
            self._save(trainer)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save the last step, unless it is saved."""
        stop_signals.deferred = False
        if self._saved != trainer.global_step:
            self._save(trainer)

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """No further step will end: signals take effect immediately."""
        stop_signals.deferred = False

    def _save(self, trainer: L.Trainer) -> None:
        self._saved = trainer.global_step
        trainer.save_checkpoint(self.path)

    @staticmethod
    def _is_validated(trainer: L.Trainer, later: int) -> bool:
        """Whether a validation follows the step that has just ended, or the one that is `later` steps after it."""
        if not trainer.enable_validation:
            return False
        batches = trainer.fit_loop.total_batch_idx + 1 + later * trainer.accumulate_grad_batches
        return batches % (trainer.val_check_batch or math.inf) == 0


def write_csv_row(trainer: L.Trainer) -> None:
    """Write the step's row before its checkpoint: a run killed in between would resume without the row."""
    row = step_row(trainer)
    if row is None:
        return
    step = int(row.pop("step", trainer.global_step))
    for logger in trainer.loggers:
        if isinstance(logger, CSVLog):
            logger.log_metrics(row, step)
