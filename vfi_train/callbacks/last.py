"""The checkpoint that a stopped run goes on from."""

from __future__ import annotations

from pathlib import Path

import lightning as L
from lightning.pytorch.callbacks import ModelCheckpoint


class LastCheckpoint(ModelCheckpoint):
    """A ModelCheckpoint every so many optimizer steps, and at the end of the training."""

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save the end of the training, unless it has just been saved."""
        super().on_train_end(trainer, pl_module)
        if self._last_global_step_saved != trainer.global_step and self.dirpath is not None:
            trainer.save_checkpoint(Path(self.dirpath) / f"{self.filename}{self.FILE_EXTENSION}")
