"""The training loss of each of several datasets."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from torch import Tensor

from vfi_train.modules.gradients import mean_over_processes


class DatasetLosses(L.Callback):
    """Logs `loss/NAME` for each dataset of a joint training (see `Joint`): the mean of `train/loss` over its samples.

    The mean is over the steps since the previous row; those whose loss is not finite, which train nothing, are left
    out, and a dataset without any has no value in the row. The steps since the last row are kept in checkpoints.
    """

    def __init__(self) -> None:
        self._micro_batches: list[Tensor] = []  # of the step under way, each divided by their number
        self._steps: dict[str, list[Tensor]] = {}
        self._step = 0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Count a step once, however many micro-batches it has."""
        self._step = trainer.global_step
        self._steps = {name: [loss.to(pl_module.device) for loss in losses] for name, losses in self._steps.items()}

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep the loss; at the end of a step, which is of one dataset, take its mean over all processes."""
        every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if not every or not getattr(trainer.datamodule, "train_names", ()):  # type: ignore[attr-defined]
            return
        self._micro_batches.append(outputs["loss"])
        step = trainer.global_step
        if step == self._step:
            return
        self._step = step
        loss = mean_over_processes(torch.stack(self._micro_batches).sum())
        self._micro_batches.clear()
        self._steps.setdefault(batch["key"][0].partition("/")[0], []).append(loss)
        if step % every == 0:
            # Not by `log`: Lightning repeats a value in all later rows of the epoch.
            means = self._means()
            for logger in trainer.loggers:
                logger.log_metrics(means, step)
            self._steps.clear()

    def state_dict(self) -> dict[str, Any]:
        """The losses of the steps since the last row."""
        return {name: torch.stack(losses).tolist() for name, losses in self._steps.items()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self._steps = {name: [torch.tensor(loss) for loss in losses] for name, losses in state_dict.items()}

    def _means(self) -> dict[str, float]:
        losses = {name: torch.stack(steps) for name, steps in self._steps.items()}
        finite = {name: values[values.isfinite()] for name, values in losses.items()}
        return {f"loss/{name}": float(values.mean()) for name, values in finite.items() if len(values)}
