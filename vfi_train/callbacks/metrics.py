"""PSNR, SSIM and other metrics over the held-out samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import lightning as L
from torchmetrics import Metric

from vfi_train.errors import UserError, nearest
from vfi_train.metrics import PSNR, SSIM, InterpolationError

KNOWN: dict[str, Callable[[], Metric]] = {
    "psnr": PSNR,
    "psnr_rounded": lambda: PSNR(rounded=True),
    "psnr_luma": lambda: PSNR(luma=True),
    "ssim": SSIM,
    "ssim_rounded": lambda: SSIM(rounded=True),
    "ssim2d": lambda: SSIM(variant="2d"),
    "ssim_uniform": lambda: SSIM(variant="uniform"),
    "ie": InterpolationError,
}


class Metrics(L.Callback):
    """Logs `val/NAME` for each metric after each validation: the mean over pictures, whatever the processes.

    Args:
        names: of `KNOWN`; `vfi_train.metrics` says what they are.
        others: more metrics by name, each taking (prediction, target) B 3 H W in [0, 1], say of torchmetrics.

    It reads what validation_step returns: {"prediction": Prediction, "batch": Batch}.
    """

    def __init__(self, names: Sequence[str] = ("psnr", "ssim"), others: Mapping[str, Metric] | None = None) -> None:
        unknown = next((name for name in names if name not in KNOWN), None)
        if unknown is not None:
            raise UserError(f"no metric is called {unknown!r}: {nearest(unknown, KNOWN)}")
        self.metrics: dict[str, Metric] = {name: KNOWN[name]() for name in names} | dict(others or {})

    def on_validation_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Begin anew, where the network is."""
        for metric in self.metrics.values():
            metric.to(pl_module.device)
            metric.reset()

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count the batch's pictures."""
        for metric in self.metrics.values():
            metric.update(outputs["prediction"].frame.float(), outputs["batch"]["target"].float())

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Add up over processes (torchmetrics does, by sums and counts) and log."""
        for name, metric in self.metrics.items():
            # The value is the same on all processes; sync_dist says so to Lightning and changes nothing.
            pl_module.log(f"val/{name}", metric.compute(), prog_bar=name == "psnr", sync_dist=True)
