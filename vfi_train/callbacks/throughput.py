"""The speed of a training, the share of time that it waits for data, and its memory."""

from __future__ import annotations

import time
from typing import Any

import lightning as L
import torch

from vfi_train.runtime.console import GIB


class Throughput(L.Callback):
    """Logs `train/samples_per_second` (of all processes), `train/data_wait` (share of the time, 0..1) and, on a GPU,
    `train/gpu_memory` (GiB, the peak of tensors on the first process).

    All are measured since the previous row, by the host's clock: no synchronisation with the GPU.
    """

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start counting."""
        self._step = trainer.global_step
        self._reset()

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """The time since the last batch ended was spent waiting for this one."""
        self._wait += time.perf_counter() - self._batch_end

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count, and log where Lightning writes a row."""
        self._batch_end = time.perf_counter()
        self._samples += len(batch["key"]) * trainer.world_size
        every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if trainer.global_step != self._step and every > 0 and trainer.global_step % every == 0:
            seconds = self._batch_end - self._start
            pl_module.log("train/samples_per_second", self._samples / seconds)
            pl_module.log("train/data_wait", self._wait / seconds)
            if pl_module.device.type == "cuda":
                pl_module.log("train/gpu_memory", torch.cuda.max_memory_allocated(pl_module.device) / GIB)
                torch.cuda.reset_peak_memory_stats(pl_module.device)
            self._reset()
        self._step = trainer.global_step

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Validation is neither training nor waiting."""
        self._reset()

    def _reset(self) -> None:
        self._start = self._batch_end = time.perf_counter()
        self._wait = 0.0
        self._samples = 0
