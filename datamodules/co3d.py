"""Common Objects in 3D (Reizenstein et al., ICCV 2021): views around an object, used as a video.

Source: frame-interpolation-VLR, EMA-VFI tuned to densify an object's views. An object's images, in the natural
order of their names, are divided into packs of neighbours; a pack gives one training sample.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import numpy as np

from datamodules.core.samples import Sample, SampleSource
from datamodules.file_dataset import Files, Item, StoredData, Triplet, random_triplet
from datamodules.storage.store import Store
from datamodules.transforms import Compose
from vfi_train.errors import DataError, UserError

COUNTS = {"objects": 88}


class CO3D(StoredData):
    """`train/OBJECT/images/frame000001.jpg` ..., `test/OBJECT/images/...`.

    A validation sample is a pack's ends and the image in the middle.

    Args:
        root: the folder that holds `train` and `test`.
        packs: approximate number of packs per object; see `packs`.
        multi: a training sample is any three images of a pack; false: as a validation sample.
        drop_last_exact: leave out a last pack that ends with the last image, as published.
        **data: see `StoredData`.
    """

    folder = "co3d"
    origin = "a selection of objects of Common Objects in 3D, https://github.com/facebookresearch/co3d"
    published = COUNTS
    arbitrary_time = True

    def __init__(self, *, packs: int = 18, multi: bool = True, drop_last_exact: bool = False, **data: Any) -> None:
        super().__init__(**data)
        if packs < 1:
            raise UserError(f"data.packs={packs} is not a number of packs per object: give 1 or more")
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

    def file_groups(self) -> list[Files]:
        """See `StoredData`."""
        return [self._files(split) for split in ("train", "test")]

    def _files(self, split: str) -> Files:
        yield from ((name, key_of(p, middle_triplet(len(p)))) for p in self._packs(split) for name in p)

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
        return Item(key_of(pack, triplet), frame0, frame1, target, triplet.time)


class RandomTriplets:
    """A `SampleSource`: three random images of each pack, in order ("multi" in the source)."""

    def __init__(self, store: Store, packs: list[list[str]], transforms: Compose) -> None:
        self.store, self.packs, self.transforms = store, packs, transforms

    def __len__(self) -> int:
        return len(self.packs)

    def sample(self, index: int, rng: np.random.Generator | None) -> Sample:
        """Draw a triplet of pack `index`."""
        rng = rng or np.random.default_rng((0, index))
        pack = self.packs[index]
        triplet = random_triplet(rng, len(pack))
        key = key_of(pack, triplet)
        names = zip(("frame0", "target", "frame1"), triplet, strict=True)
        sample: Sample = {name: self.store.read(pack[i], key) for name, i in names}
        return self.transforms({**sample, "time": triplet.time, "key": key}, rng)


def key_of(pack: list[str], triplet: Triplet) -> str:
    """A sample's key: the object and the names of its three images."""
    paths = [PurePosixPath(pack[i]) for i in triplet]
    return f"{paths[0].parents[1].name}/{'-'.join(path.stem for path in paths)}"


def packs(images: int, wanted: int, *, drop_last_exact: bool = False) -> list[range]:
    """An object's packs: neighbouring images, floor(images / wanted) each; a rest shorter than that is left out.

    Args:
        images: how many the object has.
        wanted: packs per object; the rest may give more.
        drop_last_exact: leave out a last pack that ends with the last image, as published.

    Returns:
        Positions; none where a pack would be a single image.
    """
    size = images // wanted
    if size < 2:
        return []
    end = images - size + (0 if drop_last_exact else 1)
    return [range(start, start + size) for start in range(0, end, size)]


def middle_triplet(size: int) -> Triplet:
    """Both ends of a pack and the image in the middle, floor(size / 2).

    The source gives it the time 0.5, also in an even pack where the image is past the middle.
    """
    return Triplet(0, size // 2, size - 1)
