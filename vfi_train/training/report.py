"""The end of a training: a table of the network beside the baselines that it must beat."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities import rank_zero_only
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torchmetrics import Metric

from vfi_train.architectures import Architecture
from vfi_train.contract import Batch
from vfi_train.inference.interpolator import Interpolator
from vfi_train.metrics import PSNR, SSIM
from vfi_train.modules.interpolation_module import InterpolationModule
from vfi_train.runtime.console import say
from vfi_train.training.baselines import mean_of_frames, nearest_frame
from vfi_train.training.run_directory import RunDirectory
from vfi_train.weights import load_weights

Predictor = Callable[[Batch], Tensor]
METRICS: dict[str, Callable[[], Metric]] = {"PSNR": PSNR, "SSIM": SSIM}


def final_report(
    trainer: L.Trainer, module: InterpolationModule, data: Any, run: RunDirectory, start: Architecture | None = None
) -> None:
    """Score the best checkpoint, the baselines and the network that was started from, on the held-out samples.

    Prints and keeps the table. Every process scores its part; the metrics join the parts.
    """
    best = run.checkpoints / "best.ckpt"
    if best.exists():
        load_weights(module.architecture, best)
    device = trainer.strategy.root_device
    module.to(device).eval()

    def network(batch: Batch) -> Tensor:
        return module(batch["frame0"], batch["frame1"], batch["time"]).frame

    rows: dict[str, Predictor] = {
        module.architecture.family + " (best checkpoint)": network,
        "mean of the two frames": lambda b: mean_of_frames(b["frame0"], b["frame1"], b["time"]).frame,
        "nearest frame": lambda b: nearest_frame(b["frame0"], b["frame1"], b["time"]).frame,
    }
    if start is not None:
        before = Interpolator(start.to(device).eval())
        rows["the weights at the start"] = lambda b: before.predict(b["frame0"], b["frame1"], b["time"]).frame
    scores = score(rows, data, device)
    publish(scores, trainer, run)


@torch.no_grad()
def score(predictors: dict[str, Predictor], data: Any, device: torch.device) -> dict[str, dict[str, float]]:
    """PSNR and SSIM of each predictor over the held-out samples."""
    metrics = {row: {name: make().to(device) for name, make in METRICS.items()} for row in predictors}
    for raw in data.val_dataloader():
        moved = {k: v.to(device) if isinstance(v, Tensor) else v for k, v in raw.items()}
        batch = data.on_after_batch_transfer(moved, 0)
        for row, predict in predictors.items():
            answer = predict(batch)
            for metric in metrics[row].values():
                metric.update(answer, batch["target"])
    return {row: {name: float(m.compute()) for name, m in found.items()} for row, found in metrics.items()}


@rank_zero_only
def publish(scores: dict[str, dict[str, float]], trainer: L.Trainer, run: RunDirectory) -> None:
    """Print the table, say where the images lie and what comes next; keep the numbers in the run's folder."""
    (run.path / "report.json").write_text(json.dumps(scores, indent=1) + "\n")
    table = Table(title=f"{run.name} after {trainer.global_step:,} steps, held-out samples")
    table.add_column("predictor")
    for name in METRICS:
        table.add_column(name, justify="right")
    for row, values in scores.items():
        table.add_row(row, f"{values['PSNR']:.2f} dB", f"{values['SSIM']:.4f}")
    console = Console()
    console.print(table)
    network, mean = (list(scores.values())[i]["PSNR"] for i in (0, 1))
    say(f"{network - mean:+.2f} dB over the mean of the two frames")
    if (run.path / "images").is_dir():
        say(f"images: {run.path / 'images'}")
    say(f"log: {run.path / 'metrics.csv'}")
    say(f"next: python -m vfi_train experiment=quickstart_video data.root=FOLDER_WITH_VIDEOS weights={run.name}")
