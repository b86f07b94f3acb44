"""The position in the training data, kept in checkpoints: a resumed epoch continues with the next sample.

Lightning restores the number of the batch, but not the state of the loader. The position is kept in samples, not in
micro-batches: a run may resume on another number of devices. Written against the loops of Lightning 2.6:
`_FitLoop.setup_data` starts the first iteration, after the loops' state was loaded and before `reset` changes it;
`_TrainingEpochLoop.on_run_start` starts the later ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lightning import LightningDataModule


class DataPosition:
    """The (epoch, samples) that the training data of a datamodule has reached.

    Args:
        datamodule: gives the trainer.
        batch_size: samples per optimizer step.

    Attributes:
        uncount_step: takes back one step in the count by which Lightning's `fit_loop`, its argument, decides what to
            log. It is private: who depends on it sets this.
    """

    def __init__(self, datamodule: LightningDataModule, batch_size: int) -> None:
        self.datamodule, self.batch_size = datamodule, batch_size
        self.uncount_step: Callable[[Any], None] = lambda fit_loop: None
        self.epoch = -1  # of the latest iteration
        self.micro_batch = 0  # samples per micro-batch over all processes
        self._loaded: dict[str, Any] | None = None

    def start(self, micro_batch: int, per_epoch: int) -> tuple[int, int]:
        """The epoch that an iteration now starts or continues, and how many micro-batches of it are done.

        Args:
            micro_batch: samples of a micro-batch over all processes.
            per_epoch: micro-batches in an epoch.
        """
        trainer, loaded, self._loaded = self.datamodule.trainer, self._loaded, None
        self.micro_batch, done = micro_batch, 0
        if trainer is None:
            self.epoch += 1
        elif loaded is None or not trainer.fit_loop.is_resuming:
            self.epoch = trainer.current_epoch
        elif loaded["finished"]:
            self.epoch = loaded["epoch"] + 1
            repair_loop(trainer.fit_loop, self.uncount_step)
            if loaded["micro_batch"] != micro_batch:
                set_completed(trainer.fit_loop, per_epoch)
        else:
            # Accumulated gradients are not in the checkpoint: the step begins again.
            steps = loaded["samples"] // self.batch_size
            self.epoch, done = loaded["epoch"], steps * self.batch_size // micro_batch
            repair_loop(trainer.fit_loop, self.uncount_step)
            set_completed(trainer.fit_loop, done)
        return self.epoch, done

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint: plain numbers; empty before the first iteration."""
        trainer = self.datamodule.trainer
        if trainer is None or self.epoch < 0:
            return {}
        progress: Any = trainer.fit_loop.epoch_loop.batch_progress
        done = progress.current.processed  # not `completed`: callbacks save before that is counted
        return {
            "epoch": self.epoch,
            "samples": done * self.micro_batch,
            "micro_batch": self.micro_batch,
            "finished": progress.is_last_batch and progress.current.ready == done,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep a checkpoint's position for the next iteration."""
        self._loaded = state_dict or None


def repair_loop(fit_loop: Any, uncount_step: Callable[[Any], None]) -> None:
    """Correct two restored states of Lightning's loops with which they would run a batch twice."""
    epochs, batches = fit_loop.epoch_progress, fit_loop.epoch_loop.batch_progress
    # An exception in the middle of a micro-batch leaves the totals one ahead for the rest of the run.
    batches.total.ready = batches.total.processed + batches.current.ready - batches.current.processed
    batches.total.started = batches.total.processed + batches.current.started - batches.current.processed
    # Saved in on_train_epoch_end by a run that counts steps, not epochs: move the state one hook back.
    if fit_loop.restarting and epochs.current.processed > epochs.current.completed and batches.is_last_batch:
        for epoch, batch in ((epochs.total, batches.total), (epochs.current, batches.current)):
            epoch.processed = epoch.completed
            batch.completed = batch.processed - 1
        uncount_step(fit_loop)


def set_completed(fit_loop: Any, done: int) -> None:
    """Set the loop's count of this epoch's micro-batches to `done`.

    The restored count differs when the run resumes with other micro-batches, or in the middle of an accumulated step.
    """
    total, current = fit_loop.epoch_loop.batch_progress.total, fit_loop.epoch_loop.batch_progress.current
    # Saved in on_train_batch_end: the loop will add the batch that was not yet completed.
    saved_at_batch_end = total.ready == total.started == total.processed == total.completed + 1
    if current.completed + saved_at_batch_end != done:
        current.ready = current.started = current.processed = done
        current.completed = done - saved_at_batch_end
