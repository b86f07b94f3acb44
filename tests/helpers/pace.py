"""A callback that gives a job something to be stopped in."""

from __future__ import annotations

import time
from typing import Any

import lightning as L


class Pace(L.Callback):
    """Makes each step take `seconds`."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        time.sleep(self.seconds)
