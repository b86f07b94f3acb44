"""DAVIS at 480p (Pont-Tuset et al., 2017): every second frame between its neighbours, as in ATM-VFI."""

from __future__ import annotations

from pathlib import PurePosixPath

from datamodules.file_dataset import EvalData, Item, check_numbers

COUNTS = {"clips": 90}


class DAVIS(EvalData):
    """`JPEGImages/480p/bear/00000.jpg` ...: frames i and i + 2 for even i, the target between them.

    Args:
        root: the folder `DAVIS`.
        **data: see `StoredData`.
    """

    folder = "DAVIS"
    origin = "DAVIS-2017-trainval-480p.zip, https://davischallenge.org"
    published = COUNTS

    def val_items(self) -> list[Item]:
        """The triplets of all clips."""
        items = []
        for clip in self.found(self.store.folders("JPEGImages/480p"), "folders JPEGImages/480p/CLIP"):
            frames = self.store.listed(clip)
            check_numbers(self.store, frames)
            for i in range(0, len(frames) - 2, 2):
                target = PurePosixPath(frames[i + 1])
                items.append(Item(f"{target.parent.name}/{target.stem}", frames[i], frames[i + 2], frames[i + 1]))
        return list(self.found(items, "clip of three frames"))

    def counts(self) -> dict[str, int]:
        """Clips."""
        return {"clips": len(self.store.folders("JPEGImages/480p"))}
