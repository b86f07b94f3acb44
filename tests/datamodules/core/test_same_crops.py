"""An epoch's crops are the same bits from files and packs, with any number of workers and processes, and resumed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor, nn

from datamodules.storage.pack_writer import finish, write_shard
from datamodules.storage.store import open_store
from datamodules.transforms import (
    HorizontalFlip,
    RandomCrop,
    RandomResize,
    ReverseChannels,
    ReverseTime,
    Rotate90,
    Transpose,
    VerticalFlip,
)
from datamodules.vimeo90k import Vimeo90K
from tests.helpers.layouts import fabricate
from tests.helpers.sources import trainer

CLIPS, BATCH, STEPS = 14, 4, 7  # 3 steps to an epoch; 2 clips sit out
Seen = list[tuple[int, str, str]]  # optimizer step, key, digest of the sample's bits


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    files = fabricate("vimeo90k", tmp_path_factory.mktemp("files"), size=(40, 48), clips=CLIPS)
    packed = tmp_path_factory.mktemp("packed")
    for name in ("tri_trainlist.txt", "tri_testlist.txt"):
        (packed / name).write_text((files / name).read_text())
    store = open_store(files)
    names = [name for name, _ in Vimeo90K(root=str(files), batch_size=1).files()]
    folder = packed / "packed" / "frames"
    folder.mkdir(parents=True)
    write_shard(folder, 0, ((name, store.read(name, name)) for name in names))
    finish(folder, 1, {})
    return {"files": files, "packed": packed}


def data(root: Path, workers: int = 0) -> Vimeo90K:
    transforms = [RandomResize(2, 0.5), RandomCrop(32), ReverseChannels(), VerticalFlip(), HorizontalFlip()]
    transforms += [Transpose(0.5), Rotate90(), ReverseTime()]
    return Vimeo90K(root=str(root), transforms=transforms, batch_size=BATCH, num_workers=workers, seed=3)


def digests(batch: dict[str, Any]) -> list[str]:
    """Of each sample of a batch: its frames, bit by bit."""
    frames = torch.stack([batch[name] for name in ("frame0", "target", "frame1")], dim=1).contiguous()
    return [hashlib.sha256(sample.numpy().tobytes()).hexdigest() for sample in frames]


def stream(root: Path, workers: int) -> list[list[tuple[str, str]]]:
    """Three epochs, batch by batch."""
    module = data(root, workers)
    module.setup()
    loader = module.train_dataloader()
    batches = [batch for _ in range(3) for batch in loader]
    return [list(zip(batch["key"], digests(batch), strict=True)) for batch in batches]


@pytest.fixture(scope="module")
def expected(roots: dict[str, Path]) -> list[list[tuple[str, str]]]:
    found = stream(roots["files"], 0)
    assert len(found) == 9
    assert len({digest for batch in found for _, digest in batch}) == 36  # no crop twice
    return found


@pytest.mark.parametrize(("kind", "workers"), [("files", 1), ("files", 4), ("packed", 0), ("packed", 1), ("packed", 4)])
def test_any_number_of_workers(kind: str, workers: int, roots: dict[str, Path], expected: list) -> None:
    assert stream(roots[kind], workers) == expected


class Notes(L.LightningModule):
    """Writes down what each process sees."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder, self.weight = folder, nn.Parameter(torch.zeros(1))
        self.seen: Seen = []

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        found = zip(batch["key"], digests(batch), strict=True)
        self.seen += [(self.trainer.global_step, key, digest) for key, digest in found]
        return self.weight.sum() * batch["target"].mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def on_fit_end(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / f"rank{self.global_rank}.json").write_text(json.dumps(self.seen))


class SaveAfter(L.Callback):
    """A checkpoint in the middle of the second epoch."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        if trainer.global_step == 4:
            trainer.save_checkpoint(self.path)


def train(folder: Path, module: Vimeo90K, processes: int = 1, ckpt: Path | None = None) -> list[Seen]:
    """What each process saw, in its order."""
    options: dict[str, Any] = {"devices": processes, "strategy": "ddp_fork"} if processes > 1 else {}
    fit = trainer(folder, max_steps=STEPS, limit_val_batches=0, enable_checkpointing=False, **options)
    if ckpt is None and processes == 1:
        fit.callbacks.append(SaveAfter(folder / "middle.ckpt"))  # type: ignore[attr-defined]
    fit.fit(Notes(folder), datamodule=module, ckpt_path=ckpt)
    ranks = [json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(processes)]
    return [[(step, key, digest) for step, key, digest in rank] for rank in ranks]


def split(full: Seen, processes: int) -> list[Seen]:
    """What each of several processes is to see of what one sees: of each batch its slice, in order."""
    share = BATCH // processes
    batches = [full[start : start + BATCH] for start in range(0, len(full), BATCH)]
    return [[sample for batch in batches for sample in batch[r * share : (r + 1) * share]] for r in range(processes)]


@pytest.mark.slow
def test_one_process_or_two_and_resumed_in_the_middle(roots: dict[str, Path], tmp_path: Path) -> None:
    """In order of each rank, and so as a set; a resumed run sees the rest, from files what it began from packs."""
    (full,) = train(tmp_path / "one", data(roots["packed"], workers=1))
    assert len(full) == STEPS * BATCH
    assert len({key for _, key, _ in full[: 3 * BATCH]}) == 3 * BATCH
    assert train(tmp_path / "two", data(roots["packed"], workers=1), processes=2) == split(full, 2)
    middle, rest = tmp_path / "one" / "middle.ckpt", full[4 * BATCH :]
    assert train(tmp_path / "again", data(roots["files"], workers=4), ckpt=middle) == [rest]
    assert train(tmp_path / "twice", data(roots["files"]), processes=2, ckpt=middle) == split(rest, 2)
