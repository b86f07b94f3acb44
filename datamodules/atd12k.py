"""ATD-12K: triplets of animated films (Li et al., CVPR 2021); its test set, as RIFE measures it."""

from __future__ import annotations

from datamodules.file_dataset import EvalData, Item

COUNTS = {"test_2k_540p": 2_000}


class ATD12K(EvalData):
    """`test_2k_540p/NAME/frame1.png`, `frame2.png` (the target), `frame3.png`.

    Args:
        root: the folder that holds `test_2k_540p`.
        **data: see `StoredData`.
    """

    folder = "datasets"
    origin = "datasets.zip of AnimeInterp, https://github.com/lisiyao21/AnimeInterp"
    published = COUNTS
    unit = "triplets"
    image_size = (540, 960)

    def val_items(self) -> list[Item]:
        """All triplets."""
        folders = self.found(self.store.folders("test_2k_540p"), "folders test_2k_540p/NAME")
        return [Item(f.partition("/")[2], f"{f}/frame1.png", f"{f}/frame3.png", f"{f}/frame2.png") for f in folders]

    def counts(self) -> dict[str, int]:
        """Triplets."""
        return {"test_2k_540p": len(self.val_items())}
