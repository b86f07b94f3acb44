"""The published number beside ours: a line in the charts, and bands that early scores should lie in."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import lightning as L

from vfi_train.errors import UserError
from vfi_train.runtime.console import say

SCORES = ("psnr", "ssim")


class PublishedReference(L.Callback):
    """Logs `published/psnr` and `published/ssim` with every validation, and says when a run leaves its way.

    Args:
        published: an experiment's block `published`; null: nothing to compare with. Its `milestones` are
            [{step: optimizer steps, psnr: [lowest, highest]}, ...]: the first validation at or after each step is
            compared with the band (dB on the validation set), once.
    """

    def __init__(self, published: Mapping[str, Any] | None = None) -> None:
        block = published or {}
        self.scores = {name: float(block[name]) for name in SCORES if block.get(name) is not None}
        self.milestones = milestones(block.get("milestones") or ())
        self.told = 0  # milestones that are behind

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Log the reference."""
        for name, value in self.scores.items():
            pl_module.log(f"published/{name}", value, sync_dist=True)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Compare with the milestones that are reached."""
        score = trainer.callback_metrics.get("val/psnr")
        if trainer.sanity_checking or score is None:
            return
        while self.told < len(self.milestones) and self.milestones[self.told][0] <= trainer.global_step:
            step, low, high = self.milestones[self.told]
            self.told += 1
            verdict = judge(float(score), low, high)
            if verdict is not None:
                say(
                    f"step {trainer.global_step}: val/psnr is {float(score):.2f} dB, {verdict} the band of "
                    f"{low:.2f} to {high:.2f} dB that this recipe is expected in at step {step}"
                )

    def state_dict(self) -> dict[str, Any]:
        """Which milestones are behind."""
        return {"told": self.told}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self.told = state_dict["told"]


def milestones(entries: Sequence[Mapping[str, Any]]) -> list[tuple[int, float, float]]:
    """(step, lowest, highest) of each entry, by step.

    Raises:
        UserError: an entry is something else than {step, psnr: [lowest, highest]}.
    """
    found = []
    for entry in entries:
        try:
            low, high = (float(bound) for bound in entry["psnr"])
            step = int(entry["step"])
        except (KeyError, TypeError, ValueError):
            low, high, step = math.inf, -math.inf, 0
        if not low <= high:
            raise UserError(f"published.milestones has {entry}: write {{step: 10000, psnr: [30.0, 31.0]}}")
        found.append((step, low, high))
    return sorted(found)


def judge(score: float, low: float, high: float) -> str | None:
    """Where a score lies beside its band; None: in it."""
    if math.isnan(score) or score < low:
        return "below"
    return "above" if score > high else None
