"""One's own footage as a test: every frame between the ends of each stretch of a video or a folder of frames."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from datamodules.core.datamodule import VFIDataModule
from datamodules.core.samplers import Sample, SampleSource
from datamodules.storage import videos as clips
from datamodules.storage.file_dataset import spread
from datamodules.storage.frame_cache import FrameCache, Frames
from datamodules.transforms import Compose, Transform
from vfi_train.errors import DataError, UserError

Moment = tuple[Frames, int, int]  # clip, number of frame0, frames from there to the target


class Footage(VFIDataModule):
    """Frames i and i + `factor` of each clip, for i = 0, factor, ..., and the targets between them.

    Args:
        root: a video, a folder of videos (also below it), or folders of numbered images.
        factor: frames from one input to the other; the time of the k-th between them is k / factor.
        cut_threshold: pairs over a change of more grey levels (of 255) than this, which motion does not explain, are
            left out; `notes` counts them.
        max_side: frames are scaled down to this many pixels in the longer side while decoding.
        cache_dir: where decoded frames are kept; null: the user's cache.
        val_samples: how many targets are taken, evenly spread; null: all.
        val_transforms: what is done to a sample; by default nothing.
        **loader: see `VFIDataModule`.
    """

    trains = False

    def __init__(
        self,
        *,
        root: str | None,
        factor: int = 2,
        cut_threshold: float = 16.0,
        max_side: int | None = None,
        cache_dir: str | None = None,
        val_samples: int | None = None,
        val_transforms: Sequence[Transform] = (),
        **loader: Any,
    ) -> None:
        super().__init__(**loader)
        if factor < 2:
            raise UserError(f"data.factor={factor} leaves no frame between two: give 2 or more")
        self.root = None if root is None else Path(root).expanduser()
        self.factor, self.cut_threshold, self.val_samples = factor, cut_threshold, val_samples
        self.arbitrary_time = factor != 2
        self.val_transforms = Compose(val_transforms)
        self.cache = FrameCache(cache_dir, max_side)
        self.notes: list[str] = []

    def train_source(self) -> SampleSource:
        """There is none."""
        raise DataError("data=footage is for evaluation alone: train with data=video")

    def val_source(self) -> Moments:
        """The targets of all clips; decodes what is new."""
        return Moments(spread(self._moments, self.val_samples), self.factor, self.val_transforms)

    def check(self) -> None:
        """Look for clips, open those that were not decoded yet, and see whether the disk holds them."""
        self.cache.check(self._clips)

    def prepare_data(self) -> None:
        """Decode what is new: in one process of each machine."""
        self.cache.fill(self._clips)

    @cached_property
    def _clips(self) -> list[clips.Clip]:
        if self.root is None:
            raise DataError("data.root is not set: give a video, a folder of videos, or folders of frames")
        return clips.find(self.root)

    @cached_property
    def _moments(self) -> list[Moment]:
        self.prepare_data()
        moments: list[Moment] = []
        over_cuts = 0
        for frames in map(self.cache.open, self._clips):
            cuts_before = np.cumsum(frames.unexplained > self.cut_threshold)
            for first in range(0, len(frames) - self.factor, self.factor):
                if cuts_before[first + self.factor] == cuts_before[first]:
                    moments += [(frames, first, k) for k in range(1, self.factor)]
                else:
                    over_cuts += 1
        if over_cuts:
            self.notes = [
                f"{over_cuts} pairs lie over a cut and are left out (data.cut_threshold={self.cut_threshold:g})"
            ]
        if not moments:
            raise DataError(
                f"data.root={self.root} holds no {self.factor + 1} frames one after the other without a cut: give "
                "more footage, or another data.factor, data.cut_threshold"
            )
        return moments


class Moments:
    """A source of samples (see `loader.SampleSource`), which hold `pair`, too."""

    def __init__(self, moments: Sequence[Moment], factor: int, transforms: Compose) -> None:
        self.moments, self.factor, self.transforms = moments, factor, transforms

    def __len__(self) -> int:
        return len(self.moments)

    def sample(self, index: int, rng: np.random.Generator | None) -> Sample:
        """Read moment `index`."""
        frames, first, k = self.moments[index]
        pair = f"{frames.name}/{first:06d}-{first + self.factor:06d}"
        sample: Sample = {
            "frame0": frames[first],
            "target": frames[first + k],
            "frame1": frames[first + self.factor],
            "time": k / self.factor,
            "key": f"{frames.name}/{first + k:06d}",
            "pair": pair,
        }
        return self.transforms(sample, rng or np.random.default_rng((0, index)))
