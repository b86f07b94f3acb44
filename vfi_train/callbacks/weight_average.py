"""Averages of the weights over the training: EMA and SWA."""

from __future__ import annotations

import copy
from typing import Any

import lightning as L
import torch
from torch import Tensor

from vfi_train.contract import Batch, Prediction
from vfi_train.errors import UserError
from vfi_train.inference.interpolator import Interpolator
from vfi_train.modules.forward import validation_prediction
from vfi_train.modules.interpolation_module import InterpolationModule
from vfi_train.ranges import Natural, Text
from vfi_train.weights.load import NETWORK_PREFIX

CHECKPOINT_KEY = "averages"  # of a checkpoint: name -> {"updates", "state_dict"}


class WeightAverage(L.Callback):
    """Keeps an average of the weights; validation scores both (`val/psnr` and `val/psnr_NAME`).

    After optimizer step s = start_step + k * every_n_steps, average += (weights - average) * (1 - decay), or, with
    a decay of null, * 1 / (number of updates): the plain mean. It does not affect the training.

    Args:
        decay: of the exponential average, 0..1; null: the plain mean (SWA).
        start_step: optimizer steps before the first update, which copies the weights.
        every_n_steps: optimizer steps between updates.
        warmup: at update n use min(decay, n / (9 + n)), so that the first weights have less influence.
        name: in the logs and in `weights=RUN:NAME`.

    Source: Polyak and Juditsky 1992; SWA: Izmailov et al., UAI 2018.
    """

    def __init__(
        self,
        decay: float | None = 0.999,
        start_step: Natural = 0,
        every_n_steps: int = 1,
        warmup: bool = False,
        name: Text = "ema",
    ) -> None:
        if decay is not None and not 0 <= decay < 1:
            raise UserError(f"the decay of the average {name!r} is 0 or more and less than 1; got {decay}")
        if every_n_steps < 1:
            raise UserError(f"every_n_steps of the average {name!r} is 1 or more; got {every_n_steps}")
        self.decay, self.start_step, self.every_n_steps, self.warmup = decay, start_step, every_n_steps, warmup
        self.name = name
        self.updates = 0
        self._seen_step = 0
        self._loaded: dict[str, Tensor] | None = None
        self._interpolator: Interpolator | None = None

    @property
    def state_key(self) -> str:
        """Several averages of one training differ by name."""
        return f"WeightAverage.{self.name}"

    @property
    def network(self) -> Any:
        """The network with the average as its weights."""
        assert self._interpolator is not None
        return self._interpolator.model

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Copy the network, on its device."""
        assert isinstance(pl_module, InterpolationModule)
        network = copy.deepcopy(pl_module.architecture).requires_grad_(False).eval()
        if self._loaded is not None:
            network.load_state_dict(self._loaded)
        self._interpolator = Interpolator(network)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Count a step once, however many micro-batches it has."""
        self._seen_step = trainer.global_step

    @torch.no_grad()
    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Update the average after an optimizer step."""
        step = trainer.global_step
        due = step > self.start_step and (step - self.start_step - 1) % self.every_n_steps == 0
        if step == self._seen_step or not due:
            return
        self._seen_step = step
        assert isinstance(pl_module, InterpolationModule)
        self.updates += 1
        weight = self.weight(self.updates)
        average, now = (list(net.parameters()) for net in (self.network, pl_module.architecture))
        torch._foreach_lerp_(average, now, weight)
        for kept, buffer in zip(self.network.buffers(), pl_module.architecture.buffers(), strict=True):
            kept.copy_(buffer)

    def weight(self, update: int) -> float:
        """The share of the weights in the average at update number `update`, from 1."""
        if update == 1:
            return 1.0
        if self.decay is None:
            return 1 / update
        return 1 - (min(self.decay, update / (9 + update)) if self.warmup else self.decay)

    def predict(self, batch: Batch, trainer: L.Trainer) -> Prediction:
        """The averaged network's prediction for a validation batch, in the training's precision."""
        assert self._interpolator is not None
        with trainer.precision_plugin.val_step_context():
            return validation_prediction(self._interpolator, batch)

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """The average, under the names of the weights."""
        tensors = {f"{NETWORK_PREFIX}{name}": tensor for name, tensor in self.network.state_dict().items()}
        checkpoint.setdefault(CHECKPOINT_KEY, {})[self.name] = {"updates": self.updates, "state_dict": tensors}

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """The inverse of `on_save_checkpoint`; an average that is not in the checkpoint starts here."""
        found = checkpoint.get(CHECKPOINT_KEY, {}).get(self.name)
        if found is not None:
            self.updates = found["updates"]
            self._loaded = {name.removeprefix(NETWORK_PREFIX): tensor for name, tensor in found["state_dict"].items()}
