"""Steps whose loss or gradient is not finite, or whose loss is a spike: skipped, reported, kept for replay.

Too many in a row end the run.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import lightning as L
import torch
from torch import Tensor

from vfi_train.errors import UserError
from vfi_train.modules.gradients import Gradients
from vfi_train.modules.interpolation_module import InterpolationModule
from vfi_train.modules.loss_spikes import LossSpikes
from vfi_train.weights.checkpoint_io import save_atomically

log = logging.getLogger(__name__)
LAG = 2  # steps after which the result of a step is read from a GPU: it is ready by then, and the host never waits


@dataclass
class Step:
    """An optimizer step of this process, until its result is known."""

    number: int = 0  # 1 for the first
    position: int = 0  # of the first micro-batch: the seed of its random numbers
    batches: list[dict[str, Any]] = field(default_factory=list)
    result: Tensor | None = None  # skipped, skipped for a spike, the loss, the running median
    ready: Any = None  # a CUDA event: `result` has arrived


class NonFiniteGuard(L.Callback):
    """Reports steps that `Gradients` skipped because a loss or a gradient was not finite.

    Such a step changes nothing on any process, but counts as a step. Each process reports its samples and keeps its
    batch, with the weights, in the run's folder `faults`, for `python -m vfi_train.replay`. Their number is logged as
    `train/skipped_steps`. On a GPU the result is known two steps later; the weights are those of that moment.

    With precision 16-mixed such steps are normal (the scale of the loss is searched): they are reported only when
    `limit` in a row end the run.

    Args:
        limit: the number of skipped steps in a row that ends the run.
        keep: the largest number of batches kept, each with the weights.
        spike: what is done with a step whose loss, the mean over all processes, is finite but far above the running
            median: "skip" it, "stop" the run before it, or nothing (null).
        spike_factor: how many times the median is far above it.
        spike_window: steps that the median is of.
    """

    def __init__(
        self,
        limit: int = 10,
        keep: int = 3,
        spike: Literal["skip", "stop"] | None = None,
        spike_factor: float = 10.0,
        spike_window: int = 100,
    ) -> None:
        if limit < 1 or keep < 0:
            raise UserError(f"callbacks.nan_guard: limit is 1 or more and keep 0 or more; got {limit} and {keep}")
        if spike not in (None, "skip", "stop") or not 1 < spike_factor < math.inf or spike_window < 2:
            raise UserError(
                "callbacks.nan_guard: spike is skip, stop or null, spike_factor above 1 and spike_window 2 or more; "
                f"got {spike}, {spike_factor} and {spike_window}"
            )
        self.limit, self.keep, self.spike = limit, keep, spike
        self.spikes = None if spike is None else LossSpikes(spike_factor, spike_window)
        self.skipped = self.in_a_row = self.kept = 0
        self._step = Step()
        self._pending: deque[Step] = deque()

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start with nothing pending."""
        assert isinstance(pl_module, InterpolationModule)
        pl_module.gradients.spikes = self.spikes
        self._step = Step()
        self._pending.clear()

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Keep the batch until the result of its step is known."""
        assert isinstance(pl_module, InterpolationModule)
        if not self._step.batches:
            self._step.number = trainer.global_step + 1
            self._step.position = pl_module.random_position
        self._step.batches.append(batch)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """After an optimizer step: record its result, and check the one of `LAG` steps ago."""
        assert isinstance(pl_module, InterpolationModule)
        if trainer.global_step < self._step.number:
            return  # micro-batches of one step
        step, self._step = self._step, Step()
        step.result = self._result(pl_module.gradients)
        if step.result.is_cuda:
            step.result = torch.empty(4, pin_memory=True).copy_(step.result, non_blocking=True)
            step.ready = torch.cuda.Event()
            step.ready.record()
        self._pending.append(step)
        while len(self._pending) > (LAG if step.ready is not None else 0):
            self._check(self._pending.popleft(), trainer, pl_module)
        if self.skipped and pl_module.was_logged:
            pl_module.log("train/skipped_steps", float(self.skipped))

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Check the last steps."""
        assert isinstance(pl_module, InterpolationModule)
        while self._pending:
            self._check(self._pending.popleft(), trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        """The counts, and the losses that the running median is of."""
        losses = {} if self.spikes is None else {"losses": self.spikes.losses.cpu()}
        return {"skipped": self.skipped, "in_a_row": self.in_a_row, "kept": self.kept, **losses}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self.skipped, self.in_a_row, self.kept = (state_dict[name] for name in ("skipped", "in_a_row", "kept"))
        losses = state_dict.get("losses")
        if self.spikes is not None and losses is not None and len(losses) == len(self.spikes.losses):
            self.spikes.losses = losses

    def _result(self, gradients: Gradients) -> Tensor:
        found = [gradients.bad, gradients.spike]
        if self.spikes is None:
            return torch.nn.functional.pad(torch.stack(found), (0, 2))
        return torch.stack([*found, self.spikes.loss, self.spikes.median])

    def _check(self, step: Step, trainer: L.Trainer, module: InterpolationModule) -> None:
        if step.ready is not None:
            step.ready.synchronize()
        assert step.result is not None
        is_bad, is_spike, loss, median = step.result.tolist()
        if not is_bad:
            self.in_a_row = 0
            return
        self.skipped += 1
        self.in_a_row += 1
        last = self.in_a_row >= self.limit
        if last or is_spike or trainer.precision != "16-mixed":
            what = "the loss or a gradient is not finite"
            if is_spike:
                what = f"the loss is {loss:.4g}, {loss / median:.3g} times the running median of {median:.4g},"
            keys = [key for batch in step.batches for key in batch["key"]]
            kept = self._keep(step, trainer, module)
            report = (
                f"step {step.number}: {what} and the step is skipped; samples of process {trainer.global_rank}: "
                f"{', '.join(keys[:8])}{', ...' if len(keys) > 8 else ''}{kept}"
            )
            if last:
                raise UserError(f"{self.in_a_row} steps in a row were skipped, which ends the run: {report}")
            if is_spike and self.spike == "stop":
                raise UserError(f"callbacks.nan_guard.spike=stop ends the run: {report}; spike=skip goes on")
            log.warning(report)

    def _keep(self, step: Step, trainer: L.Trainer, module: InterpolationModule) -> str:
        """Write the step's batches; the end of the report."""
        if self.kept >= self.keep:
            return ""
        run = Path(trainer.default_root_dir)
        path = run / "faults" / f"step_{step.number:07d}_process_{trainer.global_rank}.pt"
        config = run / "config.yaml"
        content = {
            "step": step.number,
            "position": step.position,
            "processes": trainer.world_size,
            "batches": [_on_cpu(batch) for batch in step.batches],
            "state_dict": _on_cpu(module.state_dict()),
            "config": config.read_text() if config.exists() else "",
        }
        try:
            save_atomically(content, path)
        except OSError as error:
            return f" (the batch cannot be kept: {error})"
        self.kept += 1
        return f"; inspect it by: python -m vfi_train.replay {path}"


def _on_cpu(content: Any) -> dict[str, Any]:
    return {k: v.detach().cpu() if isinstance(v, Tensor) else v for k, v in content.items()}
