"""PSNR, SSIM, the loss and other metrics over the validation samples."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
from torch import Tensor
from torchmetrics import Metric

from losses.learned import NETWORKS
from vfi_train.architectures import Architecture
from vfi_train.callbacks.weight_average import WeightAverage
from vfi_train.contract import Batch, Prediction
from vfi_train.errors import UserError, nearest
from vfi_train.metrics import PSNR, SSIM, InterpolationError
from vfi_train.metrics.image_metrics import DISTS, LPIPS, MeanLoss, check_name
from vfi_train.modules.forward import padded, predict

KNOWN: dict[str, Callable[[], Metric]] = {
    "psnr": PSNR,
    "psnr_rounded": lambda: PSNR(rounded=True),
    "psnr_luma": lambda: PSNR(luma=True),
    "ssim": SSIM,
    "ssim_rounded": lambda: SSIM(rounded=True),
    "ssim2d": lambda: SSIM(variant="2d"),
    "ssim_uniform": lambda: SSIM(variant="uniform"),
    "ie": InterpolationError,
    "loss": MeanLoss,
}


class ValidationMetrics(L.Callback):
    """Logs `val/NAME` for each metric after each validation: the mean over the images of all processes.

    Args:
        names: of `KNOWN`, and lpips_alex, lpips_vgg, lpips_squeeze and dists; see `vfi_train.metrics`. "loss" is the
            training's, in evaluation mode, on images padded as the network needs; it takes a second forward pass, which
            gets the target.
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
        batch, prediction = outputs["batch"], outputs["prediction"]
        own = self._of_sets.get(batch["key"][0].partition("/")[0], {})  # of several sets, batches are of one
        self._update((*self.metrics.values(), *own.values()), prediction, batch, partial(validation_loss, pl_module))
        for average in self._averages(trainer):
            loss = partial(validation_loss, pl_module, network=average.network)
            self._update(self._of_averages[average.name].values(), average.predict(batch, trainer), batch, loss)

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Combine over processes (torchmetrics does, by sums and counts) and log."""
        parts = {**self._of_averages, **self._of_sets}
        for suffix, metrics in (("", self.metrics), *((f"_{n}", m) for n, m in parts.items())):
            for name, metric in metrics.items():
                # The value is the same on all processes; sync_dist only keeps Lightning from warning.
                shown = name == "psnr" and not suffix
                pl_module.log(f"val/{name}{suffix}", metric.compute(), prog_bar=shown, sync_dist=True)

    @staticmethod
    def _update(
        metrics: Collection[Metric], prediction: Prediction, batch: Batch, loss: Callable[[Batch], Tensor]
    ) -> None:
        losses = [metric for metric in metrics if isinstance(metric, MeanLoss)]
        if losses:
            value = loss(batch)
            for mean in losses:
                mean.update(value, len(batch["target"]))
        for metric in metrics:
            if not isinstance(metric, MeanLoss):
                metric.update(prediction.frame.float(), batch["target"].float())

    @staticmethod
    def _averages(trainer: L.Trainer) -> list[WeightAverage]:
        callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
        return [callback for callback in callbacks if isinstance(callback, WeightAverage) and callback.updates]


def validation_loss(module: Any, batch: Batch, network: Architecture | None = None) -> Tensor:
    """The total loss of a validation batch, a scalar.

    Args:
        module: the `InterpolationModule`.
        batch: images of any size.
        network: instead of the module's.
    """
    network = network or module.architecture
    batch = module.prepare(padded(batch, network))
    with module.trainer.precision_plugin.val_step_context():
        prediction = predict(network, batch)
    return module.loss(prediction, batch, module.global_step)["total"]
