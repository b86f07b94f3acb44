"""UCF101's test triplets, as Liu et al. (ICCV 2017) chose them: 379 of 256x256 pixels."""

from __future__ import annotations

from datamodules.file_dataset import EvalData, Item

COUNTS = {"triplets": 379}


class UCF101(EvalData):
    """A numbered folder for each triplet: `1/frame_00.png`, `1/frame_01_gt.png`, `1/frame_02.png`.

    Args:
        root: the folder `ucf101_interp_ours` that holds these.
        **data: see `StoredData`.
    """

    folder = "ucf101_interp_ours"
    origin = "ucf101_interp.zip of deep voxel flow, https://github.com/liuziwei7/voxel-flow"
    published = COUNTS
    image_size = (256, 256)

    def val_items(self) -> list[Item]:
        """All triplets."""
        folders = self.found([f for f in self.store.folders() if self.store.listed(f)], "folders of triplets")
        return [Item(f, f"{f}/frame_00.png", f"{f}/frame_02.png", f"{f}/frame_01_gt.png") for f in folders]

    def counts(self) -> dict[str, int]:
        """Triplets."""
        return {"triplets": len(self.val_items())}
