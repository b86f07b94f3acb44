"""The LightningModule that trains any architecture with any loss set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import lightning as L
import torch
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.optim import Optimizer

from losses.base import LossSet
from vfi_train.architectures import Architecture
from vfi_train.contract import Batch, Prediction
from vfi_train.inference.interpolator import Interpolator
from vfi_train.modules.forward import in_network_order, predict, seed_rng, validation_prediction
from vfi_train.modules.gradients import Gradients, propagate_nonfinite
from vfi_train.modules.step_options import Compile, checkpointed, compiled, set_channels_last, to_channels_last
from vfi_train.optim.modes import OptimizerModes
from vfi_train.optim.optimizers import build_optimizer, build_scheduler, learning_rate
from vfi_train.optim.parameters import ParameterGroup, frozen_modules
from vfi_train.optim.schedules import Schedule
from vfi_train.runtime.devices import keep_freed_memory
from vfi_train.runtime.lightning_internals import attached_trainer
from vfi_train.weights.load import NETWORK_PREFIX

TRAINING_WEIGHTS = "training_weights"  # of a checkpoint: name -> tensor


class InterpolationModule(L.LightningModule):
    """An architecture, a loss set, an optimizer and a schedule.

    Args:
        architecture: the network; its parameters are `architecture.*` in checkpoints.
        loss: the loss set.
        optimizer: makes the optimizer from parameter groups (a partial that has its options).
        schedule: learning rate by optimizer step.
        total_steps: length of the training in optimizer steps.
        parameter_groups: parameters with options of their own in the optimizer.
        seed: with the step and the rank, it determines the random numbers of dropout and the like.
        channels_last: memory layout; "auto": channels-last where it was measured to be faster.
        checkpointing: compute activations twice instead of keeping them: more time, much less memory.
        compile: parts of a training step that are compiled by `torch.compile`; see `step_options.compiled`.

    Parameters that do not require gradients (see `select_trainable`) are not in the optimizer, and parts of the network
    that have no others stay in evaluation mode. Values are logged every `log_every` steps, as means over micro-batches
    and processes; no other step waits for the GPU.
    """

    def __init__(
        self,
        architecture: Architecture,
        loss: LossSet,
        optimizer: Callable[..., Optimizer],
        schedule: Schedule,
        total_steps: int,
        parameter_groups: Sequence[ParameterGroup] = (),
        seed: int = 0,
        channels_last: bool | Literal["auto"] = "auto",
        checkpointing: bool = False,
        compile: Compile = "none",
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self.loss = loss
        self.make_optimizer = optimizer
        self.schedule = schedule
        self.total_steps = total_steps
        self.parameter_groups = parameter_groups
        self.seed = seed
        self.channels_last = channels_last
        self.checkpointing = checkpointing
        # In a dict, so that they are no submodules and weights keep their names.
        self.compiled = {
            "network": compiled(architecture, "network", compile),
            "losses": compiled(loss, "losses", compile),
        }
        self._replays = compile == "cuda_graphs"
        self.interpolator = Interpolator(architecture)
        self.gradients = Gradients()
        self.modes: OptimizerModes | None = None
        self._training_weights: dict[str, Tensor] | None = None  # of the checkpoint that is resumed
        self._terms: list[dict[str, Tensor]] = []  # of the micro-batches of a logged step

    def forward(self, frame0: Tensor, frame1: Tensor, time: Tensor, **context: Tensor) -> Prediction:
        """Predict for RGB frames of any size, padded and cropped as the architecture requires."""
        return self.interpolator.predict(frame0, frame1, time, **context)

    def train(self, mode: bool = True) -> InterpolationModule:
        """Set the mode; frozen parts of the network stay in evaluation mode."""
        super().train(mode)
        for part in frozen_modules(self.architecture):
            part.eval()
        return self

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The total loss of one micro-batch; each weighted term is logged."""
        values = self.losses(batch)
        if self.gradients.spikes is not None:
            self.gradients.losses.append(values["total"].detach())
        if self.is_logged:
            self._terms.append({name: value.detach() for name, value in values.items()})
        return propagate_nonfinite(values["total"])

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Every loss term of a batch, weighted, and their `total`."""
        batch = self.prepare(batch)
        return self.compute_losses(self.predict(batch), batch)

    def prepare(self, batch: Batch) -> Batch:
        """The batch with its images in the network's channel order and layout; a step begins."""
        if self._replays:
            torch.compiler.cudagraph_mark_step_begin()
        batch = in_network_order(batch, self.architecture)
        return to_channels_last(batch) if self._is_channels_last else batch

    def predict(self, batch: Batch) -> Prediction:
        """The network's prediction for a prepared batch, with all that the losses need."""
        with checkpointed(self.architecture, self.checkpointing):
            return predict(self.compiled["network"], batch)

    def compute_losses(self, prediction: Prediction, batch: Batch) -> dict[str, Tensor]:
        """Every loss term of a prediction for a prepared batch, weighted, and their `total`."""
        values: dict[str, Tensor] = self.compiled["losses"](prediction, batch, self.global_step)
        if self._replays:  # they are read after the next step has begun
            values = {name: value.clone() for name, value in values.items()}
        return values

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """Predict; callbacks compute metrics and draw images."""
        return {"prediction": validation_prediction(self.interpolator, batch), "batch": batch}

    def configure_model(self) -> None:
        """Set the layout of the weights before DDP sets that of the gradients: a fused optimizer needs the same one."""
        if self._is_channels_last:
            set_channels_last(self.architecture)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """The optimizer over trainable parameters, its learning rate set before every optimizer step."""
        optimizer = build_optimizer(self.make_optimizer, self.architecture, self.parameter_groups, self._is_scaled)
        modes = OptimizerModes(optimizer)
        self.modes = modes if modes.exist else None
        scheduler = build_scheduler(optimizer, self.schedule, self.total_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Measure and clip the gradients; a step that is not finite changes nothing."""
        self.gradients.prepare(optimizer, gradient_clip_val, gradient_clip_algorithm, self._is_scaled)
        if self.is_logged:
            self.log("train/gradient_norm", self.gradients.norm)

    @property
    def is_logged(self) -> bool:
        """Whether the current optimizer step is logged."""
        every: int = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        return every > 0 and (self.trainer.global_step + 1) % every == 0

    @property
    def was_logged(self) -> bool:
        """Whether the last optimizer step was logged."""
        every: int = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        return every > 0 and self.trainer.global_step % every == 0

    @property
    def _is_channels_last(self) -> bool:
        if self.channels_last == "auto":
            trainer = attached_trainer(self)
            device = self.device if trainer is None else trainer.strategy.root_device
            return device.type == "cpu" and self.architecture.faster_channels_last
        return self.channels_last

    @property
    def _switches_modes(self) -> bool:
        fits = self.trainer.state.fn == TrainerFn.FITTING and not self.trainer.sanity_checking
        return self.modes is not None and fits

    @property
    def _is_scaled(self) -> bool:
        trainer = attached_trainer(self)
        return trainer is not None and trainer.precision == "16-mixed"

    def on_fit_start(self) -> None:
        """On a CPU, keep the memory that a step frees for the next one."""
        if self.device.type == "cpu":
            keep_freed_memory()

    def on_fit_end(self) -> None:
        """Return it to the system, and leave the evaluation weights in place."""
        keep_freed_memory(False)
        if self.modes is not None:
            self.modes.evaluate()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Make random numbers a function of seed, micro-batch and rank, so that a resumed run draws the same."""
        seed_rng(self.seed, self.random_position)

    @property
    def random_position(self) -> int:
        """The number of this micro-batch among those of all processes."""
        return self.trainer.fit_loop.total_batch_idx * self.trainer.world_size + self.trainer.global_rank

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Log the step's losses, the scheduled weights of losses, and the learning rate."""
        if not self.is_logged:
            return
        for name in self._terms[0]:
            mean = torch.stack([values[name] for values in self._terms]).mean()
            self.log("train/loss" if name == "total" else f"train/loss_{name}", mean, sync_dist=True)
        self._terms.clear()
        for name, term in self.loss.named_terms():
            if not isinstance(term.weight, (int, float)):
                self.log(f"train/weight_{name}", term.weight_at(self.global_step))
        self.log("train/lr", learning_rate(optimizer))
        self.log("step", float(self.trainer.global_step + 1))

    def on_train_start(self) -> None:
        """Put the training weights in place, for optimizers that evaluate with others (schedule-free)."""
        if self.modes is not None:
            if self._training_weights is not None:
                self.modes.restore(self._training_weights)
                self._training_weights = None
            self.modes.train()

    def on_validation_start(self) -> None:
        """Put the evaluation weights in place."""
        if self._switches_modes:
            self.modes.evaluate()  # type: ignore[union-attr]

    def on_validation_end(self) -> None:
        """Put the training weights in place."""
        if self._switches_modes:
            self.modes.train()  # type: ignore[union-attr]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the evaluation weights, and beside them the training weights, to resume to the bit."""
        if self.modes is not None:
            evaluation, checkpoint[TRAINING_WEIGHTS] = self.modes.weights()
            checkpoint["state_dict"].update({f"{NETWORK_PREFIX}{name}": value for name, value in evaluation.items()})

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The inverse of `on_save_checkpoint`."""
        self._training_weights = checkpoint.get(TRAINING_WEIGHTS)

    def on_validation_epoch_end(self) -> None:
        """Number the rows of the logs by optimizer steps."""
        self.log("step", float(self.trainer.global_step), sync_dist=True)
