"""The base of all datamodules: loaders that are a function of (seed, epoch, position), and exact resume."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader

from datamodules.core.collate import collate
from datamodules.core.loader import Loader, TrainLoader, init_worker
from datamodules.core.overfit import FixedSubset
from datamodules.core.resume import DataPosition
from datamodules.core.samplers import GlobalBatchSampler, ShardedEvalSampler, split_batch
from datamodules.core.samples import SampleSource, SeededDataset
from datamodules.core.transfer import Transfer
from vfi_train.contract import Batch
from vfi_train.errors import DataError, UserError
from vfi_train.ranges import Natural, Positive, Seed, Workers


class VFIDataModule(LightningDataModule):
    """A training set and a validation set. A dataset implements `train_source`, `val_source` and `check`.

    Args:
        batch_size: samples per optimizer step, over all devices and accumulated micro-batches.
        micro_batch_size: the largest batch that fits one device; null: any fits. The Trainer's
            `accumulate_grad_batches` comes from `split_batch`.
        val_batch_size: samples per validation batch and device; null: as many as in training.
        num_workers: worker processes per device; 0: the main process prepares batches.
        seed: of the order and the augmentation.
        overfit: train and validate on this many training samples, each with one draw of the augmentation.
        pin_memory: page-locked batches for faster transfer; null: when there is a GPU.
        on_error: at a missing or broken file of a training sample, "raise" stops and "skip" takes the next readable
            sample. Validation samples always stop.
        max_errors: how many broken samples "skip" accepts.

    Attributes:
        arbitrary_time: whether there are targets at other times than 0.5.
        gives_flow: whether batches of training hold `flow`.
        gives_val_flow: whether those of validation do.
        gives_maps: whether times are maps, one number per pixel.
        gives_reference: whether batches hold `reference` and `reference_time`.
        has_context: whether there are frames before and after the two, see `give_context`.
        context: whether batches hold them.
        has_occlusion: whether it is known which pixels an input does not show.
        occlusion: whether validation samples hold `occluded`.
        trains: whether there are training samples; a test set has none.
        skipped: why training samples were skipped, one sentence each.
    """

    arbitrary_time: bool = False
    gives_flow: bool = False
    gives_val_flow: bool = False
    gives_maps: bool = False
    gives_reference: bool = False
    has_context: bool = False
    context: bool = False
    has_occlusion: bool = False
    occlusion: bool = False
    trains: bool = True

    def __init__(
        self,
        *,
        batch_size: Positive,
        micro_batch_size: Positive | None = None,
        val_batch_size: Positive | None = None,
        num_workers: Workers = 0,
        seed: Seed = 0,
        pin_memory: bool | None = None,
        overfit: Positive | None = None,
        on_error: Literal["raise", "skip"] = "raise",
        max_errors: Natural = 10,
    ) -> None:
        super().__init__()
        self.batch_size, self.micro_batch_size = batch_size, micro_batch_size
        self.val_batch_size = val_batch_size
        self.num_workers, self.seed = num_workers, seed
        self.pin_memory = torch.cuda.is_available() if pin_memory is None else pin_memory
        self.overfit = overfit
        if on_error not in ("raise", "skip"):
            raise UserError(f"data.on_error={on_error} is neither raise nor skip")
        self.max_errors = max_errors if on_error == "skip" else 0
        self.skipped: list[str] = []
        self.position = DataPosition(self, batch_size)
        self._sources: dict[str, SampleSource] | None = None
        self._transfer = Transfer()

    def train_source(self) -> SampleSource:
        """The training samples."""
        raise NotImplementedError

    def val_source(self) -> SampleSource:
        """The samples of validation and test, the same every time."""
        raise NotImplementedError

    def check(self) -> None:
        """Raise a DataError with one sentence when data is missing; fast, called before any training."""

    def give_context(self) -> None:
        """Let samples hold `before` and `after`, for a network that takes them; called before `check` and `setup`.

        Raises:
            UserError: this dataset has no such frames.
        """
        if not self.has_context:
            raise UserError(
                f"{type(self).__name__} has no frames before and after the two, which this network takes: choose "
                "other data, or a network of two frames"
            )
        self.context = True

    def setup(self, stage: str | None = None) -> None:
        """Find the samples of both sets or, for evaluation, only the validation samples."""
        if self._sources is None:
            training = stage in (None, "fit") and self.trains
            if training:
                self.check()
            names = ("train", "val") if training else ("val",)
            self._sources = {name: self._make(name) for name in names}

    @property
    def train_size(self) -> int:
        """Number of training samples in an epoch."""
        return len(self._source("train"))

    @property
    def val_size(self) -> int:
        """Number of validation samples."""
        return len(self._source("val"))

    def train_dataloader(self) -> DataLoader:
        """The micro-batches of this process, from where the loaded checkpoint stopped."""
        per_device, accumulate = split_batch(self.batch_size, self._world_size, self.micro_batch_size)
        if self.trainer is not None and self.trainer.accumulate_grad_batches != accumulate:
            raise UserError(
                f"data.batch_size={self.batch_size} on {self._world_size} devices needs "
                f"trainer.accumulate_grad_batches={accumulate}, not {self.trainer.accumulate_grad_batches}: "
                "set only data.micro_batch_size"
            )
        batches = self.train_batches(
            per_device, lambda: self.position.start(per_device * self._world_size, len(batches))
        )
        return TrainLoader(self._samples("train"), batch_sampler=batches, **self._options())

    def train_batches(self, per_device: int, position: Callable[[], tuple[int, int]]) -> GlobalBatchSampler:
        """Which training samples make up the micro-batches of this process; see `GlobalBatchSampler`."""
        size, seed, rank, world = self.train_size, self.seed, self._rank, self._world_size
        return GlobalBatchSampler(size, self.batch_size, per_device, seed, rank, world, position)

    def val_dataloader(self) -> DataLoader:
        """The validation samples of this process: over all processes, each sample once."""
        if self.val_size < self._world_size:
            raise UserError(
                f"{self.val_size} validation samples cannot be shared by {self._world_size} processes: validate on "
                f"{self._world_size} or more (data.val_samples), or train with fewer devices"
            )
        batch_size = self.val_batch_size
        if batch_size is None:
            batch_size = split_batch(self.batch_size, self._world_size, self.micro_batch_size)[0]
        return Loader(self._samples("val"), batch_sampler=self.val_batches(batch_size), **self._options())

    def val_batches(self, batch_size: int) -> Iterable[list[tuple[None, int]]]:
        """Which validation samples make up the batches of this process, of `batch_size` where nothing else is said."""
        return ShardedEvalSampler(self.val_size, batch_size, self._rank, self._world_size)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int = 0) -> Batch:
        """The batch on the device; see `Transfer`."""
        moved: Batch = self._transfer(batch, device)
        return moved

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int = 0) -> Batch:
        """uint8 frames become float32 in [0, 1]; skipped samples are counted."""
        self._count(batch.pop("skipped", []))  # type: ignore[typeddict-item]
        return to_float(batch)

    def state_dict(self) -> dict[str, Any]:
        """The position in the data, for the checkpoint."""
        return self.position.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a checkpoint's position."""
        self.position.load_state_dict(state_dict)

    def _source(self, name: str) -> SampleSource:
        if self._sources is None:
            raise RuntimeError(f"{type(self).__name__} has no samples yet: call setup() first")
        if name not in self._sources:
            self._sources[name] = self._make(name)
        return self._sources[name]

    def _make(self, name: str) -> SampleSource:
        if self.overfit is not None:
            subset = FixedSubset(self.train_source(), self.overfit, self.seed)
            return subset.repeated(self.batch_size) if name == "train" else subset
        return self.train_source() if name == "train" else self.val_source()

    def _samples(self, name: str) -> SeededDataset:
        return SeededDataset(self._source(name), self.seed, self.max_errors)

    def _count(self, reasons: list[str]) -> None:
        for reason in dict.fromkeys(reasons):
            if reason not in self.skipped:
                self.skipped.append(reason)
                print(f"skipped a sample, {len(self.skipped)} of at most {self.max_errors}: {reason}", flush=True)
        if len(self.skipped) > self.max_errors:
            raise DataError(
                f"more than data.max_errors={self.max_errors} training samples are broken, the latest: "
                f"{self.skipped[-1]}"
            )

    def _options(self) -> dict[str, Any]:
        return {
            "num_workers": self.num_workers,
            "persistent_workers": self.num_workers > 0,
            "pin_memory": self.pin_memory,
            "collate_fn": collate,
            "worker_init_fn": init_worker,
        }

    @property
    def _world_size(self) -> int:
        return 1 if self.trainer is None else self.trainer.world_size

    @property
    def _rank(self) -> int:
        return 0 if self.trainer is None else self.trainer.global_rank


def to_float(batch: Batch) -> Batch:
    """The batch with every uint8 tensor as float32 in [0, 1]; each tensor is contiguous in memory of its own."""

    def convert(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        if value.dtype != torch.uint8:
            return value.clone(memory_format=torch.contiguous_format)
        return value.to(torch.float32, memory_format=torch.contiguous_format).div_(255)

    return {name: convert(value) for name, value in batch.items()}  # type: ignore[return-value]
