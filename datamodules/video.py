"""One's own footage: triplets out of any videos or folders of frames, without cuts and standing images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from datamodules.core.datamodule import VFIDataModule
from datamodules.core.samplers import Sample
from datamodules.storage import scene_cuts as cuts
from datamodules.storage import videos as clips
from datamodules.storage.frame_cache import FrameCache, Frames
from datamodules.transforms import Compose, Transform
from vfi_train.errors import DataError, UserError


class Video(VFIDataModule):
    """Triplets of frames that are `gap` apart. Videos are decoded once, to a cache on disk.

    Held out are whole clips where there are two or more, else the end of the one clip; no frame is in both sets.

    Args:
        root: a video, a folder of videos (also below it), or folders of numbered images.
        gap: frames from each input to the target: 1 takes neighbours.
        cut_threshold: triplets over a change of more grey levels (of 255) than this, which motion does not explain, are
            left out.
        static_threshold: so are triplets that change by fewer grey levels than this, on average over the image, from
            frame0 to the target or from the target to frame1: standing or repeated images.
        val_split: which share of the clips (or of the one clip's triplets) is held out.
        val_samples: how many held-out triplets are validated on, evenly spread; null: all.
        max_side: frames are scaled down to this many pixels in the longer side while decoding.
        cache_dir: where decoded frames are kept (frames x height x width x 3 bytes); null: the user's cache.
        transforms: augmentation of the training triplets, in order; a crop comes first, so that no more is read.
        val_transforms: what is done to held-out triplets; by default nothing.
        **loader: see `VFIDataModule`.
    """

    def __init__(
        self,
        *,
        root: str | None,
        gap: int = 1,
        cut_threshold: float = 16.0,
        static_threshold: float = 0.5,
        val_split: float = 0.1,
        val_samples: int | None = None,
        max_side: int | None = None,
        cache_dir: str | None = None,
        transforms: Sequence[Transform] = (),
        val_transforms: Sequence[Transform] = (),
        **loader: Any,
    ) -> None:
        super().__init__(**loader)
        if gap < 1:
            raise UserError(f"data.gap={gap} is not a number of frames from an input to the target: give 1 or more")
        if not 0 < val_split < 1:
            raise UserError(f"data.val_split={val_split} is not a share between 0 and 1")
        self.root = None if root is None else Path(root).expanduser()
        self.gap, self.cut_threshold, self.static_threshold, self.val_split = (
            gap,
            cut_threshold,
            static_threshold,
            val_split,
        )
        self.val_samples = val_samples
        self.transforms, self.val_transforms = Compose(transforms), Compose(val_transforms)
        self.cache = FrameCache(cache_dir, max_side)
        self._found: list[clips.Clip] | None = None

    def check(self) -> None:
        """Look for clips, open those that were not decoded yet, and see whether the disk holds them."""
        self.cache.check(self._clips())

    def prepare_data(self) -> None:
        """Decode what is new: in one process of each machine."""
        self.cache.fill(self._clips())

    def files(self) -> Iterator[tuple[str, str]]:
        """The clips, each as its file and its name; see `StoredData`."""
        yield from ((clip.name, clip.name) for clip in self._clips())

    def train_source(self) -> Triplets:
        """Augmented triplets."""
        return Triplets(self._split[0], self.gap, self.transforms)

    def val_source(self) -> Triplets:
        """Triplets of other clips, or of a later stretch."""
        val_split = self._split[1]
        if self.val_samples is not None and self.val_samples < len(val_split):
            kept = np.linspace(0, len(val_split) - 1, self.val_samples).round().astype(int)
            val_split = [val_split[i] for i in kept]
        return Triplets(val_split, self.gap, self.val_transforms)

    @cached_property
    def _split(self) -> tuple[list[tuple[Frames, int]], list[tuple[Frames, int]]]:
        """Training and held-out triplets, each a clip and the number of its frame0."""
        self.prepare_data()  # nothing is left to do where Lightning has called it
        opened = [self.cache.open(clip) for clip in self._clips()]
        starts = [(frames, usable(frames, self.gap, self.cut_threshold, self.static_threshold)) for frames in opened]
        starts = [(frames, firsts) for frames, firsts in starts if firsts]
        if len(starts) > 1:
            count = max(1, round(self.val_split * len(starts)))
            chosen = set(np.linspace(0, len(starts) - 1, count + 2).round().astype(int)[1:-1].tolist())
            train = [pair for i, pair in enumerate(starts) if i not in chosen]
            val_split = [starts[i] for i in sorted(chosen)]
        else:
            train, val_split = self._split_one(*starts[0]) if starts else ([], [])
        sets = [[(frames, first) for frames, firsts in part for first in firsts] for part in (train, val_split)]
        if not all(sets):
            raise DataError(
                f"data.root={self.root} gives {len(sets[0])} training and {len(sets[1])} held-out triplets at "
                f"data.gap={self.gap} without cuts and standing images: give more footage, or another "
                "data.cut_threshold, data.static_threshold or data.val_split"
            )
        return sets[0], sets[1]

    def _split_one(self, frames: Frames, firsts: list[int]) -> tuple[list, list]:
        """The last triplets are held out, and before them those that share frames with them are left out."""
        count = max(1, round(self.val_split * len(firsts)))
        val_split = firsts[-count:]
        train = [first for first in firsts if first + 2 * self.gap < val_split[0]]
        return [(frames, train)], [(frames, val_split)]

    def _clips(self) -> list[clips.Clip]:
        if self.root is None:
            raise DataError("data.root is not set: give a video, a folder of videos, or folders of frames")
        if self._found is None:
            self._found = clips.find(self.root)
        return self._found


class Triplets:
    """A source of samples (see `loader.SampleSource`), the middle frame being the target."""

    def __init__(self, triplets: list[tuple[Frames, int]], gap: int, transforms: Compose) -> None:
        self.triplets, self.gap, self.transforms = triplets, gap, transforms

    def __len__(self) -> int:
        return len(self.triplets)

    def sample(self, index: int, rng: np.random.Generator | None) -> Sample:
        """Take the frames and transform them; pixels that a crop leaves out are never read."""
        frames, first = self.triplets[index]
        target, last = first + self.gap, first + 2 * self.gap
        sample: Sample = {
            "frame0": frames[first],
            "target": frames[target],
            "frame1": frames[last],
            "time": 0.5,
            "key": f"{frames.name}/{first:06d}-{last:06d}",
        }
        return self.transforms(sample, rng or np.random.default_rng((0, index)))


def usable(frames: Frames, gap: int, cut_threshold: float, static_threshold: float) -> list[int]:
    """The numbers of the frames that start a triplet without a cut in it, in both halves of which things move."""
    cuts_before = np.cumsum(frames.unexplained > cut_threshold)
    moves = [cuts.change(a, b) >= static_threshold for a, b in zip(frames.small, frames.small[gap:], strict=False)]
    return [
        first
        for first in range(len(frames) - 2 * gap)
        if cuts_before[first + 2 * gap] == cuts_before[first] and moves[first] and moves[first + gap]
    ]
