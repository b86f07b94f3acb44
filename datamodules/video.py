"""The user's own videos: triplets out of any videos or folders of frames, without cuts and static images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from datamodules.core.datamodule import VFIDataModule
from datamodules.core.samples import Sample
from datamodules.file_dataset import Triplet, evenly_spaced, one_of
from datamodules.storage import scene_cuts
from datamodules.storage.clips import ClipPath, find_clips
from datamodules.storage.frame_cache import FrameCache, Frames
from datamodules.storage.video_file import check_deinterlacer
from datamodules.transforms import Compose, Transform
from vfi_train.contract import CONTEXT
from vfi_train.errors import DataError, UserError
from vfi_train.ranges import NonNegative, Positive

UNEVEN = 0.02  # of the time from one input to the other: less is no matter
ROUNDED = 0.1  # of it: more is not explained by times that a file rounds
PAIR = "{frame0:06d}-{frame1:06d}"


class ClipData(VFIDataModule):
    """Videos and folders of frames, decoded once to a cache on disk.

    Args:
        root: a video, a folder of videos (also below it), or folders of numbered images.
        cut_threshold: samples over a change of more grey levels (of 255) than this, which motion does not explain, are
            left out.
        deinterlace: a filter of FFmpeg for interlaced videos (bwdif, yadif, w3fdif, estdif), or "copy" to take their
            combed frames; null: they are left out.
        max_side: frames are scaled down to this many pixels in the longer side while decoding.
        cache_dir: where decoded frames are kept (frames x height x width x 3 bytes); null: the user's cache.
        val_samples: how many validation samples are used, evenly spaced; null: all.
        val_transforms: transforms of the validation samples; none by default.
        **loader: see `VFIDataModule`.

    Attributes:
        notes: how many samples were left out, for the user; known with the samples.
    """

    has_context = True

    def __init__(
        self,
        *,
        root: str | None,
        cut_threshold: NonNegative = 16.0,
        deinterlace: str | None = None,
        max_side: Positive | None = None,
        cache_dir: str | None = None,
        val_samples: Positive | None = None,
        val_transforms: Sequence[Transform] = (),
        **loader: Any,
    ) -> None:
        super().__init__(**loader)
        self.root = None if root is None else Path(root).expanduser()
        check_deinterlacer(deinterlace, "data.deinterlace")
        self.cut_threshold, self.val_samples, self.deinterlace = cut_threshold, val_samples, deinterlace
        self.val_transforms = Compose(val_transforms)
        self.cache = FrameCache(cache_dir, max_side)
        self.notes: list[str] = []

    def check(self) -> None:
        """Find the clips, open those that are not decoded yet, and compare their size with the disk's free space."""
        self.cache.check(self.clips, skip=self.max_errors > 0)

    def prepare_data(self) -> None:
        """Decode what is new: in one process of each machine."""
        self.cache.fill(self.clips, skip=self.max_errors > 0)

    def files(self) -> Iterator[tuple[str, str]]:
        """The clips, each as its file and its name; see `StoredData`."""
        yield from ((clip.name, clip.name) for clip in self.clips)

    def report(self) -> None:
        """Print `notes`, in one process."""
        for note in self.notes if self._rank == 0 else ():
            print(note, flush=True)

    @property
    def context_cuts(self) -> float | None:
        """See `ClipTriplets`."""
        return self.cut_threshold if self.context else None

    @cached_property
    def clips(self) -> list[ClipPath]:
        """All clips, by name."""
        if self.root is None:
            raise DataError("data.root is not set: give a video, a folder of videos, or folders of frames")
        return find_clips(self.root, self.deinterlace)

    def decoded(self) -> list[Frames]:
        """The frames of all clips that are not left out; decodes what is new."""
        self.prepare_data()
        return self.cache.decoded(self.clips)


class Video(ClipData):
    """Triplets: frames that are 2 * `gap` apart, and a frame between them.

    Two or more clips are divided into training and validation clips; of a single clip, the end is for validation. No
    frame is in both sets.

    Args:
        gap: frames from each input to the middle: 1 takes neighbours.
        times: 0.5: the middle frame is the target; triplets whose frames are not evenly spaced in time are left out.
            "uniform": each frame between the inputs is a target, at its true time.
        static_threshold: triplets are left out that change by fewer grey levels than this, on average over the image,
            from frame0 to the target or from the target to frame1: static or repeated images.
        val_split: fraction of the clips (or of the single clip's triplets) for validation.
        transforms: augmentation of the training triplets, in order; with a crop first, only the crop is read.
        **data: see `ClipData`.
    """

    def __init__(
        self,
        *,
        gap: int = 1,
        times: float | Literal["uniform"] = 0.5,
        static_threshold: NonNegative = 0.5,
        val_split: float = 0.1,
        transforms: Sequence[Transform] = (),
        **data: Any,
    ) -> None:
        super().__init__(**data)
        if gap < 1:
            raise UserError(f"data.gap={gap} is not a number of frames from an input to the target: give 1 or more")
        one_of("data.times", times, (0.5, "uniform"))
        if times == "uniform" and gap < 2:
            raise UserError(
                f"data.times=uniform with data.gap={gap} has only the middle frame: give data.gap=2 or more"
            )
        if not 0 < val_split < 1:
            raise UserError(f"data.val_split={val_split} is not a fraction between 0 and 1")
        self.gap, self.static_threshold, self.val_split = gap, static_threshold, val_split
        self.arbitrary_time = times == "uniform"
        self.transforms = Compose(transforms)

    def train_source(self) -> ClipTriplets:
        """Augmented triplets."""
        return ClipTriplets(self._split[0], self.transforms, PAIR, self.context_cuts)

    def val_source(self) -> ClipTriplets:
        """Triplets of other clips, or of the end of the single clip."""
        triplets = evenly_spaced(self._split[1], self.val_samples)
        return ClipTriplets(triplets, self.val_transforms, PAIR, self.context_cuts)

    @cached_property
    def _split(self) -> tuple[list[tuple[Frames, Triplet]], list[tuple[Frames, Triplet]]]:
        """Training and validation triplets."""
        found = [
            (frames, usable(frames, self.gap, self.cut_threshold, self.static_threshold)) for frames in self.decoded()
        ]
        starts = (
            found if self.arbitrary_time else [(frames, even(frames, firsts, self.gap)) for frames, firsts in found]
        )
        count, kept = (sum(len(firsts) for _, firsts in clips) for clips in (found, starts))
        if kept < count:
            self.notes = [
                f"{count - kept} of {count} triplets have a target off the middle (frames unevenly spaced in time) and "
                "are left out; data.times=uniform takes them at their true times"
            ]
            self.report()
        starts = [(frames, firsts) for frames, firsts in starts if firsts]
        if len(starts) > 1:
            chosen = val_clips(len(starts), self.val_split)
            train = [clip for i, clip in enumerate(starts) if i not in chosen]
            val = [starts[i] for i in sorted(chosen)]
        else:
            train, val = self._split_one(*starts[0]) if starts else ([], [])
        train_set, val_set = (
            [(frames, triplet) for frames, firsts in clips for first in firsts for triplet in self._triplets(first)]
            for clips in (train, val)
        )
        if not train_set or not val_set:
            raise DataError(
                f"data.root={self.root} gives {len(train_set)} training and {len(val_set)} validation triplets at "
                f"data.gap={self.gap} without cuts, static images and uneven times: give more footage, or another "
                "data.cut_threshold, data.static_threshold or data.val_split"
            )
        return train_set, val_set

    def _triplets(self, first: int) -> list[Triplet]:
        last = first + 2 * self.gap
        targets = range(first + 1, last) if self.arbitrary_time else [first + self.gap]
        return [Triplet(first, target, last) for target in targets]

    def _split_one(self, frames: Frames, firsts: list[int]) -> tuple[list, list]:
        """The last triplets are for validation; those before them that share frames with them are left out."""
        count = max(1, round(self.val_split * len(firsts)))
        val = firsts[-count:]
        reach = (6 if self.context else 2) * self.gap  # from the first frame to the last, both with what is around
        train = [first for first in firsts if first + reach < val[0]]
        return [(frames, train)], [(frames, val)]


def val_clips(clips: int, fraction: float) -> set[int]:
    """The numbers of the clips for validation, of several: a fraction of them, at least one, evenly spaced."""
    count = max(1, round(fraction * clips))
    return set(np.linspace(0, clips - 1, count + 2).round().astype(int)[1:-1].tolist())


class ClipTriplets:
    """A `SampleSource` of triplets of decoded clips.

    Args:
        triplets: the clips, and positions in them.
        transforms: of the samples.
        key: format of a triplet's name within its clip.
        context_cuts: give the frames before and after, too, none from beyond a change of more grey levels than this.
    """

    def __init__(
        self,
        triplets: Sequence[tuple[Frames, Triplet]],
        transforms: Compose,
        key: str,
        context_cuts: float | None = None,
    ) -> None:
        self.triplets, self.transforms, self.key, self.context_cuts = triplets, transforms, key, context_cuts

    def __len__(self) -> int:
        return len(self.triplets)

    def pair(self, index: int) -> str:
        """See `HasPairs`."""
        frames, triplet = self.triplets[index]
        return f"{frames.name}/{PAIR.format(**triplet._asdict())}"

    def sample(self, index: int, rng: np.random.Generator | None) -> Sample:
        """Take the frames and transform them; pixels that a crop leaves out are not read."""
        frames, triplet = self.triplets[index]
        numbers = triplet._asdict()
        if self.context_cuts is not None:
            numbers |= zip(CONTEXT, triplet.context(shot(frames, triplet.target, self.context_cuts)), strict=True)
        sample: Sample = {name: frames[number] for name, number in numbers.items()}
        key = f"{frames.name}/{self.key.format(**numbers)}"
        sample.update(time=time_of(frames, triplet), key=key, pair=self.pair(index))
        return self.transforms(sample, rng or np.random.default_rng((0, index)))


class FrameTimes(NamedTuple):
    """When the frames of a clip appear, and what they may be rounded to, in seconds; `Frames` is one, too."""

    times: NDArray[np.float64]
    tick: float


def time_of(frames: Frames | FrameTimes, triplet: Triplet) -> float:
    """The time of the target, 0..1: that of evenly spaced frames where it is so, up to rounding of the file's times."""
    start, target, end = (float(frames.times[i]) for i in triplet)
    true, span = (target - start) / (end - start), end - start
    tolerance = max(UNEVEN, min(frames.tick / span, ROUNDED)) + 1e-9
    return triplet.time if abs(true - triplet.time) <= tolerance else true


def is_even(frames: Frames | FrameTimes, triplet: Triplet) -> bool:
    """Whether the target of a triplet lies in time where its number says."""
    return time_of(frames, triplet) == triplet.time


def even(frames: Frames | FrameTimes, firsts: Sequence[int], gap: int) -> list[int]:
    """Those first frames whose triplet has its target half way in time."""
    return [first for first in firsts if is_even(frames, Triplet(first, first + gap, first + 2 * gap))]


def shot(frames: Frames, number: int, cut_threshold: float) -> range:
    """The numbers of the frames around frame `number` up to the next cuts."""
    starts = np.flatnonzero(frames.unexplained > cut_threshold)  # a cut lies before such a frame
    after = int(np.searchsorted(starts, number, side="right"))
    return range(int(starts[after - 1]) if after else 0, int(starts[after]) if after < len(starts) else len(frames))


def usable(frames: Frames, gap: int, cut_threshold: float, static_threshold: float) -> list[int]:
    """The numbers of the frames that start a triplet without a cut, with change in both halves."""
    cuts_before = np.cumsum(frames.unexplained > cut_threshold)
    changes = [scene_cuts.change(a, b) for a, b in zip(frames.small, frames.small[gap:], strict=False)]
    return [
        first
        for first in range(len(frames) - 2 * gap)
        if cuts_before[first + 2 * gap] == cuts_before[first]
        and min(changes[first], changes[first + gap]) >= static_threshold
    ]
