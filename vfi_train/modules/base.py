"""The LightningModule that trains any architecture with any loss set."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from losses.base import LossSet
from vfi_train.architectures import Architecture
from vfi_train.contract import Batch, Prediction
from vfi_train.errors import UserError
from vfi_train.interpolator import Interpolator
from vfi_train.schedules import Schedule

PICTURES = ("frame0", "frame1", "target", "reference")


class InterpolationModule(L.LightningModule):
    """An architecture, a loss set, an optimizer and a schedule.

    Args:
        architecture: the network; its parameters are `architecture.*` in checkpoints.
        loss: the loss set.
        optimizer: makes the optimizer from parameters (a partial with the learning rate and the rest in it).
        schedule: learning rate by optimizer step.
        total_steps: length of the training in optimizer steps.
        seed: with the step and the rank, it alone decides what dropout and the like draw.
    """

    def __init__(
        self,
        architecture: Architecture,
        loss: LossSet,
        optimizer: Callable[[Iterable[Tensor]], Optimizer],
        schedule: Schedule,
        total_steps: int,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self.loss = loss
        self.make_optimizer = optimizer
        self.schedule = schedule
        self.total_steps = total_steps
        self.seed = seed
        self.interpolator = Interpolator(architecture)

    def forward(self, frame0: Tensor, frame1: Tensor, time: Tensor) -> Prediction:
        """Predict for RGB frames of any size, padded and cropped as the architecture needs it."""
        return self.interpolator.predict(frame0, frame1, time)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The total loss of one micro-batch; every term is logged as it enters the total."""
        batch = self.in_network_order(batch)
        prediction = self.predict(batch)
        values = self.loss(prediction, batch)
        self.log_dict(
            {f"train/loss_{name}": value.detach() for name, value in values.items() if name != "total"},
            batch_size=len(batch["key"]),
        )
        self.log("train/loss", values["total"].detach(), batch_size=len(batch["key"]))
        return values["total"]

    def predict(self, batch: Batch) -> Prediction:
        """The network's answer to a training batch, with what the losses need."""
        return self.architecture(
            batch["frame0"],
            batch["frame1"],
            batch["time"],
            target=batch["target"],
            reference=batch.get("reference"),
            reference_time=batch.get("reference_time"),
        )

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """Predict; the metric and picture callbacks do the rest."""
        prediction = self.interpolator.predict(
            batch["frame0"],
            batch["frame1"],
            batch["time"],
            reference=batch.get("reference"),
            reference_time=batch.get("reference_time"),
        )
        return {"prediction": prediction, "batch": batch}

    def in_network_order(self, batch: Batch) -> Batch:
        """The batch with its pictures in the channel order that the network takes."""
        if self.architecture.channel_order == "rgb":
            return batch
        return {**batch, **{name: batch[name].flip(1) for name in PICTURES if name in batch}}  # type: ignore[return-value, typeddict-item, literal-required]

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """The optimizer over trainable parameters, its learning rate set before every optimizer step."""
        parameters = [p for p in self.architecture.parameters() if p.requires_grad]
        if not parameters:
            raise UserError("no parameter of the network is trainable: loosen freeze or train")
        optimizer = self.make_optimizer(parameters)

        def factor(peak: float) -> Callable[[int], float]:
            return lambda step: self.schedule(step, peak=peak, total=self.total_steps) / peak if peak else 0.0

        scheduler = LambdaLR(optimizer, [factor(group["lr"]) for group in optimizer.param_groups])
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Make chance a pure function of seed, micro-batch and rank, so that a resumed run draws alike."""
        position = self.trainer.fit_loop.total_batch_idx * self.trainer.world_size + self.trainer.global_rank
        torch.manual_seed((self.seed * 1_000_003 + position) % 2**63)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Log the learning rate that the coming step uses."""
        self.log("train/lr", optimizer.param_groups[0]["lr"])

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Rows of the logs are numbered by the optimizer steps done."""
        self.log("step", float(self.trainer.global_step))

    def on_validation_epoch_end(self) -> None:
        """As `on_train_batch_end`."""
        self.log("step", float(self.trainer.global_step))
