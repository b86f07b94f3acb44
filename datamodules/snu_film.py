"""SNU-FILM: four splits of growing motion (Choi et al., AAAI 2020)."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

from datamodules.file_dataset import EvalData, Files, Item, files_of, one_of
from vfi_train.errors import DataError

SPLITS = ("easy", "medium", "hard", "extreme")
COUNTS = {f"test-{split}.txt": 310 for split in SPLITS}
Split = Literal["easy", "medium", "hard", "extreme"]


class SNUFilm(EvalData):
    """`test-easy.txt` ..., each line frame0, target and frame1; `test/GOPRO_test/...` and `test/YouTube_test/...`.

    The lists may be in `eval_modes`. Of a path in them, the last three parts are used.

    Args:
        root: the folder that holds the lists and `test`.
        split: easy, medium, hard or extreme.
        **data: see `StoredData`.
    """

    folder = "SNU-FILM"
    origin = "SNU-FILM_test.zip and eval_modes.zip, https://myungsub.github.io/CAIN"
    published = COUNTS
    unit = "triplets"

    def __init__(self, *, split: Split = "easy", **data: Any) -> None:
        super().__init__(**data)
        one_of("data.split", split, SPLITS)
        self.split = split

    def val_items(self) -> list[Item]:
        """The triplets of the split."""
        return self._items(self.split)

    def counts(self) -> dict[str, int]:
        """The lengths of the four lists."""
        return {f"test-{split}.txt": len(self._items(split)) for split in SPLITS}

    def file_groups(self) -> list[Files]:
        """See `StoredData`: of all four splits."""
        return [files_of(partial(self._items, split)) for split in SPLITS]

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
