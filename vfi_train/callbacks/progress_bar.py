"""The progress of a training in optimizer steps."""

from __future__ import annotations

from typing import Any

import lightning as L

from vfi_train.ranges import AboveZero
from vfi_train.runtime.progress import ProgressReporter, duration

SHOWN = {
    "train/loss": "loss {:.4f}",
    "train/samples_per_second": "{:.1f} samples/s",
    "train/data_wait": "{:.0%} waiting for data",
    "val/psnr": "val {:.2f} dB",
}


class StepProgress(L.Callback):
    """A progress bar over the complete training in optimizer steps; lines where there is no terminal.

    Args:
        every_seconds: between lines in a log file.
        later_steps: of a curriculum's later phases; their time is estimated at the speed of this one.
    """

    def __init__(self, every_seconds: AboveZero = 30.0, later_steps: int = 0) -> None:
        self.every_seconds, self.later_steps = every_seconds, later_steps
        self._progress: ProgressReporter | None = None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start at the checkpoint's step."""
        self._progress = ProgressReporter(
            "step", trainer.max_steps, completed=trainer.global_step, every_seconds=self.every_seconds,
            stream="stdout", shown=trainer.is_global_zero,
        )  # fmt: skip

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Advance; values are read only when they are shown."""
        assert self._progress is not None
        self._progress.update(trainer.global_step, lambda: ", ".join(self._values(trainer)))

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Leave the last state on the terminal."""
        self._close()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Release the terminal before an error is printed."""
        self._close()

    def _values(self, trainer: L.Trainer) -> list[str]:
        assert self._progress is not None
        later = duration(self._progress.seconds_left(more=self.later_steps))
        metrics = trainer.callback_metrics
        found = [form.format(float(metrics[name])) for name, form in SHOWN.items() if name in metrics]
        return [*([f"all phases {later}"] if self.later_steps else []), *found]

    def _close(self) -> None:
        if self._progress is not None:
            self._progress.close()
            self._progress = None
