"""The base of datasets on disk: a folder with a store over it, and samples by file names."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from datamodules.core.datamodule import VFIDataModule
from datamodules.core.fast_copy import joined
from datamodules.core.samples import Sample, SampleSource
from datamodules.storage.store import Store, open_store
from datamodules.transforms import Compose, Transform
from vfi_train.contract import CONTEXT
from vfi_train.errors import DataError, UserError
from vfi_train.ranges import Positive

T = TypeVar("T")
Files = Iterator[tuple[str, str]]  # names in the store, each with the key of a sample


@dataclass(frozen=True, slots=True)
class Item:
    """A sample on disk: the names of its files in the store.

    Args:
        key: of the sample.
        frame0, frame1: the two inputs.
        target: the true frame at `time`; None where it is not public.
        time: 0..1.
        pair: a name of the inputs, shared by samples of other times between them.
        flow: labels from the target to frame0 and to frame1.
        context: the frames `before` and `after` the inputs, where they are wanted.
    """

    key: str
    frame0: str
    frame1: str
    target: str | None
    time: float = 0.5
    pair: str = ""
    flow: tuple[str, str] | None = None
    context: tuple[str, str] | None = None

    def inputs(self) -> dict[str, str]:
        """The files of what a network gets, by their names in a sample."""
        context = {} if self.context is None else dict(zip(CONTEXT, self.context, strict=True))
        return {"frame0": self.frame0, "frame1": self.frame1, **context}

    def images(self) -> list[str]:
        """Its frames' files."""
        return [name for name in (self.frame0, self.target, self.frame1, *(self.context or ())) if name is not None]

    def names(self) -> list[str]:
        """All its files."""
        return [*self.images(), *(self.flow or ())]


class Triplet(NamedTuple):
    """Positions of a target and its two inputs in a sequence of frames."""

    frame0: int
    target: int
    frame1: int

    @property
    def time(self) -> float:
        """Of the target, frames being evenly spaced: 0..1."""
        return (self.target - self.frame0) / (self.frame1 - self.frame0)

    def context(self, frames: range) -> tuple[int, int]:
        """Positions of the frames an interval before and after the inputs; where `frames` end, the input again."""
        gap = self.frame1 - self.frame0
        before, after = self.frame0 - gap, self.frame1 + gap
        return before if before in frames else self.frame0, after if after in frames else self.frame1


def random_triplet(rng: np.random.Generator, count: int) -> Triplet:
    """Three different positions in a sequence of `count` frames, in order, uniformly."""
    return Triplet(*sorted(int(i) for i in rng.choice(count, 3, replace=False)))


class Items:
    """A `SampleSource` of items: only the augmentation is random."""

    def __init__(self, store: Store, items: Sequence[Item], transforms: Transform | Compose) -> None:
        self.store, self.items, self.transforms = store, items, transforms

    def __len__(self) -> int:
        return len(self.items)

    def pair(self, index: int) -> str:
        """See `HasPairs`."""
        return self.items[index].pair or self.items[index].key

    def sample(self, index: int, rng: np.random.Generator | None) -> Sample:
        """Read item `index` and transform it."""
        item = self.items[index]
        sample: Sample = {"key": item.key, "pair": self.pair(index), "time": item.time}
        for name, file in (*item.inputs().items(), ("target", item.target)):
            if file is not None:
                sample[name] = self.store.read(file, item.key)
        if item.flow is not None:
            sample["flow"] = read_labels(self.store, item.flow, item.key, sample["frame0"].shape)
        return self.transforms(sample, rng or np.random.default_rng((0, index)))


def read_labels(store: Store, files: Sequence[str], key: str, frame: Sequence[int]) -> NDArray[np.float32]:
    """Two flow labels as one array H W 4.

    Raises:
        DataError: one cannot be read, or has another size than the frame, H W 3.
    """
    labels = [store.read_flow(file, key) for file in files]
    for file, label in zip(files, labels, strict=True):
        if label.shape[:2] != tuple(frame[:2]):
            raise DataError(
                f"sample {key}: the flow label {store.root / file} is {label.shape[0]}x{label.shape[1]} pixels, its "
                f"frames {frame[0]}x{frame[1]}: make the labels again (task=flow)"
            )
    return joined(labels)


class StoredData(VFIDataModule):
    """A dataset in a folder. A dataset implements `train_items`, `val_items` and `counts`.

    Args:
        root: the folder; its files may be packed.
        transforms: augmentation of the training samples, in order.
        val_transforms: transforms of the validation samples (a centre crop, say); none by default.
        val_samples: how many validation samples are used, evenly spaced; null: all.
        **loader: see `VFIDataModule`.

    Attributes:
        folder: the published name of `root`.
        origin: where the dataset comes from, for messages.
        published: what `counts` gives for the complete dataset, where that is stated.
        unit: what these numbers count; "": their names say it.
        image_size: height and width of all images, where they have one.
    """

    folder: ClassVar[str]
    origin: ClassVar[str]
    published: ClassVar[Mapping[str, int]] = {}
    unit: ClassVar[str] = ""
    image_size: ClassVar[tuple[int, int] | None] = None

    def __init__(
        self,
        *,
        root: str | None,
        transforms: Sequence[Transform] = (),
        val_transforms: Sequence[Transform] = (),
        val_samples: Positive | None = None,
        **loader: Any,
    ) -> None:
        super().__init__(**loader)
        self.root = None if root is None else Path(root).expanduser()
        self.transforms, self.val_transforms = Compose(transforms), Compose(val_transforms)
        if val_samples is not None and val_samples < 1:
            raise UserError(
                f"data.val_samples={val_samples} is not a number of samples: give 1 or more, or null for all"
            )
        self.val_samples = val_samples

    def train_items(self) -> Sequence[Item]:
        """The training samples."""
        raise NotImplementedError

    def val_items(self) -> Sequence[Item]:
        """The validation samples."""
        raise NotImplementedError

    def counts(self) -> dict[str, int]:
        """The numbers to compare with `published`."""
        raise NotImplementedError

    def files(self) -> Iterator[tuple[str, str]]:
        """Every file of the samples, once: its name in the store, and the key of a sample that reads it."""
        yield from first_uses(itertools.chain.from_iterable(self.file_groups()))

    def file_groups(self) -> list[Files]:
        """The files of each list or folder by itself: one that cannot be read leaves the others."""
        return [files_of(self.train_items), files_of(self.val_items)]

    def train_source(self) -> SampleSource:
        """The training samples, augmented."""
        items = self.found(self.train_items(), "training sample")
        self.require(items[0].names(), items[0].key)
        return Items(self.store, items, self.transforms)

    def val_source(self) -> SampleSource:
        """The validation samples."""
        items = evenly_spaced(self.found(self.val_items(), "validation sample"), self.val_samples)
        self.require(items[0].names(), items[0].key)
        return Items(self.store, items, self.val_transforms)

    def check(self) -> None:
        """Look for the folder, its lists, and the files of the first sample of each set."""
        self.train_source()
        self.val_source()

    @cached_property
    def store(self) -> Store:
        """The store of `root`.

        Raises:
            DataError: there is no such folder.
        """
        if self.root is None:
            raise DataError(f"data.root is not set: give the folder {self.folder} (from {self.origin})")
        if not self.root.is_dir():
            raise DataError(
                f"there is no folder data.root={self.root}: give the folder {self.folder} (from {self.origin})"
            )
        return open_store(self.root)

    def list_lines(self, name: str) -> list[str]:
        """The lines of a list file, without blank ones.

        Raises:
            DataError: it is missing or empty.
        """
        if not self.store.exists(name):
            raise DataError(f"data.root={self.root} has no {name}: {self.hint()}")
        text = self.store.read_text(name).removeprefix("\ufeff").replace("\\", "/")  # as Windows writes them
        lines = [line.strip() for line in text.splitlines()]
        if not any(lines):
            raise DataError(f"{self.root}/{name} is empty: extract or fetch it again (from {self.origin})")
        return [line for line in lines if line]

    def found(self, items: Sequence[T], what: str) -> Sequence[T]:
        """The items; `what` names one.

        Raises:
            DataError: there are none.
        """
        if not items:
            raise DataError(f"data.root={self.root} holds no {what}: {self.hint()}")
        return items

    def require(self, names: Iterable[str], key: str) -> None:
        """Raise a DataError where a file is missing."""
        for name in names:
            if not self.store.exists(name):
                raise DataError(
                    f"sample {key}: {self.root}/{name} is missing from data.root: extract or fetch it again "
                    f"(from {self.origin})"
                )

    def hint(self) -> str:
        """What to give as `root`."""
        below = (self.root or Path()) / Path(self.folder).name
        if below.is_dir():
            return f"give data.root={below}"
        return f"give the folder {self.folder} (from {self.origin})"


class EvalData(StoredData):
    """A dataset without training samples."""

    trains = False

    def train_items(self) -> Sequence[Item]:
        """There are none: training on a test set is a mistake."""
        name = type(self).__module__.rpartition(".")[2]
        raise DataError(f"data={name} is only for evaluation: train on another dataset, such as data=vimeo90k")

    def check(self) -> None:
        """Look for the folder and the files of the first sample."""
        self.val_source()

    def setup(self, stage: str | None = None) -> None:
        """See `VFIDataModule`."""
        if stage == "fit":
            self.train_items()
        super().setup(stage)

    def file_groups(self) -> list[Files]:
        """See `StoredData`."""
        return [files_of(self.val_items)]


def files_of(items: Callable[[], Iterable[Item]]) -> Files:
    """The files of items, which are looked for when the first is requested."""
    yield from ((name, item.key) for item in items() for name in item.names())


def first_uses(files: Iterable[tuple[str, str]]) -> Files:
    """The files, each with the first key it comes with."""
    seen = set()
    for name, key in files:
        if name not in seen:
            seen.add(name)
            yield name, key


def check_numbers(store: Store, frames: Sequence[str]) -> None:
    """Raise a DataError where the numbers in the names of a video's frames have a gap.

    All frames after a missing one would be shifted.
    """
    for before, after in itertools.pairwise(frames):
        first, second = (re.search(r"(\d+)\D*$", name) for name in (before, after))
        if first and second and int(second[1]) != int(first[1]) + 1:
            raise DataError(
                f"{store.root}/{before} is followed by {after}: frames between them are missing, or the folder holds "
                "other images, too: extract it again"
            )


def evenly_spaced(items: Sequence[T], count: int | None) -> Sequence[T]:
    """`count` of the items, evenly spaced; all where it is None."""
    if count is None or count >= len(items):
        return items
    return [items[i] for i in np.linspace(0, len(items) - 1, count).round().astype(int)]


def one_of(key: str, value: Any, options: Iterable[Any]) -> None:
    """Raise a UserError where a config value is not one of the options."""
    options = list(options)
    if value not in options:
        raise UserError(f"{key}={value} is none of {', '.join(map(str, options))}")
