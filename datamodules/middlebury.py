"""Middlebury's images for interpolation (Baker et al., IJCV 2011): Other, and the evaluation set."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

from datamodules.file_dataset import EvalData, Files, Item, files_of, one_of

OTHER = (
    *("Beanbags", "Dimetrodon", "DogDance", "Grove2", "Grove3", "Hydrangea"),
    *("MiniCooper", "RubberWhale", "Urban2", "Urban3", "Venus", "Walking"),
)
EVALUATION = ("Mequon", "Schefflera", "Urban", "Teddy", "Backyard", "Basketball", "Dumptruck", "Evergreen")
COUNTS = {"other": 12, "evaluation": 8}


class Middlebury(EvalData):
    """`other-data/Beanbags/frame10.png`, `frame11.png`, `other-gt-interp/Beanbags/frame10i11.png`; `eval-data/...`.

    Args:
        root: the folder that holds these.
        part: "other", twelve sequences; or "evaluation", eight whose true frame is not public: their samples have no
            `target`, so they can be interpolated, not measured.
        **data: see `StoredData`.
    """

    folder = "middlebury"
    origin = "other-color-twoframes.zip, other-gt-interp.zip and eval-color-twoframes.zip, https://vision.middlebury.edu/flow/data"
    published = COUNTS
    unit = "triplets"

    def __init__(self, *, part: Literal["other", "evaluation"] = "other", **data: Any) -> None:
        super().__init__(**data)
        one_of("data.part", part, COUNTS)
        self.part = part

    def val_items(self) -> list[Item]:
        """The sequences of the part."""
        return self._items(self.part)

    def counts(self) -> dict[str, int]:
        """Complete sequences of the chosen part, and of the other part where it has any."""
        complete = {part: [all(map(self.store.exists, i.names())) for i in self._items(part)] for part in COUNTS}
        return {part: sum(found) for part, found in complete.items() if part == self.part or any(found)}

    def file_groups(self) -> list[Files]:
        """See `StoredData`: of the parts that `counts` counts."""
        return [files_of(partial(self._items, part)) for part in self.counts()]

    def _items(self, part: str) -> list[Item]:
        if part == "evaluation":
            return [Item(n, f"eval-data/{n}/frame10.png", f"eval-data/{n}/frame11.png", None) for n in EVALUATION]
        true = "other-gt-interp/{}/frame10i11.png"
        return [Item(n, f"other-data/{n}/frame10.png", f"other-data/{n}/frame11.png", true.format(n)) for n in OTHER]
