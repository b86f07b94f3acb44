"""Vimeo90K triplets: 73,171 clips of three frames of 448x256 pixels (Xue et al., IJCV 2019)."""

from __future__ import annotations

from typing import Any, Literal

from datamodules.core.samples import SampleSource
from datamodules.file_dataset import Item, Items, StoredData, evenly_spaced, one_of
from datamodules.transforms import Compose
from vfi_train.errors import DataError, UserError
from vfi_train.ranges import Fraction

COUNTS = {"tri_trainlist.txt": 51_312, "tri_testlist.txt": 3_782}
FRAMES = ("im1.png", "im2.png", "im3.png")
LABELS = ("flow_t0.flo", "flow_t1.flo")  # from the target to frame0, to frame1


class Vimeo90K(StoredData):
    """Triplets as published: `tri_trainlist.txt`, `tri_testlist.txt`, `sequences/00001/0001/im1.png` ...

    Evaluation also accepts the folder `vimeo_interp_test` (only the test set: `tri_testlist.txt`, `target/...`).

    Args:
        root: the folder `vimeo_triplet` that holds these.
        flow: give flow labels from `flow/00001/0001/flow_t0.flo`, `flow_t1.flo`.
        train_fraction: train on this fraction of the training list, from its beginning (RIFE: 0.95).
        val_split: validate on the "test" list, or on the "rest" of the training list (RIFE).
        **data: see `StoredData`.
    """

    folder = "vimeo_triplet"
    origin = "vimeo_triplet.zip, http://toflow.csail.mit.edu"
    published = COUNTS
    unit = "triplets"
    image_size = (256, 448)

    def __init__(
        self,
        *,
        flow: bool = False,
        train_fraction: Fraction = 1.0,
        val_split: Literal["test", "rest"] = "test",
        **data: Any,
    ) -> None:
        super().__init__(**data)
        self.gives_flow = self.gives_val_flow = flow
        self.train_fraction, self.val_split = check_fraction(train_fraction, val_split)

    def train_items(self) -> list[Item]:
        """The clips of `tri_trainlist.txt`, or its first ones."""
        return self._items(split(self.list_lines("tri_trainlist.txt"), self.train_fraction)[0])

    def val_items(self) -> list[Item]:
        """The clips of `tri_testlist.txt`, or the last ones of `tri_trainlist.txt`."""
        if self.val_split == "test":
            return self._items(self.list_lines("tri_testlist.txt"))
        return self._items(split(self.list_lines("tri_trainlist.txt"), self.train_fraction)[1])

    def counts(self) -> dict[str, int]:
        """The lengths of the lists."""
        return {name: len(self.list_lines(name)) for name in COUNTS}

    def train_source(self) -> SampleSource:
        """The training clips, augmented."""
        return self._source_of(self.train_items(), self.transforms)

    def val_source(self) -> SampleSource:
        """The validation clips."""
        return self._source_of(list(evenly_spaced(self.val_items(), self.val_samples)), self.val_transforms)

    def _source_of(self, items: list[Item], transforms: Compose) -> Items:
        first = items[0]
        self.require(first.images(), first.key)
        missing = next((name for name in first.flow or () if not self.store.exists(name)), None)
        if missing is not None:
            raise DataError(
                f"{self.root}/{missing}, the flow label of the first clip, is missing: make labels for all clips, "
                "or train without (data.flow=false and a loss without distillation)"
            )
        return Items(self.store, items, transforms)

    def _items(self, clips: list[str]) -> list[Item]:
        folder = "sequences" if self.store.exists("sequences") else "target"
        items = []
        for clip in clips:
            frame0, target, frame1 = (f"{folder}/{clip}/{name}" for name in FRAMES)
            flow = (f"flow/{clip}/{LABELS[0]}", f"flow/{clip}/{LABELS[1]}") if self.gives_flow else None
            items.append(Item(clip, frame0, frame1, target, flow=flow))
        return items


def split(clips: list[str], fraction: float) -> tuple[list[str], list[str]]:
    """The first clips, floor(fraction * their number), and the rest.

    Raises:
        DataError: the first part is empty.
    """
    first = int(fraction * len(clips))
    if not first:
        raise DataError(f"data.train_fraction={fraction} of {len(clips)} clips in the training list is none: give more")
    return clips[:first], clips[first:]


def check_fraction(fraction: float, val_split: str) -> tuple[float, str]:
    """Both, if they can be combined.

    Raises:
        UserError: they cannot.
    """
    one_of("data.val_split", val_split, ("test", "rest"))
    if not 0 < fraction <= 1:
        raise UserError(f"data.train_fraction={fraction} is not a fraction: give a number above 0, up to 1")
    if val_split == "rest" and fraction == 1:
        raise UserError("data.val_split=rest leaves nothing to validate on: give data.train_fraction below 1, as 0.95")
    return fraction, val_split
