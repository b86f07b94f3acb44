"""Small sources and a small Trainer for tests of the loader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn

from datamodules.core.datamodule import VFIDataModule
from datamodules.core.samples import Sample, SampleSource


class Numbers:
    """Sample i is a 2x2 image of the number i; its key contains the random number that it was given."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def sample(self, index: int, rng: np.random.Generator | None) -> Sample:
        image = np.full((2, 2, 3), index, dtype=np.uint8)
        draw = "held-out" if rng is None else f"{rng.random():.12f}"
        return {
            "frame0": image,
            "frame1": image,
            "target": image,
            "time": 0.5,
            "key": f"{index}:{draw}",
        }


class NumbersData(VFIDataModule):
    def __init__(self, train: int = 22, val: int = 5, **loader: Any) -> None:
        super().__init__(**loader)
        self.train, self.val = train, val

    def train_source(self) -> SampleSource:
        return Numbers(self.train)

    def val_source(self) -> SampleSource:
        return Numbers(self.val)


class Recorder(L.LightningModule):
    """Records the keys of every micro-batch, by process and number of the optimizer step."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.seen: list[tuple[int, int, list[str]]] = []  # epoch, optimizer step, keys
        self.validated: list[str] = []

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        self.seen.append((self.trainer.current_epoch, self.trainer.global_step, batch["key"]))
        return self.weight.sum() * batch["frame0"].mean()

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        self.validated += batch["key"]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def trainer(folder: Path, **options: Any) -> L.Trainer:
    settings: dict[str, Any] = {
        "accelerator": "cpu",
        "devices": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "use_distributed_sampler": False,
        "num_sanity_val_steps": 0,
        "max_epochs": -1,
        "default_root_dir": folder,
    }
    if "callbacks" in options:
        settings["enable_checkpointing"] = True
    return L.Trainer(**{**settings, **options})


def steps(recorder: Recorder) -> dict[int, list[str]]:
    """The keys of each optimizer step, in any order."""
    out: dict[int, list[str]] = {}
    for _, step, keys in recorder.seen:
        out[step] = sorted(out.get(step, []) + keys)
    return out


class SaveEverywhere(L.Callback):
    """Saves a checkpoint in each of some hooks, named after the hook and the micro-batches done so far."""

    def __init__(self, folder: Path, *hooks: str) -> None:
        self.folder, self.done = folder, 0
        for hook in hooks:
            setattr(self, hook, lambda trainer, *_, hook=hook, **__: self.save(trainer, hook))

    def on_train_batch_start(self, *_: Any) -> None:
        self.done += 1

    def save(self, trainer: L.Trainer, hook: str) -> None:
        trainer.save_checkpoint(self.folder / f"{hook}-{self.done}.ckpt")


def saved(folder: Path, hook: str) -> list[tuple[int, Path]]:
    """(micro-batches done, checkpoint), in order."""
    return sorted((int(p.stem.split("-")[1]), p) for p in folder.glob(f"{hook}-*.ckpt"))


def micro_batches(recorder: Recorder) -> list[list[str]]:
    return [keys for _, _, keys in recorder.seen]
