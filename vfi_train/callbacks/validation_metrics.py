"""PSNR, SSIM and other metrics over the validation samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
from torchmetrics import Metric

from losses.learned import NETWORKS
from vfi_train.callbacks.weight_average import WeightAverage
from vfi_train.errors import UserError, nearest
from vfi_train.metrics import PSNR, SSIM, InterpolationError
from vfi_train.metrics.image_metrics import DISTS, LPIPS, check_name

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


class ValidationMetrics(L.Callback):
    """Logs `val/NAME` for each metric after each validation: the mean over the images of all processes.

    Args:
        names: of `KNOWN`, and lpips_alex, lpips_vgg, lpips_squeeze and dists; see `vfi_train.metrics`.
        others: more metrics by name, of torchmetrics or alike, each taking (prediction, target) B 3 H W in [0, 1].
        backbones: the folder of the backbones of LPIPS and DISTS; None: torch's cache.

    Reads what validation_step returns: {"prediction": Prediction, "batch": Batch}. Averages of the weights
    (`WeightAverage`) are scored too, as `val/NAME_AVERAGE`, and each of several validation sets (`Joint`), as
    `val/NAME_SET`.
    """

    def __init__(
        self,
        names: Sequence[str] = ("psnr", "ssim"),
        others: Mapping[str, Metric] | None = None,
        backbones: str | Path | None = None,
    ) -> None:
        known: dict[str, Callable[[], Metric]] = {**KNOWN, "dists": partial(DISTS, backbones)}
        known |= {f"lpips_{net}": partial(LPIPS, net, backbones) for net in NETWORKS}
        for name in names:
            check_name(name)
        unknown = next((name for name in names if name not in known), None)
        if unknown is not None:
            raise UserError(f"no metric is called {unknown!r}: {nearest(unknown, known)}")
        self.metrics: dict[str, Metric] = {name: known[name]() for name in names} | dict(others or {})
        self._of_averages: dict[str, dict[str, Metric]] = {}
        self._of_sets: dict[str, dict[str, Metric]] = {}

    def on_validation_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Reset the metrics, on the network's device. Every process must have the same averages."""
        names = [average.name for average in self._averages(trainer)]
        self._of_averages = {name: {n: metric.clone() for n, metric in self.metrics.items()} for name in names}
        sets = getattr(trainer.datamodule, "val_names", ())  # type: ignore[attr-defined]
        self._of_sets = {name: {n: metric.clone() for n, metric in self.metrics.items()} for name in sets}
        for metrics in (self.metrics, *self._of_averages.values(), *self._of_sets.values()):
            for metric in metrics.values():
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
        """Add the batch's images."""
        target = outputs["batch"]["target"].float()
        own = self._of_sets.get(outputs["batch"]["key"][0].partition("/")[0], {})  # of several sets, batches are of one
        for metric in (*self.metrics.values(), *own.values()):
            metric.update(outputs["prediction"].frame.float(), target)
        for average in self._averages(trainer):
            frame = average.predict(outputs["batch"], trainer).frame.float()
            for metric in self._of_averages[average.name].values():
                metric.update(frame, target)

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Combine over processes (torchmetrics does, by sums and counts) and log."""
        parts = {**self._of_averages, **self._of_sets}
        for suffix, metrics in (("", self.metrics), *((f"_{n}", m) for n, m in parts.items())):
            for name, metric in metrics.items():
                # The value is the same on all processes; sync_dist only keeps Lightning from warning.
                shown = name == "psnr" and not suffix
                pl_module.log(f"val/{name}{suffix}", metric.compute(), prog_bar=shown, sync_dist=True)

    @staticmethod
    def _averages(trainer: L.Trainer) -> list[WeightAverage]:
        callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
        return [callback for callback in callbacks if isinstance(callback, WeightAverage) and callback.updates]
