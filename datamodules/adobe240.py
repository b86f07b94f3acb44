"""Adobe240: videos at 240 frames per second (Su et al., CVPR 2017), as AMT (CVPR 2023) measures 8x on them."""

from __future__ import annotations

from datamodules.file_dataset import Files, Item, StoredData
from datamodules.gopro import video_items

EVERY = 10


class Adobe240(StoredData):
    """A folder of frames for each video; every tenth by name is the test set, in groups as GoPro's. The others train.

    The published list is in the file system's order; here it is sorted. No publication states a training on it: the
    samples are those of AMT's GoPro.

    Args:
        root: the folder that holds the videos' folders.
        **data: see `StoredData`.
    """

    folder = "test_frames"
    origin = "the videos of https://www.cs.ubc.ca/labs/imager/tr/2017/DeepVideoDeblurring, decoded to images"
    arbitrary_time = True
    has_context = True

    def train_items(self) -> list[Item]:
        """The seven targets of each group of nine frames, of nine videos of ten."""
        videos = [video for number, video in enumerate(self.store.folders(), start=1) if number % EVERY]
        found = self.found(videos, "folder of frames")
        return [item for video in found for item in video_items(self.store, video, self.context)]

    def val_items(self) -> list[Item]:
        """Those of every tenth video."""
        videos = self.found(self.store.folders()[EVERY - 1 :: EVERY], f"{EVERY} folders of frames")
        return [item for video in videos for item in video_items(self.store, video, self.context)]

    def file_groups(self) -> list[Files]:
        """See `StoredData`: of all videos, since their number decides which are used."""
        return [((name, video) for video in self.store.folders() for name in self.store.listed(video))]

    def counts(self) -> dict[str, int]:
        """Nothing to compare with: the number of videos is not stated."""
        return {}
