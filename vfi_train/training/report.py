"""The end of a training: a table of the network beside the baselines that it must beat."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable

import lightning as L
import torch
from lightning.pytorch.utilities import rank_zero_only
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torchmetrics import Metric

from datamodules.core.datamodule import VFIDataModule
from datamodules.storage.atomic_write import write_text
from vfi_train.architectures import Architecture
from vfi_train.config.overrides import benchmark_of
from vfi_train.config.trust import check_trusted
from vfi_train.contract import Batch
from vfi_train.errors import UserError
from vfi_train.inference.interpolator import Interpolator
from vfi_train.metrics import PSNR, SSIM
from vfi_train.modules.forward import context_of
from vfi_train.modules.interpolation_module import InterpolationModule
from vfi_train.runtime.console import say
from vfi_train.training.baselines import mean_of_frames, nearest_frame
from vfi_train.training.plan import TrainingPlan
from vfi_train.training.run_directory import RunDirectory
from vfi_train.weights import load_weights
from vfi_train.weights.load import BEST

Predictor = Callable[[Batch], Tensor]
METRICS: dict[str, Callable[[], Metric]] = {"PSNR": PSNR, "SSIM": SSIM}


def final_report(
    plan: TrainingPlan,
    trainer: L.Trainer,
    module: InterpolationModule,
    data: VFIDataModule,
    start: Architecture | None = None,
) -> None:
    """Score the best checkpoint, the baselines and the initial network `start` on the validation samples.

    Prints and keeps the table. Every process scores its part; the metrics join the parts.
    """
    best = RunDirectory.of(plan).checkpoints / BEST
    has_best = best.exists()
    if has_best:
        load_weights(module.architecture, best)
    device = trainer.strategy.root_device
    module.to(device).eval()

    def network(batch: Batch) -> Tensor:
        return module(batch["frame0"], batch["frame1"], batch["time"], **context_of(batch)).frame

    rows: dict[str, Predictor] = {
        f"{module.architecture.family} ({'best' if has_best else 'last'} checkpoint)": network,
        "mean of the two frames": lambda b: mean_of_frames(b["frame0"], b["frame1"], b["time"]).frame,
        "nearest frame": lambda b: nearest_frame(b["frame0"], b["frame1"], b["time"]).frame,
    }
    if start is not None:
        initial = Interpolator(start.to(device).eval())
        rows["the initial weights"] = lambda b: (
            initial.predict(b["frame0"], b["frame1"], b["time"], **context_of(b)).frame
        )
    scores = score(rows, data, device)
    publish(plan, scores, trainer.global_step)


@torch.no_grad()
def score(predictors: dict[str, Predictor], data: VFIDataModule, device: torch.device) -> dict[str, dict[str, float]]:
    """PSNR and SSIM of each predictor over the validation samples."""
    metrics = {row: {name: make().to(device) for name, make in METRICS.items()} for row in predictors}
    for raw in data.val_dataloader():
        moved = {k: v.to(device) if isinstance(v, Tensor) else v for k, v in raw.items()}
        batch = data.on_after_batch_transfer(moved, 0)  # type: ignore[arg-type]
        for row, predict in predictors.items():
            prediction = predict(batch)
            for metric in metrics[row].values():
                metric.update(prediction, batch["target"])
    return {row: {name: float(m.compute()) for name, m in found.items()} for row, found in metrics.items()}


@rank_zero_only
def publish(plan: TrainingPlan, scores: dict[str, dict[str, float]], steps: int) -> None:
    """Print the table, where the results lie, and a command to go on with; keep the numbers in the run's folder."""
    write_text(plan.folder / "report.json", json.dumps(scores, indent=1) + "\n")
    table = Table(title=f"{plan.name} after {steps:,} steps, validation samples")
    table.add_column("predictor")
    for name in METRICS:
        table.add_column(name, justify="right")
    for row, values in scores.items():
        table.add_row(row, f"{values['PSNR']:.2f} dB", f"{values['SSIM']:.4f}")
    Console().print(table)
    network, mean = (list(scores.values())[i]["PSNR"] for i in (0, 1))
    say(f"{network - mean:+.2f} dB over the mean of the two frames")
    if (plan.folder / "images").is_dir():
        say(f"images: {plan.folder / 'images'}")
    say(f"log: {plan.folder / 'metrics.csv'}")
    say(f"next: {evaluation_command(plan)}")


def evaluation_command(plan: TrainingPlan) -> str:
    """The command that measures a trained run: on the benchmark of its dataset, else on the user's own videos."""
    data = plan.datasets[0]
    name = data.kind.__module__.rpartition(".")[2]
    words = [f"run={plan.name}", *([] if plan.runs.name == "runs" == str(plan.runs) else [f"runs={plan.runs}"])]
    words += benchmark_of(name, data.root)
    try:
        check_trusted(plan.config["model"], "model", plan.folder, trust=False)
    except UserError:
        words.append("trust=true")  # a network from outside of the package
    return f"python -m vfi_train.evaluate {shlex.join(words)}"
