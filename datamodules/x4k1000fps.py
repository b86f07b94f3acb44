"""X4K1000FPS: 4K videos at 1000 frames per second (Sim et al., ICCV 2021): X-TRAIN for training, X-TEST for validation.

X-TRAIN's sampling is that of ATM-VFI (ICASSP 2025), X-TEST's protocols those of EMA-VFI (8x) and ATM-VFI (2x).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from datamodules.core.samples import Sample, SampleSource
from datamodules.file_dataset import Files, Item, StoredData, Triplet, check_numbers, one_of
from datamodules.sample_list import listed
from datamodules.storage.store import Store
from datamodules.transforms import Compose, Resize
from vfi_train.errors import DataError, UserError

COUNTS = {"train": 4_408, "test": 15}  # clips of 65 frames, scenes of 33
TRAIN_FRAMES = 65
WINDOW = 32  # frames between the two inputs of X-TEST
SIZE_2K = (1080, 2048)


class X4K1000FPS(StoredData):
    """`train/002/occ008.320_f4881/0000.png` ..., `test/Type1/TEST01_003_f0433/0000.png` ...

    A training sample is two frames of an X-TRAIN clip with a random gap, and the frame in the middle.

    Args:
        root: the folder that holds `train` and `test`.
        gap: the smallest and the largest gap between the inputs, frames; drawn uniformly.
        odd_gaps: draw odd gaps, too. The target is frame floor(gap / 2): for odd gaps it is before the middle (at 1/3
            for a gap of 3), but gets the time 0.5. The published weights of ATM-VFI were trained so.
        test_factor: X-TEST's frames 0 and 32 are the inputs; 8: the seven targets 4, 8, ..., 28; 2: the target 16.
        val_list: a file that names the samples of X-TEST to take; see `listed`. None: all.
        resolution: of X-TEST: "4k" (4096x2160, original), or "2k": shrunk to 2048x1080 by area, unrounded.
        **data: see `StoredData`.
    """

    folder = "X4K1000FPS"
    origin = "X-TRAIN and X-TEST of XVFI, https://github.com/JihyongOh/XVFI"
    published = COUNTS
    unit = "clips"
    has_context = True

    def __init__(
        self,
        *,
        gap: Sequence[int] = (2, 32),
        odd_gaps: bool = False,
        test_factor: Literal[2, 8] = 8,
        resolution: Literal["4k", "2k"] = "4k",
        val_list: str | None = None,
        **data: Any,
    ) -> None:
        super().__init__(**data)
        one_of("data.test_factor", test_factor, (2, 8))
        one_of("data.resolution", resolution, ("4k", "2k"))
        smallest, largest = gap
        if not 2 <= smallest <= largest < TRAIN_FRAMES or (smallest == largest and smallest % 2 and not odd_gaps):
            raise UserError(
                f"data.gap={list(gap)} is not a smallest and largest gap from 2 to {TRAIN_FRAMES - 1} frames, with an "
                "even one among them (or data.odd_gaps=true)"
            )
        self.gaps = [n for n in range(smallest, largest + 1) if odd_gaps or n % 2 == 0]
        self.test_factor, self.val_list = test_factor, val_list
        self.arbitrary_time = test_factor != 2
        if resolution == "2k":
            first = Resize(SIZE_2K, "area", rounded=False)
            self.val_transforms = Compose([first, *self.val_transforms.transforms])

    def train_source(self) -> SampleSource:
        """Random triples of X-TRAIN."""
        clips = self._clips("train")
        if not self.context:
            return RandomGaps(self.store, clips, self.gaps, self.transforms)
        gaps = [gap for gap in self.gaps if 3 * gap < TRAIN_FRAMES]
        if not gaps:
            raise UserError(
                f"data.gap: frames before and after the two need gaps up to {(TRAIN_FRAMES - 1) // 3} in clips of "
                f"{TRAIN_FRAMES} frames; got {self.gaps[0]} and more"
            )
        return RandomGaps(self.store, clips, gaps, self.transforms, context=True)

    def val_items(self) -> list[Item]:
        """The targets of X-TEST."""
        items = []
        for clip in self._clips("test"):
            frames = self.store.listed(clip)
            check_numbers(self.store, frames)
            if len(frames) <= WINDOW:
                raise DataError(f"{self.root}/{clip} has {len(frames)} frames of {WINDOW + 1}: extract it again")
            name = clip.removeprefix("test/")
            for first in range(0, len(frames) - WINDOW, WINDOW):
                pair = f"{name}/{first:04d}-{first + WINDOW:04d}"
                ends = frames[first], frames[first + WINDOW]
                before, after = Triplet(first, first + 1, first + WINDOW).context(range(len(frames)))
                context = frames[before], frames[after]
                for k in range(1, self.test_factor):
                    step = k * WINDOW // self.test_factor
                    target = frames[first + step]
                    item = Item(f"{pair}/{first + step:04d}", *ends, target, k / self.test_factor, pair)
                    items.append(replace(item, context=context) if self.context else item)
        return items if self.val_list is None else listed(items, self.val_list)

    def counts(self) -> dict[str, int]:
        """Clips of X-TRAIN, scenes of X-TEST."""
        return {split: len(self._clips(split)) for split in COUNTS}

    def file_groups(self) -> list[Files]:
        """See `StoredData`."""
        return [self._files(split) for split in COUNTS]

    def _files(self, split: str) -> Files:
        yield from ((name, clip) for clip in self._clips(split) for name in self.store.listed(clip))

    def _clips(self, split: str) -> Sequence[str]:
        """The folders two levels below `split`."""
        clips = [clip for scene in self.store.folders(split) for clip in self.store.folders(scene)]
        return self.found(clips, f"folders {split}/SCENE/SAMPLE with images")


class RandomGaps:
    """A `SampleSource`: one random triple of each X-TRAIN clip; with `context`, of those that have it."""

    def __init__(
        self, store: Store, clips: Sequence[str], gaps: list[int], transforms: Compose, context: bool = False
    ) -> None:
        self.store, self.clips, self.gaps, self.transforms, self.context = store, clips, gaps, transforms, context

    def __len__(self) -> int:
        return len(self.clips)

    def sample(self, index: int, rng: np.random.Generator | None) -> Sample:
        """Draw a gap, then a first frame, from clip `index`."""
        rng = rng or np.random.default_rng((0, index))
        clip = self.clips[index]
        gap = int(rng.choice(self.gaps))
        margin = gap if self.context else 0
        first = int(rng.integers(margin, TRAIN_FRAMES - gap - margin))
        key = f"{clip.removeprefix('train/')}/{first:02d}-{first + gap:02d}"
        frames = self.store.listed(clip)
        if len(frames) != TRAIN_FRAMES:
            raise DataError(
                f"sample {key}: {self.store.root}/{clip} has {len(frames)} images, not {TRAIN_FRAMES}: extract "
                "X-TRAIN again (https://github.com/JihyongOh/XVFI; decode its videos to images)"
            )
        chosen = {"frame0": first, "target": first + gap // 2, "frame1": first + gap}
        if self.context:
            chosen |= {"before": first - gap, "after": first + 2 * gap}
        sample: Sample = {name: self.store.read(frames[i], key) for name, i in chosen.items()}
        return self.transforms({**sample, "time": 0.5, "key": key}, rng)
