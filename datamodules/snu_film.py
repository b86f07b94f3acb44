"""SNU-FILM: four splits of growing motion (Choi et al., AAAI 2020)."""

from __future__ import annotations

from functools import cache, partial
from pathlib import PurePosixPath
from typing import Any, Literal

from datamodules.file_dataset import EvalData, Files, Item, check_numbers, files_of, one_of
from datamodules.sample_list import listed
from vfi_train.errors import DataError

SPLITS = ("easy", "medium", "hard", "extreme")
INTERVALS = dict(zip(SPLITS, (2, 4, 8, 16), strict=True))  # frames from one input to the other, at 240 per second
COUNTS = {f"test-{split}.txt": 310 for split in SPLITS}
Split = Literal["easy", "medium", "hard", "extreme"]


class SNUFilm(EvalData):
    """`test-easy.txt` ..., each line frame0, target and frame1; `test/GOPRO_test/...` and `test/YouTube_test/...`.

    The lists may be in `eval_modes`. Of a path in them, the last three parts are used.

    Args:
        root: the folder that holds the lists and `test`.
        split: easy, medium, hard or extreme.
        between: every frame between the two inputs, not only the middle one (SNU-FILM-arb).
        val_list: a file that names the samples to take; see `listed`, whose lines may name those of other splits. None:
            all.
        **data: see `StoredData`.
    """

    folder = "SNU-FILM"
    origin = "SNU-FILM_test.zip and eval_modes.zip, https://myungsub.github.io/CAIN"
    published = COUNTS
    unit = "triplets"

    def __init__(
        self, *, split: Split = "easy", between: bool = False, val_list: str | None = None, **data: Any
    ) -> None:
        super().__init__(**data)
        one_of("data.split", split, SPLITS)
        self.split, self.between, self.val_list = split, between, val_list
        self.arbitrary_time = between

    def val_items(self) -> list[Item]:
        """The samples of the split."""
        items = self._split_items(self.split)
        if self.val_list is None:
            return items
        others = [split for split in SPLITS if split != self.split]
        return listed(items, self.val_list, lambda: [item for split in others for item in self._split_items(split)])

    def counts(self) -> dict[str, int]:
        """The lengths of the four lists."""
        return {f"test-{split}.txt": len(self._items(split)) for split in SPLITS}

    def file_groups(self) -> list[Files]:
        """See `StoredData`: of all four splits."""
        return [files_of(partial(self._items, split)) for split in SPLITS]

    def _split_items(self, split: str) -> list[Item]:
        items = self._items(split)
        return self._all_between(items, split) if self.between else items

    def _items(self, split: str) -> list[Item]:
        name = f"test-{split}.txt"
        lines = self.list_lines(name if self.store.exists(name) else f"eval_modes/{name}")
        frames = "test/" if self.store.exists("test") else ""
        items = []
        for number, line in enumerate(lines, start=1):
            parts = [path.split("/")[-3:] for path in line.split()]
            if len(parts) != 3:
                raise DataError(
                    f"line {number} of {self.root}/{name} has {len(parts)} paths, not 3: fetch the list again"
                )
            frame0, target, frame1 = (frames + "/".join(part) for part in parts)
            key = f"{split}/{'/'.join(parts[1]).rpartition('.')[0]}"
            items.append(Item(key, frame0, frame1, target))
        return items

    def _all_between(self, triplets: list[Item], split: str) -> list[Item]:
        """An item for each frame of the folder between the inputs of each triplet."""
        interval, names = INTERVALS[split], cache(self.store.listed)
        items = []
        for triplet in triplets:
            frames = names(triplet.frame0.rpartition("/")[0])
            missing = {triplet.frame0, triplet.frame1} - set(frames)
            if missing:
                raise DataError(f"{self.root}/{min(missing)} is missing: extract SNU-FILM_test.zip again")
            first, last = frames.index(triplet.frame0), frames.index(triplet.frame1)
            check_numbers(self.store, frames[first : last + 1])
            if last - first != interval:
                raise DataError(
                    f"{triplet.frame1} is {last - first} frames after {triplet.frame0}, not {interval}: "
                    f"fetch test-{split}.txt and SNU-FILM_test.zip again (from {self.origin})"
                )
            start, end = (PurePosixPath(name).stem for name in (triplet.frame0, triplet.frame1))
            pair = f"{triplet.key.rpartition('/')[0]}/{start}-{end}"
            for k in range(1, interval):
                target = frames[first + k]
                key = f"{pair}/{PurePosixPath(target).stem}"
                items.append(Item(key, triplet.frame0, triplet.frame1, target, k / interval, pair))
        return items
