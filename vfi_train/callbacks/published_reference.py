"""The published score beside ours: a line in the charts, and bands in which early scores should lie."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import lightning as L

from vfi_train.errors import UserError
from vfi_train.runtime.console import say

SCORES = ("psnr", "ssim")


class PublishedReference(L.Callback):
    """Logs `published/psnr` and `published/ssim` with every validation, and reports scores outside of their band.

    Args:
        published: an experiment's block `published`; null: there is none. Its `milestones` are
            [{step: optimizer steps, psnr: [lowest, highest]}, ...]: the first validation at or after each step is
            compared with the band (dB on the validation set), once.
    """

    def __init__(self, published: Mapping[str, Any] | None = None) -> None:
        block = published or {}
        self.scores = {name: block[name] for name in SCORES if block.get(name) is not None}
        for name, value in self.scores.items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise UserError(f"published.{name}={value} is not a number: give the published score")
        self.milestones = milestones(block.get("milestones") or ())
        self.passed = 0  # milestones

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Log the reference."""
        for name, value in self.scores.items():
            pl_module.log(f"published/{name}", value, sync_dist=True)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Compare with the milestones that are reached."""
        score = trainer.callback_metrics.get("val/psnr")
        if trainer.sanity_checking or score is None:
            return
        while self.passed < len(self.milestones) and self.milestones[self.passed][0] <= trainer.global_step:
            step, low, high = self.milestones[self.passed]
            self.passed += 1
            place = compare(float(score), low, high)
            if place is not None:
                say(
                    f"step {trainer.global_step}: val/psnr is {float(score):.2f} dB, {place} the band of "
                    f"{low:.2f} to {high:.2f} dB expected of this recipe at step {step}"
                )

    def state_dict(self) -> dict[str, Any]:
        """How many milestones are passed."""
        return {"passed": self.passed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self.passed = state_dict["passed"]


def milestones(entries: Sequence[Mapping[str, Any]]) -> list[tuple[int, float, float]]:
    """(step, lowest, highest) of each entry, by step.

    Raises:
        UserError: an entry is not {step, psnr: [lowest, highest]}.
    """
    found = []
    for entry in entries if isinstance(entries, Sequence) else [entries]:
        try:
            low, high = (float(bound) for bound in entry["psnr"])
            step = int(entry["step"])
        except (KeyError, TypeError, ValueError):
            low, high, step = math.inf, -math.inf, 0
        if not low <= high:
            raise UserError(f"published.milestones has {entry}: write {{step: 10000, psnr: [30.0, 31.0]}}")
        found.append((step, low, high))
    return sorted(found)


def compare(score: float, low: float, high: float) -> str | None:
    """Where a score lies relative to its band; None: in it."""
    if math.isnan(score) or score < low:
        return "below"
    return "above" if score > high else None
