"""The checkpoint that a stopped run goes on from."""

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
from vfi_train.weights.checkpoint_io import LAST


class LastCheckpoint(Checkpoint):
    """Saves `last.ckpt` at ends of steps, and ends the training there when a signal asks for it (see stop_signals.py).

    It saves every so many optimizer steps, at the end of the training, and when asked to stop. A step that is
    followed by a validation is saved after it, with what came of it; the step before is saved too, so that a stop
    during the validation, which does not wait for its end, costs one step.

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
        """From here on a signal waits for the end of a step."""
        self._seen = self._saved = trainer.global_step
        stop_signals.deferred = True

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """After an optimizer step: save where it is due; stop where that was asked for."""
        step = trainer.global_step
        if step == self._seen:
            return  # a micro-batch within a step
        self._seen = step
        asked = self._agreement.signal(trainer)
        due = step % self.every == 0 or step == trainer.max_steps or self._is_validated(trainer, 1)
        if (due or asked) and not self._is_validated(trainer, 0):
            write_csv_row(trainer)
            self._save(trainer)
        if asked:
            if self._saved == step:
                complete_step_metrics(trainer)
            raise Stopped(asked, self._saved)

    def on_validation_batch_end(self, trainer: L.Trainer, *args: Any, **kwargs: Any) -> None:
        """A validation is not finished when a stop is asked for."""
        if stop_signals.deferred and stop_signals.received:
            raise Stopped(stop_signals.received, self._saved)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save the step with its validation, which other callbacks have taken in by now."""
        if stop_signals.deferred and not trainer.sanity_checking:
            self._save(trainer)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save the end, unless that has been done."""
        stop_signals.deferred = False
        if self._saved != trainer.global_step:
            self._save(trainer)

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """No step will end any more."""
        stop_signals.deferred = False

    def _save(self, trainer: L.Trainer) -> None:
        self._saved = trainer.global_step
        trainer.save_checkpoint(self.path)

    @staticmethod
    def _is_validated(trainer: L.Trainer, later: int) -> bool:
        """Whether a validation follows the step that has just been done, or one that is `later`."""
        if not trainer.enable_validation:
            return False
        batches = trainer.fit_loop.total_batch_idx + 1 + later * trainer.accumulate_grad_batches
        return batches % (trainer.val_check_batch or math.inf) == 0


def write_csv_row(trainer: L.Trainer) -> None:
    """Write the step's row before its checkpoint: killed in between, the run would go on without it."""
    row = step_row(trainer)
    if row is None:
        return
    step = int(row.pop("step", trainer.global_step))
    for logger in trainer.loggers:
        if isinstance(logger, CSVLog):
            logger.log_metrics(row, step)
