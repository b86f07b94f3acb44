"""The score of each validation sample."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import lightning as L
from torch import Tensor

from datamodules.storage.atomic_write import atomic_file
from vfi_train.metrics.functional import psnr
from vfi_train.runtime.distributed import gather


class SampleScores(L.Callback):
    """Writes `samples.csv` after each validation: key and PSNR (dB) of every validation sample, the worst first.

    Reads what validation_step returns: {"prediction": Prediction, "batch": Batch}.

    Raises:
        RuntimeError: over all processes, a sample was not validated exactly once.
    """

    def __init__(self) -> None:
        self._seen: list[tuple[list[str], Tensor]] = []

    def on_validation_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Forget the previous validation."""
        self._seen = []

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Score the batch; nothing waits for the GPU."""
        scores = psnr(outputs["prediction"].frame.float(), outputs["batch"]["target"].float())
        self._seen.append((list(outputs["batch"]["key"]), scores))

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Gather over processes, check the count, write."""
        own = [pair for keys, scores in self._seen for pair in zip(keys, scores.tolist(), strict=True)]
        self._seen = []
        rows = gather(own)
        if trainer.sanity_checking:
            return
        if isinstance(trainer.limit_val_batches, float) and trainer.limit_val_batches == 1.0:  # 1 is one batch
            check_count([key for key, _ in rows], trainer.datamodule.val_size)  # type: ignore[attr-defined]
        if trainer.is_global_zero:
            write(Path(trainer.default_root_dir) / "samples.csv", sorted(rows, key=lambda row: (row[1], row[0])))


def check_count(keys: list[str], size: int) -> None:
    """Check that `keys` are `size` different samples.

    Raises:
        RuntimeError: some are missing or repeated.
    """
    twice = sorted({key for key in keys if keys.count(key) > 1}) if len(set(keys)) != len(keys) else []
    if twice or len(keys) != size:
        raise RuntimeError(
            f"{len(keys)} samples were validated of {size}"
            + (f"; more than once: {', '.join(twice[:5])}" if twice else "")
        )


def write(path: Path, rows: list[tuple[str, float]]) -> None:
    """Write the table."""
    with atomic_file(path) as partial, partial.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["key", "psnr"])
        writer.writerows((key, f"{score:.9g}") for key, score in rows)
