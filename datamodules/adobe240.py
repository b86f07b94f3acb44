"""Adobe240: videos at 240 frames per second (Su et al., CVPR 2017), as AMT (CVPR 2023) measures 8x on them."""

from __future__ import annotations

from collections.abc import Iterator

from datamodules.gopro import video_items
from datamodules.storage.file_dataset import HeldOutData, Item

COUNTS: dict[str, int] = {}  # how many videos the benchmark takes is not stated
EVERY = 10


class Adobe240(HeldOutData):
    """A folder of frames for each video; every tenth in the order of names is taken, grouped as GoPro's.

    The published list comes from the file system in no order of its own; here it is sorted.

    Args:
        root: the folder that holds the videos' folders.
        **data: see `StoredData`.
    """

    folder = "test_frames"
    origin = "the videos of https://www.cs.ubc.ca/labs/imager/tr/2017/DeepVideoDeblurring, decoded to images"
    published = COUNTS
    arbitrary_time = True

    def val_items(self) -> list[Item]:
        """The seven targets of each group of nine frames."""
        videos = self.store.folders()[EVERY - 1 :: EVERY]
        return [i for v in self.found(videos, f"{EVERY} folders of frames") for i in video_items(self.store, v)]

    def files(self) -> Iterator[tuple[str, str]]:
        """See `StoredData`: of all videos, because which are taken depends on how many there are."""
        yield from ((name, video) for video in self.store.folders() for name in self.store.listed(video))

    def counts(self) -> dict[str, int]:
        """Nothing is stated to count."""
        return {}
