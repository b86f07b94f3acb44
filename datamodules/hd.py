"""HD: eleven raw videos of 544, 720 and 1080 rows, as RIFE (ECCV 2022) and EMA-VFI (CVPR 2023) measure on them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any, Literal

import numpy as np

from datamodules.core.samplers import Sample
from datamodules.storage.file_dataset import HeldOutData, first_uses, one_of, spread
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
FRAMES = 101  # of a video that are used, at most


class HD(HeldOutData):
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

    def val_source(self) -> RawMoments:
        """The targets of all pairs, video after video."""
        moments = []
        for name in self._names(self.groups):
            count = min(len(self.video(name)), FRAMES)
            starts = range(0, count - self.factor, self.factor)
            moments += [(name, start, k) for start in starts for k in range(1, self.factor)]
        return RawMoments(self, spread(self.found(moments, "whole pair"), self.val_samples), self.val_transforms)

    def video(self, name: str) -> YUVFile:
        """A video by its name in the store.

        Raises:
            DataError: it is missing, or not whole frames.
        """
        self.require([name], name)
        group = name.partition("p_GT/")[0].removeprefix("HD") + "p"
        height, width = self.size or SIZES[group]
        return YUVFile(self.store.root / name, height, width, self.chroma)

    def counts(self) -> dict[str, int]:
        """Videos of each chosen group that are there."""
        return {group: sum(map(self.store.exists, self._names([group]))) for group in self.groups}

    def files(self) -> Iterator[tuple[str, str]]:
        """See `StoredData`: the videos."""
        yield from first_uses((name, name) for name in self._names(self.groups))

    def _names(self, groups: Sequence[str]) -> list[str]:
        return [f"HD{group}_GT/{video}.yuv" for group in groups for video in VIDEOS[group]]


class RawMoments:
    """A source of samples (see `loader.SampleSource`), each (video, number of frame0, k-th frame after it)."""

    def __init__(self, data: HD, moments: Sequence[tuple[str, int, int]], transforms: Compose) -> None:
        self.data, self.moments, self.transforms = data, moments, transforms
        self.videos = {name: data.video(name) for name, _, _ in moments}

    def __len__(self) -> int:
        return len(self.moments)

    def sample(self, index: int, rng: np.random.Generator | None) -> Sample:
        """Read moment `index`."""
        name, start, k = self.moments[index]
        factor, stem = self.data.factor, PurePosixPath(name).stem
        pair = f"{stem}/{start:03d}-{start + factor:03d}"
        numbers = {"frame0": start, "target": start + k, "frame1": start + factor}
        try:
            sample: Sample = {frame: self.videos[name][number] for frame, number in numbers.items()}
        except (OSError, ValueError) as error:
            raise DataError(f"sample {pair}: {self.data.root}/{name} cannot be read: {error}") from error
        sample.update(key=f"{pair}/{start + k:03d}", pair=pair, time=k / factor)
        return self.transforms(sample, rng or np.random.default_rng((0, index)))
