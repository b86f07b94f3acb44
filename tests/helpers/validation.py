"""A module with known validation predictions, for tests of callbacks."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from torch.utils.data import DataLoader

from tests.helpers.golden_cases import frame
from vfi_train.contract import Batch, Prediction

COUNT = 7


def samples() -> list[Batch]:
    """Seven samples of one image each, B = 1."""
    images = [frame(24, 32, phase, 9, COUNT) for phase in (0.0, 1.0, 0.5)]
    time = torch.full((1, 1, 1, 1), 0.5)
    return [
        {"frame0": a[None], "frame1": b[None], "target": t[None], "time": time, "key": [str(i)]}
        for i, (a, b, t) in enumerate(zip(*images, strict=True))
    ]


def joined(batches: list[Batch]) -> Batch:
    joint: dict[str, Any] = {"key": [key for b in batches for key in b["key"]]}
    for name in ("frame0", "frame1", "target", "time"):
        joint[name] = torch.cat([b[name] for b in batches])  # type: ignore[literal-required]
    return joint  # type: ignore[return-value]


class MeanModule(L.LightningModule):
    """Predicts the mean of the frames. Of two processes, one validates five samples, the other two."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def val_dataloader(self) -> DataLoader:
        mine = samples()
        if self.trainer.world_size == 2:
            mine = mine[:5] if self.trainer.global_rank == 0 else mine[5:]
        return DataLoader(mine, batch_size=2, collate_fn=joined)

    def train_dataloader(self) -> DataLoader:
        return DataLoader(samples(), batch_size=2, collate_fn=joined)

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        return self.weight.square()

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        half = (batch["frame0"] + batch["frame1"]) / 2
        return {"prediction": Prediction(half), "batch": batch}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def trainer(folder: object, callbacks: list[L.Callback], **options: Any) -> L.Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    options = {"accelerator": "cpu", "devices": 1, "enable_checkpointing": False, **quiet, **options}
    return L.Trainer(default_root_dir=str(folder), callbacks=callbacks, use_distributed_sampler=False, **options)
