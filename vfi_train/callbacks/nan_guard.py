"""Steps whose loss or gradient is not finite: skipped, reported, kept for replay; too many in a row end the run."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor

from vfi_train.errors import UserError
from vfi_train.modules.interpolation_module import InterpolationModule
from vfi_train.weights.checkpoint_io import save_atomically

log = logging.getLogger(__name__)
LAG = 2  # steps after which the result of a step is read from a GPU: it is ready by then, and the host never waits


@dataclass
class Step:
    """An optimizer step of this process, until its result is known."""

    number: int = 0  # 1 for the first
    position: int = 0  # of the first micro-batch: the seed of its random numbers
    batches: list[dict[str, Any]] = field(default_factory=list)
    bad: Tensor | None = None
    ready: Any = None  # a CUDA event: `bad` has arrived


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
    """

    def __init__(self, limit: int = 10, keep: int = 3) -> None:
        if limit < 1 or keep < 0:
            raise UserError(f"callbacks.nan_guard: limit is 1 or more and keep 0 or more; got {limit} and {keep}")
        self.limit, self.keep = limit, keep
        self.skipped = self.in_a_row = self.kept = 0
        self._step = Step()
        self._pending: deque[Step] = deque()

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start with nothing pending."""
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
        step.bad = pl_module.gradients.bad
        if step.bad.is_cuda:
            step.bad = torch.empty((), pin_memory=True).copy_(step.bad, non_blocking=True)
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
        """The counts."""
        return {"skipped": self.skipped, "in_a_row": self.in_a_row, "kept": self.kept}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self.skipped, self.in_a_row, self.kept = (state_dict[name] for name in ("skipped", "in_a_row", "kept"))

    def _check(self, step: Step, trainer: L.Trainer, module: InterpolationModule) -> None:
        if step.ready is not None:
            step.ready.synchronize()
        assert step.bad is not None
        if not step.bad.item():
            self.in_a_row = 0
            return
        self.skipped += 1
        self.in_a_row += 1
        last = self.in_a_row >= self.limit
        if last or trainer.precision != "16-mixed":
            keys = [key for batch in step.batches for key in batch["key"]]
            kept = self._keep(step, trainer, module)
            report = (
                f"step {step.number}: the loss or a gradient is not finite and the step is skipped; samples of "
                f"process {trainer.global_rank}: {', '.join(keys[:8])}{', ...' if len(keys) > 8 else ''}{kept}"
            )
            if last:
                raise UserError(f"{self.in_a_row} steps in a row were skipped, which ends the run: {report}")
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
