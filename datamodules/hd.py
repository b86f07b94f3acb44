"""HD: eleven raw videos of 544, 720 and 1080 rows, as RIFE (ECCV 2022) and EMA-VFI (CVPR 2023) measure on them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any, Literal

import numpy as np

from datamodules.core.samples import Sample
from datamodules.file_dataset import EvalData, Files, Triplet, evenly_spaced, one_of
from datamodules.storage.yuv import Chroma, YUVFile
from datamodules.transforms import Compose
from vfi_train.errors import DataError

VIDEOS = {
    "544p": tuple(f"Sintel_{name}_1280x544" for name in ("Alley2", "Market5", "Temple1", "Temple2")),
    "720p": ("parkrun_1280x720_50", "shields_1280x720_60", "stockholm_1280x720_60"),
    "1080p": ("BlueSky", "Kimono1_1920x1080_24", "ParkScene_1920x1080_24", "sunflower_1080p25"),
}
SIZES = {"544p": (544, 1280), "720p": (720, 1280), "1080p": (1080, 1920)}
COUNTS = {group: len(videos) for group, videos in VIDEOS.items()}
MAX_FRAMES = 101  # that are used of a video


class HD(EvalData):
    """`HD544p_GT/Sintel_Alley2_1280x544.yuv` ..., `HD720p_GT/...`, `HD1080p_GT/...`: planar YUV 4:2:0, 8 bits.

    Args:
        root: the folder that holds these.
        group: 544p, 720p, 1080p, or all.
        factor: 2: the inputs are frames i and i + 2 for i = 0, 2, ..., 98; 4: i and i + 4 for i = 0, 4, ..., 96.
        chroma: how the colour planes are enlarged; see `yuv.YUVFile`.
        size: height and width of all videos, if other than published.
        **data: see `StoredData`.
    """

    folder = "HD_dataset"
    origin = "the HD benchmark of https://github.com/baowenbo/MEMC-Net"
    published = COUNTS
    unit = "videos"

    def __init__(
        self,
        *,
        group: Literal["all", "544p", "720p", "1080p"] = "all",
        factor: Literal[2, 4] = 2,
        chroma: Chroma = "bicubic",
        size: Sequence[int] | None = None,
        **data: Any,
    ) -> None:
        super().__init__(**data)
        one_of("data.group", group, ("all", *VIDEOS))
        one_of("data.factor", factor, (2, 4))
        self.groups = list(VIDEOS) if group == "all" else [group]
        self.factor, self.chroma = factor, chroma
        self.size = None if size is None else tuple(size)
        self.arbitrary_time = factor != 2

    def val_source(self) -> RawTriplets:
        """The targets of all pairs, video after video."""
        triplets = []
        for name in self._names(self.groups):
            count = min(len(self.video(name)), MAX_FRAMES)
            for start in range(0, count - self.factor, self.factor):
                end = start + self.factor
                triplets += [(name, Triplet(start, target, end)) for target in range(start + 1, end)]
        return RawTriplets(self, evenly_spaced(self.found(triplets, "pair"), self.val_samples), self.val_transforms)

    def video(self, name: str) -> YUVFile:
        """A video by its name in the store.

        Raises:
            DataError: it is missing, or not a number of complete frames.
        """
        self.require([name], name)
        group = name.partition("p_GT/")[0].removeprefix("HD") + "p"
        height, width = self.size or SIZES[group]
        return YUVFile(self.store.root / name, height, width, self.chroma)

    def counts(self) -> dict[str, int]:
        """Videos of each chosen group that exist."""
        return {group: sum(map(self.store.exists, self._names([group]))) for group in self.groups}

    def file_groups(self) -> list[Files]:
        """See `StoredData`: the videos."""
        return [((name, name) for name in self._names(self.groups))]

    def _names(self, groups: Sequence[str]) -> list[str]:
        return [f"HD{group}_GT/{video}.yuv" for group in groups for video in VIDEOS[group]]


class RawTriplets:
    """A `SampleSource` of (video, triplet)."""

    def __init__(self, data: HD, triplets: Sequence[tuple[str, Triplet]], transforms: Compose) -> None:
        self.data, self.triplets, self.transforms = data, triplets, transforms
        self.videos = {name: data.video(name) for name, _ in triplets}

    def __len__(self) -> int:
        return len(self.triplets)

    def pair(self, index: int) -> str:
        """See `HasPairs`."""
        name, triplet = self.triplets[index]
        return f"{PurePosixPath(name).stem}/{triplet.frame0:03d}-{triplet.frame1:03d}"

    def sample(self, index: int, rng: np.random.Generator | None) -> Sample:
        """Read triplet `index`."""
        (name, triplet), pair = self.triplets[index], self.pair(index)
        try:
            sample: Sample = {frame: self.videos[name][number] for frame, number in triplet._asdict().items()}
        except (OSError, ValueError) as error:
            raise DataError(f"sample {pair}: {self.data.root}/{name} cannot be read: {error}") from error
        sample.update(key=f"{pair}/{triplet.target:03d}", pair=pair, time=triplet.time)
        return self.transforms(sample, rng or np.random.default_rng((0, index)))
