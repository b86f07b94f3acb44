"""GoPro's 240 fps videos, for eight times the frame rate (Nah et al., CVPR 2017).

A video's frames fall into groups of nine; neighbouring groups share a frame. A group's ends are the inputs, the
seven frames between them the targets at the times 1/8 to 7/8. A training item is a group in IFRNet (CVPR 2022) and
one target of a group in AMT (CVPR 2023); both use the same lists of videos.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any, Literal

import numpy as np

from datamodules.core.samples import Sample, SampleSource
from datamodules.file_dataset import Item, Items, StoredData, Triplet, check_numbers, one_of
from datamodules.storage.store import Store
from datamodules.transforms import Compose
from vfi_train.errors import DataError

GROUP = 9  # frames, both ends included
COUNTS = {"train": 22, "test": 11}  # videos

TRAIN_VIDEOS = (
    *("GOPR0372_07_00", "GOPR0372_07_01", "GOPR0374_11_00", "GOPR0374_11_01", "GOPR0374_11_02", "GOPR0374_11_03"),
    *("GOPR0378_13_00", "GOPR0379_11_00", "GOPR0380_11_00", "GOPR0384_11_01", "GOPR0384_11_02", "GOPR0384_11_03"),
    *("GOPR0384_11_04", "GOPR0385_11_00", "GOPR0386_11_00", "GOPR0477_11_00", "GOPR0857_11_00", "GOPR0868_11_01"),
    *("GOPR0868_11_02", "GOPR0871_11_01", "GOPR0881_11_00", "GOPR0884_11_00"),
)
TEST_VIDEOS = (
    *("GOPR0384_11_00", "GOPR0384_11_05", "GOPR0385_11_01", "GOPR0396_11_00", "GOPR0410_11_00", "GOPR0854_11_00"),
    *("GOPR0862_11_00", "GOPR0868_11_00", "GOPR0869_11_00", "GOPR0871_11_00", "GOPR0881_11_01"),
)


class GoPro(StoredData):
    """`train/GOPR0372_07_00/000047.png` ..., `test/...`, or all 33 videos side by side.

    Args:
        root: the folder that holds these.
        item: a training item is a "moment", one of the seven targets of a group (AMT), or a "group": its seven
            samples, augmented alike, enter the batch together, so that `batch_size` counts groups (IFRNet).
        **data: see `StoredData`.
    """

    folder = "GOPRO_Large_all"
    origin = "GOPRO_Large_all.zip, https://seungjunnah.github.io/Datasets/gopro"
    published = COUNTS
    unit = "videos"
    image_size = (720, 1280)
    arbitrary_time = True
    has_context = True

    def __init__(self, *, item: Literal["moment", "group"] = "moment", **data: Any) -> None:
        super().__init__(**data)
        one_of("data.item", item, ("moment", "group"))
        self.item = item

    def train_items(self) -> list[Item]:
        """Every target of the 22 training videos."""
        return self._items("train", TRAIN_VIDEOS)

    def val_items(self) -> list[Item]:
        """Every target of the 11 test videos."""
        return self._items("test", TEST_VIDEOS)

    def train_source(self) -> SampleSource:
        """Single targets, or groups."""
        items = self.train_items()
        self.require(items[0].names(), items[0].key)
        if self.item == "moment":
            return Items(self.store, items, self.transforms)
        return Groups(self.store, items, GROUP - 2, self.transforms)

    def counts(self) -> dict[str, int]:
        """The videos that exist."""
        sets = {"train": TRAIN_VIDEOS, "test": TEST_VIDEOS}
        return {split: sum(self.store.exists(self._place(split, v)) for v in sets[split]) for split in COUNTS}

    def _items(self, split: str, videos: Sequence[str]) -> list[Item]:
        missing = [video for video in videos if not self.store.exists(self._place(split, video))]
        if missing:
            raise DataError(
                f"data.root={self.root} has no {self._place(split, missing[0])}, one of {len(missing)} missing {split} "
                f"videos of {len(videos)}: {self.hint()}"
            )
        return [item for video in videos for item in video_items(self.store, self._place(split, video), self.context)]

    def _place(self, split: str, video: str) -> str:
        return f"{split}/{video}" if self.store.exists(split) else video


class Groups:
    """A `SampleSource` of groups: `size` neighbouring items, augmented alike."""

    def __init__(self, store: Store, items: list[Item], size: int, transforms: Compose) -> None:
        self.store, self.items, self.size, self.transforms = store, items, size, transforms

    def __len__(self) -> int:
        return len(self.items) // self.size

    def sample(self, index: int, rng: np.random.Generator | None) -> list[Sample]:
        """All targets of group `index`, with the same random numbers; each frame is read once."""
        seed = 0 if rng is None else int(rng.integers(2**63))
        items = self.items[index * self.size : (index + 1) * self.size]
        frames = {name: self.store.read(file, items[0].key) for name, file in items[0].inputs().items()}
        samples = []
        for item in items:
            assert item.target is not None
            sample: Sample = {**frames, "target": self.store.read(item.target, item.key)}
            sample |= {"time": item.time, "key": item.key, "pair": item.pair}
            samples.append(self.transforms(sample, np.random.default_rng(seed)))
        return samples


def video_items(store: Store, folder: str, context: bool = False) -> list[Item]:
    """Every target of a video, a folder of frames in the order of their names, with `context` if it is wanted.

    Raises:
        DataError: it has fewer frames than a group, or one is missing between two.
    """
    frames = store.listed(folder)
    check_numbers(store, frames)
    if len(frames) < GROUP:
        raise DataError(
            f"{store.root}/{folder} has {len(frames)} frames, fewer than a group of {GROUP}: extract it again"
        )
    video = PurePosixPath(folder).name
    stems = [PurePosixPath(name).stem for name in frames]
    items = []
    for triplet in video_triplets(len(frames)):
        first, target, last = triplet
        pair = f"{video}/{stems[first]}-{stems[last]}"
        item = Item(f"{pair}/{stems[target]}", frames[first], frames[last], frames[target], triplet.time, pair)
        if context:
            before, after = triplet.context(range(len(frames)))
            item = replace(item, context=(frames[before], frames[after]))
        items.append(item)
    return items


def groups(frames: int) -> list[range]:
    """The complete groups of a video of so many frames: positions 0 to 8, 8 to 16, ..."""
    return [range(start, start + GROUP) for start in range(0, frames - GROUP + 1, GROUP - 1)]


def group_triplets(group: Sequence[int]) -> list[Triplet]:
    """Every target of a group, in the group's order: IFRNet's training item."""
    return [Triplet(group[0], target, group[-1]) for target in group[1:-1]]


def video_triplets(frames: int) -> list[Triplet]:
    """Every target of every group of a video: the items of AMT's training, 7 x group + (target - 1)."""
    return [triplet for group in groups(frames) for triplet in group_triplets(group)]
