"""Xiph: eight 4K clips of media.xiph.org, the first 100 frames of each (Niklaus and Liu, CVPR 2020)."""

from __future__ import annotations

from typing import Any, Literal

from datamodules.file_dataset import EvalData, Item, one_of
from datamodules.transforms import CenterCrop, Compose, Resize
from vfi_train.errors import UserError
from vfi_train.ranges import Positive

CLIPS = (
    *("BoxingPractice", "Crosswalk", "DrivingPOV", "FoodMarket"),
    *("FoodMarket2", "RitualDance", "SquareAndTimelapse", "Tango"),
)
COUNTS = {"clips": 8, "triplets": 392}


class Xiph(EvalData):
    """`BoxingPractice/001.png` ..., or `BoxingPractice-001.png` ...: targets 2, 4, ..., 98 between their neighbours.

    Args:
        root: the folder that holds these.
        resolution: "2k": 4096x2160 frames shrunk to `size` by area, in 8 bits; "4k": the centre crop of `size`.
        size: height and width of either.
        frames: how many are used of each clip.
        **data: see `StoredData`.
    """

    folder = "xiph"
    origin = (
        "the Netflix clips of https://media.xiph.org/video/derf, decoded to images (ffmpeg -pix_fmt rgb24 "
        "-vframes 100 CLIP/%03d.png)"
    )
    published = COUNTS
    image_size = (2160, 4096)

    def __init__(
        self,
        *,
        resolution: Literal["2k", "4k"] = "2k",
        size: tuple[Positive, Positive] = (1080, 2048),
        frames: int = 100,
        **data: Any,
    ) -> None:
        super().__init__(**data)
        one_of("data.resolution", resolution, ("2k", "4k"))
        if frames < 3:
            raise UserError(f"data.frames={frames} has no triplet: give 3 or more")
        self.frames = frames
        first = Resize(size, "area") if resolution == "2k" else CenterCrop(size)
        self.val_transforms = Compose([first, *self.val_transforms.transforms])

    def val_items(self) -> list[Item]:
        """Every second frame of each clip."""
        items = []
        for clip in CLIPS:
            name = f"{clip}/{{:03d}}.png" if self.store.exists(clip) else f"{clip}-{{:03d}}.png"
            for number in range(2, self.frames, 2):
                frame0, target, frame1 = (name.format(number + i) for i in (-1, 0, 1))
                items.append(Item(f"{clip}/{number:03d}", frame0, frame1, target))
        return items

    def counts(self) -> dict[str, int]:
        """Complete clips and triplets."""
        complete = [item for item in self.val_items() if all(map(self.store.exists, item.names()))]
        return {"clips": len({item.key.partition("/")[0] for item in complete}), "triplets": len(complete)}
