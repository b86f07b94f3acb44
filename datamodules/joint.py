"""Training on several datasets in turn, each with its own batch size and augmentation (ATM-VFI's later phases)."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, islice
from typing import Any, Literal

import numpy as np

from datamodules.core.datamodule import VFIDataModule
from datamodules.core.samplers import GlobalBatchSampler, ShardedEvalSampler
from datamodules.core.samples import Sample, SampleSource
from datamodules.file_dataset import one_of
from vfi_train.errors import DataError, UserError


class Joint(VFIDataModule):
    """Batches of one dataset after the other; no batch mixes them.

    An epoch here is a round over all datasets. With `every="epoch"` it is an epoch of the first, then one of the
    second, and so on; with `every="step"` the datasets alternate at each optimizer step until the one with the most
    steps is complete; the others start again meanwhile. The samples of a step and their augmentation are a function of
    (seed, epoch, position).

    All datasets accumulate as many micro-batches as the first one's `batch_size` and `micro_batch_size` need.

    Args:
        datasets: by name, in order. Each gives its samples, augmentation and `batch_size`; its other loader options
            are ignored.
        every: alternate every "epoch" or every "step".
        val_split: a dataset to validate on, or several by name, each with averages of its own (`val/psnr_NAME`) beside
            those over all samples; null: the first of `datasets`.
        **loader: see `VFIDataModule`; `batch_size` is that of the first dataset, and `val_batch_size` that of the
            validation sets that have none of their own.

    Attributes:
        train_names, val_names: of several datasets, with which the keys of their samples begin (NAME/KEY). Each batch
            is of one.
    """

    def __init__(
        self,
        *,
        datasets: Mapping[str, VFIDataModule],
        every: Literal["epoch", "step"] = "epoch",
        val_split: VFIDataModule | Mapping[str, VFIDataModule] | None = None,
        **loader: Any,
    ) -> None:
        super().__init__(**loader)
        one_of("data.every", every, ("epoch", "step"))
        if not datasets:
            raise UserError("data.datasets is empty: name one dataset or more")
        self.datasets, self.every = dict(datasets), every
        name, first = next(iter(self.datasets.items()))
        if first.batch_size != self.batch_size:
            raise UserError(
                f"data.batch_size={self.batch_size} must be that of the first dataset, "
                f"data.datasets.{name}.batch_size={first.batch_size}"
            )
        split = {"": first} if val_split is None else val_split
        self.val_sets = dict(split) if isinstance(split, Mapping) else {"": split}
        self.train_names = tuple(self.datasets) if len(self.datasets) > 1 else ()
        self.val_names = tuple(name for name in self.val_sets if name)
        if self.val_batch_size is None and not self.val_names:
            self.val_batch_size = self.val_sets[""].val_batch_size
        self._parts = (*self.datasets.values(), *self.val_sets.values())
        self.arbitrary_time = any(data.arbitrary_time for data in self._parts)
        self.gives_maps = any(data.gives_maps for data in self._parts)
        self.gives_reference = any(data.gives_reference for data in self._parts)
        self.gives_flow = all(data.gives_flow for data in self.datasets.values())
        self.gives_val_flow = all(data.gives_val_flow for data in self.val_sets.values())
        self.has_context = all(data.has_context for data in self._parts)

    def give_context(self) -> None:
        """See `VFIDataModule`: each dataset."""
        super().give_context()
        for data in self._parts:
            data.give_context()
        self.arbitrary_time = any(data.arbitrary_time for data in self._parts)

    def check(self) -> None:
        """Check the training samples of each dataset, and the validation samples."""
        self.train_source()
        self.val_source()

    def prepare_data(self) -> None:
        """Prepare each dataset."""
        for data in self._parts:
            data.prepare_data()

    def train_source(self) -> JointSource:
        """The training samples of all datasets."""
        sources = [_named(f"data.datasets.{name}", data.train_source) for name, data in self.datasets.items()]
        return JointSource(sources, self.train_names)

    def val_source(self) -> SampleSource:
        """The samples of the validation dataset, or of several, one after the other."""
        if self.val_names:
            sources = [_named(f"data.val_split.{n}", data.val_source) for n, data in self.val_sets.items()]
            return JointSource(sources, self.val_names)
        data, first = self.val_sets[""], next(iter(self.datasets))
        block = f"data.datasets.{first}" if data is self.datasets[first] else "data.val_split"
        return _named(block, data.val_source)

    def train_batches(self, per_device: int, position: Callable[[], tuple[int, int]]) -> GlobalBatchSampler:
        """See `VFIDataModule`."""
        if self.overfit is not None:  # on the first samples, which are the first dataset's
            return super().train_batches(per_device, position)
        rank, world = self._rank, self._world_size
        source = self._source("train")
        assert isinstance(source, JointSource)
        accumulated = self.batch_size // (per_device * world)
        parts = []
        for (name, data), size in zip(self.datasets.items(), source.sizes, strict=True):
            per_part, rest = divmod(data.batch_size, world * accumulated)
            if rest:
                raise UserError(
                    f"data.datasets.{name}.batch_size={data.batch_size} does not divide by {world} devices and "
                    f"{accumulated} accumulated micro-batches, as data.batch_size={self.batch_size} does: choose a "
                    f"multiple of {world * accumulated}"
                )
            parts.append(_part(name, size, data.batch_size, per_part, self.seed, rank, world))
        return JointBatches(parts, self.every, position)

    def val_batches(self, batch_size: int) -> Iterable[list[tuple[None, int]]]:
        """See `VFIDataModule`; each validation set has batches of its own size."""
        source = self._source("val")
        if not isinstance(source, JointSource) or not self.val_names:
            return super().val_batches(batch_size)
        sizes = [data.val_batch_size or batch_size for data in self.val_sets.values()]
        parts = zip(source.starts, source.sizes, sizes, strict=True)
        return [
            batch
            for start, size, own in parts
            for batch in ShardedEvalSampler(start + size, own, self._rank, self._world_size, start)
        ]


class JointSource:
    """A `SampleSource` of several sources, numbered one after the other.

    Args:
        sources: of the samples.
        names: of the sources, with which the keys of their samples shall begin (NAME/KEY); none: keys stay.
    """

    def __init__(self, sources: list[SampleSource], names: Sequence[str] = ()) -> None:
        self.sources, self.names = sources, names
        self.sizes = [len(source) for source in sources]
        self.starts = [0, *accumulate(self.sizes)][:-1]

    def __len__(self) -> int:
        return sum(self.sizes)

    def sample(self, index: int, rng: np.random.Generator | None) -> Sample | list[Sample]:
        """Sample `index` of all."""
        part = bisect_right(self.starts, index) - 1
        drawn = self.sources[part].sample(index - self.starts[part], rng)
        if not self.names:
            return drawn
        if isinstance(drawn, list):
            return [self._named(part, sample) for sample in drawn]
        return self._named(part, drawn)

    def after(self, index: int) -> int:
        """See `HasSubsets`: the next sample of the same dataset."""
        part = bisect_right(self.starts, index) - 1
        return self.starts[part] + (index + 1 - self.starts[part]) % self.sizes[part]

    def _named(self, part: int, sample: Sample) -> Sample:
        return {**sample, "key": f"{self.names[part]}/{sample['key']}"}


class JointBatches(GlobalBatchSampler):
    """Micro-batches of one process for one round over several datasets, as lists of (epoch, index in JointSource).

    Args:
        parts: the batches of each dataset, all accumulated alike.
        every: alternate every "epoch" or every "step"; see `Joint`.
        position: see `GlobalBatchSampler`; an epoch is a round.
    """

    def __init__(
        self, parts: list[GlobalBatchSampler], every: Literal["epoch", "step"], position: Callable[[], tuple[int, int]]
    ) -> None:
        self.parts, self.every, self.position = parts, every, position
        self.starts = [0, *accumulate(part.size for part in parts)][:-1]
        self.accumulate = parts[0].accumulate
        self.epoch, self.done = 0, 0

    def __len__(self) -> int:
        """Micro-batches of a full round."""
        lengths = [len(part) for part in self.parts]
        return sum(lengths) if self.every == "epoch" else max(lengths) * len(lengths)

    def micro_batches(self, epoch: int, done: int = 0) -> Iterator[list[tuple[int, int]]]:
        """Those of a round after the first `done` ones."""
        if self.every == "epoch":
            yield from self._by_epoch(epoch, done)
        else:  # a round is resumed at a complete step
            yield from islice(self._by_step(epoch, done // self.accumulate), len(self) - done)

    def _by_epoch(self, epoch: int, done: int) -> Iterator[list[tuple[int, int]]]:
        for number, part in enumerate(self.parts):
            if done < len(part):
                yield from self._of(number, epoch, done)
            done = max(0, done - len(part))

    def _by_step(self, epoch: int, step: int) -> Iterator[list[tuple[int, int]]]:
        """From optimizer step `step` of the round on, without end."""
        count = len(self.parts)
        per_round = len(self) // (count * self.accumulate)  # steps of each dataset
        streams = []
        for number, part in enumerate(self.parts):
            own = epoch * per_round + (step + count - 1 - number) // count  # steps that this dataset has done
            streams.append(self._endless(number, *divmod(own * self.accumulate, len(part))))
        while True:
            yield from islice(streams[step % count], self.accumulate)
            step += 1

    def _endless(self, number: int, epoch: int, done: int) -> Iterator[list[tuple[int, int]]]:
        while True:
            yield from self._of(number, epoch, done)
            epoch, done = epoch + 1, 0

    def _of(self, number: int, epoch: int, done: int) -> Iterator[list[tuple[int, int]]]:
        start = self.starts[number]
        for batch in self.parts[number].micro_batches(epoch, done):
            yield [(own, start + index) for own, index in batch]


def _part(name: str, size: int, *rest: Any) -> GlobalBatchSampler:
    try:
        return GlobalBatchSampler(size, *rest)
    except UserError as error:
        raise UserError(f"data.datasets.{name}: {error}") from error


def _named(block: str, make: Callable[[], SampleSource]) -> SampleSource:
    """The result of `make`; its DataError names the block of the configuration."""
    try:
        return make()
    except DataError as error:
        sentence = re.sub(r"(?<![\w/.])data\.", f"{block}.", str(error))
        raise DataError(sentence if block in sentence else f"{block}: {sentence}") from error
