"""Sampling of Common Objects in 3D (Reizenstein et al., ICCV 2021): views around an object taken for a video.

Source: frame-interpolation-VLR, EMA-VFI tuned to densify an object's views. An object's images, in the natural
order of their names, fall into packs of neighbours; a pack gives one training sample.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from datamodules.core.samplers import Sample, SampleSource
from datamodules.storage.file_dataset import Item, StoredData, first_uses
from datamodules.storage.store import Store
from datamodules.transforms import Compose
from vfi_train.errors import DataError, UserError

COUNTS = {"objects": 88}
Triplet = tuple[int, int, int]  # positions of frame0, target and frame1


class CO3D(StoredData):
    """`train/OBJECT/images/frame000001.jpg` ..., `test/OBJECT/images/...`.

    A held-out sample is a pack's ends and the image in the middle, the same every time.

    Args:
        root: the folder that holds `train` and `test`.
        packs: packs per object, about; see `packs`.
        multi: a training sample is any three images of a pack; false: the same as a held-out one.
        drop_last_exact: leave out a last pack that ends with the last image, as published.
        **data: see `StoredData`.
    """

    folder = "co3d"
    origin = "a choice of objects of Common Objects in 3D, https://github.com/facebookresearch/co3d"
    published = COUNTS
    arbitrary_time = True

    def __init__(self, *, packs: int = 18, multi: bool = True, drop_last_exact: bool = False, **data: Any) -> None:
        super().__init__(**data)
        if packs < 1:
            raise UserError(f"data.packs={packs} is no number of packs per object: give 1 or more")
        self.packs, self.multi, self.drop_last_exact = packs, multi, drop_last_exact

    def train_items(self) -> list[Item]:
        """The middle triplet of every pack of the training objects."""
        return [self._item(pack, middle_triplet(len(pack))) for pack in self._packs("train")]

    def val_items(self) -> list[Item]:
        """The middle triplet of every pack of the test objects."""
        return [self._item(pack, middle_triplet(len(pack))) for pack in self._packs("test")]

    def train_source(self) -> SampleSource:
        """Random or middle triplets of the training objects' packs."""
        if not self.multi:
            return super().train_source()
        return RandomTriplets(self.store, self._packs("train"), self.transforms)

    def counts(self) -> dict[str, int]:
        """Objects of both sets."""
        return {"objects": sum(len(self.store.folders(split)) for split in ("train", "test"))}

    def files(self) -> Iterator[tuple[str, str]]:
        """See `StoredData`."""
        packs = (pack for split in ("train", "test") for pack in self._packs(split))
        yield from first_uses((name, key_of(pack, middle_triplet(len(pack)))) for pack in packs for name in pack)

    def _packs(self, split: str) -> list[list[str]]:
        """The images of each pack of a set's objects."""
        found = []
        for folder in self.found(self.store.folders(split), f"folders {split}/OBJECT/images"):
            images = self.store.listed(f"{folder}/images")
            for pack in packs(len(images), self.packs, drop_last_exact=self.drop_last_exact):
                if len(pack) > 2:
                    found.append([images[i] for i in pack])
        if not found:
            raise DataError(
                f"no object in {self.root}/{split} has 3 images for each of data.packs={self.packs} packs: give "
                f"fewer, or {self.hint()}"
            )
        return found

    def _item(self, pack: list[str], triplet: Triplet) -> Item:
        frame0, target, frame1 = (pack[i] for i in triplet)
        return Item(key_of(pack, triplet), frame0, frame1, target, time_of(triplet))


class RandomTriplets:
    """A source of samples (see `loader.SampleSource`): three random images of each pack, in order."""

    def __init__(self, store: Store, packs: list[list[str]], transforms: Compose) -> None:
        self.store, self.packs, self.transforms = store, packs, transforms

    def __len__(self) -> int:
        return len(self.packs)

    def sample(self, index: int, rng: np.random.Generator | None) -> Sample:
        """Draw a triplet of pack `index`."""
        rng = rng or np.random.default_rng((0, index))
        pack = self.packs[index]
        triplet = random_triplet(len(pack), rng)
        key = key_of(pack, triplet)
        names = zip(("frame0", "target", "frame1"), triplet, strict=True)
        sample: Sample = {name: self.store.read(pack[i], key) for name, i in names}
        return self.transforms({**sample, "time": time_of(triplet), "key": key}, rng)


def key_of(pack: list[str], triplet: Triplet) -> str:
    """A sample's key: the object and the names of its three images."""
    paths = [PurePosixPath(pack[i]) for i in triplet]
    return f"{paths[0].parents[1].name}/{'-'.join(path.stem for path in paths)}"


def packs(images: int, wanted: int = 18, *, drop_last_exact: bool = False) -> list[range]:
    """An object's packs: neighbouring images, floor(images / wanted) each; a rest shorter than that is left out.

    Args:
        images: how many the object has.
        wanted: packs per object, about: short packs may give more.
        drop_last_exact: leave out a last pack that ends with the last image, as published.

    Returns:
        Positions; none where a pack would be a single image.

    Raises:
        UserError: wanted is not positive.
    """
    if wanted < 1:
        raise UserError(f"an object is cut into one pack or more; got wanted={wanted}")
    size = images // wanted
    if size < 2:
        return []
    end = images - size + (0 if drop_last_exact else 1)
    return [range(start, start + size) for start in range(0, end, size)]


def random_triplet(size: int, rng: np.random.Generator) -> Triplet:
    """Three different positions in a pack of this size, in order, all triplets alike ("multi" in the source)."""
    _check(size)
    first, second, third = sorted(int(i) for i in rng.choice(size, 3, replace=False))
    return first, second, third


def middle_triplet(size: int) -> Triplet:
    """Both ends of a pack and the image in the middle, floor(size / 2)."""
    _check(size)
    return 0, size // 2, size - 1


def time_of(triplet: Triplet) -> float:
    """The target's time, views being evenly spaced: its share of the way from frame0 to frame1.

    The source adds 1e-6 to the divisor, and gives every middle triplet the time 0.5, also where the image in the
    middle of an even pack is past it.
    """
    first, second, third = triplet
    return (second - first) / (third - first)


def inner_times(size: int) -> list[float]:
    """The times of the images between a pack's ends, for its pairs of interpolated and true images."""
    return [time_of((0, i, size - 1)) for i in range(1, size - 1)]


def subsample(images: int, kept: int) -> list[int]:
    """Positions of so many images, both ends among them, evenly spread and rounded down.

    Raises:
        UserError: more are to be kept than there are.
    """
    if not 1 <= kept <= images:
        raise UserError(f"of {images} images, 1 to {images} can be kept; got {kept}")
    return [int(position) for position in np.linspace(0, images - 1, kept)]


def _check(size: int) -> None:
    if size < 3:
        raise UserError(f"a pack of {size} images has no triplet; give one of 3 or more (fewer packs per object)")
