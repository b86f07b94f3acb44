"""Between the backward pass and the optimizer: measure gradients, clip them, skip steps that are not good."""

from __future__ import annotations

import math

import torch
import torch.distributed as dist
from torch import Tensor
from torch.optim import Optimizer

from vfi_train.errors import UserError
from vfi_train.modules.loss_spikes import LossSpikes


def propagate_nonfinite(loss: Tensor) -> Tensor:
    """The loss, bit for bit, with a gradient of NaN where the loss is not finite.

    All processes thus see a loss that is not finite on one of them, in the gradients that they share.
    """
    return loss * (1 + 0 * loss.detach())


class Gradients:
    """Measures gradients, clips them, and keeps the optimizer from a step that is not finite, or whose loss is a spike.

    Nothing waits for the GPU where the optimizer itself can skip (`fused=true`, the default there). Gradients are the
    same on all processes, so all skip the same steps. A GradScaler (precision 16-mixed) skips by itself.

    Attributes:
        norm: of the last optimizer step, before clipping: a scalar on the device.
        bad: 1.0 where that step was skipped, else 0.0.
        spike: 1.0 where it was skipped because of its loss, else 0.0.
        spikes: finds such losses; None: they are not looked for.
        losses: of the micro-batches of the step under way.
    """

    def __init__(self) -> None:
        self.norm = self.bad = self.spike = torch.zeros(())
        self.spikes: LossSpikes | None = None
        self.losses: list[Tensor] = []

    def prepare(self, optimizer: Optimizer, clip: float | None, algorithm: str | None, scaled: bool) -> None:
        """Prepare the gradients for an optimizer step.

        Args:
            optimizer: whose gradients.
            clip: the largest norm, or the largest value; None or 0: no clipping.
            algorithm: "norm" (also None) or "value".
            scaled: a GradScaler decides whether the step is done.
        """
        parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        self.norm = torch.nn.utils.get_total_norm([p.grad for p in parameters])
        self.bad = (~self.norm.isfinite()).float()
        if clip and algorithm == "value":
            torch.nn.utils.clip_grad_value_(parameters, clip)
        elif clip:
            torch.nn.utils.clip_grads_with_norm_(parameters, clip, self.norm)
        if self.spikes is not None:
            self.spike = self.spikes.update(mean_over_processes(torch.stack(self.losses).mean()))
            self.bad = torch.maximum(self.bad, self.spike)
        self.losses.clear()
        if scaled:
            if self.spikes is not None and self.spike.item():
                drop(parameters)
        elif all(group.get("fused") for group in optimizer.param_groups):
            optimizer.found_inf = self.bad  # type: ignore[attr-defined]
        elif self.bad.item():
            drop(parameters)


def drop(parameters: list[torch.nn.Parameter]) -> None:
    """Without a gradient neither a weight nor its state changes."""
    for parameter in parameters:
        parameter.grad = None


def mean_over_processes(value: Tensor) -> Tensor:
    """The mean of a scalar over all processes."""
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(value)
        return value / dist.get_world_size()
    return value


def check_clipping(clip: float | None, algorithm: str | None) -> None:
    """Check the clipping options.

    Raises:
        UserError: an unknown algorithm, or a negative norm.
    """
    if algorithm not in (None, "norm", "value"):
        raise UserError(f"trainer.gradient_clip_algorithm={algorithm} is none of norm, value")
    if clip is not None and not 0 <= clip < math.inf:
        raise UserError(f"trainer.gradient_clip_val={clip} is not a norm of 0 or more: give one, or null for none")
