"""Images of validation samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger

from vfi_train.errors import UserError
from vfi_train.visualization import grid, sample_strip, save_png


class ValidationImages(L.Callback):
    """Writes the first validation samples as `images/step_0001000.png` and `images/latest.png`.

    Each row is one sample as `vfi_train.visualization.sample_strip` draws it; W&B and TensorBoard get the same image
    as `val/images`. Only the first process draws.

    Args:
        every_n_validations: draw after the first validation and each n-th after it.
        samples: how many; the first ones, so the same each time.

    Reads what validation_step returns: {"prediction": Prediction, "batch": Batch}.
    """

    def __init__(self, every_n_validations: int = 1, samples: int = 4) -> None:
        if every_n_validations < 1 or samples < 1:
            raise UserError(
                f"every_n_validations and samples are 1 or more; got {every_n_validations} and {samples}: "
                "remove the callback (~callbacks.images) for no images"
            )
        self.every_n_validations = every_n_validations
        self.samples = samples
        self.validations = 0
        self._strips: list[np.ndarray] = []
        self._wanted = 0

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Decide whether to draw this validation."""
        self._strips = []
        due = self.validations % self.every_n_validations == 0
        self._wanted = self.samples if due and trainer.is_global_zero and not trainer.sanity_checking else 0

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Draw samples until there are enough."""
        missing = self._wanted - len(self._strips)
        for index in range(min(missing, len(outputs["batch"]["frame0"]))):
            self._strips.append(sample_strip(outputs["batch"], outputs["prediction"], index))

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the image and log it to W&B or TensorBoard."""
        if not trainer.sanity_checking:
            self.validations += 1
        if not self._strips:
            return
        image = grid(self._strips)
        self._strips = []
        folder = Path(trainer.default_root_dir) / "images"
        save_png(folder / f"step_{trainer.global_step:07d}.png", image)
        save_png(folder / "latest.png", image)
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_image("val/images", [image], step=trainer.global_step)
            elif isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image("val/images", image, trainer.global_step, dataformats="HWC")

    def state_dict(self) -> dict[str, Any]:
        """The number of validations, so that a resumed run continues counting."""
        return {"validations": self.validations}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self.validations = state_dict["validations"]
