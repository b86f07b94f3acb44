"""Callbacks that a test puts into a training by `+callbacks.NAME={_target_: ...}`."""

from __future__ import annotations

from typing import Any, ClassVar

import lightning as L
import torch
from torch import Tensor


class Recorder(L.Callback):
    """Keeps the weights and the gradient norm of every optimizer step; may break the training off."""

    weights: ClassVar[list[dict[str, Tensor]]] = []  # after step 1, 2, ...
    gradient_norms: ClassVar[list[float]] = []  # as the optimizer got them
    stop_at: ClassVar[int | None] = None

    @classmethod
    def begin(cls, stop_at: int | None = None) -> str:
        """Forget what was recorded; the override that adds it to a training."""
        cls.weights, cls.gradient_norms, cls.stop_at = [], [], stop_at
        return "+callbacks.recorder={_target_: tests.helpers.recorder.Recorder}"

    def on_before_zero_grad(self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Any) -> None:
        gradients = [p.grad for p in pl_module.parameters() if p.grad is not None]
        if gradients:
            self.gradient_norms.append(torch.nn.utils.get_total_norm(gradients).item())

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step > len(self.weights):
            self.weights.append({k: v.detach().clone() for k, v in pl_module.state_dict().items()})
        if trainer.global_step == self.stop_at:
            raise RuntimeError("stopped by the test")


class Poison(L.Callback):
    """Sets one pixel of the target (to NaN) in the batches of some optimizer steps, on all processes or on one."""

    def __init__(self, steps: list[int], process: int | None = None, value: float = torch.nan) -> None:
        self.steps, self.process, self.value = steps, process, value

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step + 1 in self.steps and self.process in (None, trainer.global_rank):
            batch["target"][0, 0, 3, 5] = self.value


class Luck(L.Callback):
    """Logs a value of its own after each validation."""

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        pl_module.log("val/luck", 7.0, sync_dist=True)
