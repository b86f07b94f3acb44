"""Vimeo90K triplets: 73,171 clips of three frames of 448x256 pixels (Xue et al., IJCV 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from datamodules import flow_io, pictures
from datamodules.base import VFIDataModule
from datamodules.loader import DataError, Sample
from datamodules.transforms import Compose, Transform

SOURCE = "vimeo_triplet.zip from http://toflow.csail.mit.edu"
FRAMES = {"frame0": "im1.png", "target": "im2.png", "frame1": "im3.png"}
LABELS = ("flow_t0.flo", "flow_t1.flo")  # from the target to frame0, to frame1


class Vimeo90K(VFIDataModule):
    """Triplets as published: `tri_trainlist.txt`, `tri_testlist.txt`, `sequences/00001/0001/im1.png` ...

    Args:
        root: the folder `vimeo_triplet` that holds these.
        flow: give pseudo labels from `flow/00001/0001/flow_t0.flo`, `flow_t1.flo`.
        transforms: augmentation of the training samples, in order.
        val_transforms: what is done to held-out samples (a centre crop, say); by default nothing.
        val_samples: how many of the test list are validated on, evenly spread; null: all 3,782.
        **loader: see `VFIDataModule`.
    """

    def __init__(
        self,
        *,
        root: str | None,
        flow: bool = False,
        transforms: Sequence[Transform] = (),
        val_transforms: Sequence[Transform] = (),
        val_samples: int | None = None,
        **loader: Any,
    ) -> None:
        super().__init__(**loader)
        self.root = None if root is None else Path(root).expanduser()
        self.gives_flow = flow
        self.transforms, self.val_transforms = Compose(transforms), Compose(val_transforms)
        self.val_samples = val_samples

    def train_source(self) -> Triplets:
        """The clips of `tri_trainlist.txt`, augmented."""
        return Triplets(self._folder, self._clips("tri_trainlist.txt"), self.gives_flow, self.transforms)

    def held_out_source(self) -> Triplets:
        """The clips of `tri_testlist.txt`."""
        clips = self._clips("tri_testlist.txt")
        if self.val_samples is not None:
            kept = np.linspace(0, len(clips) - 1, min(self.val_samples, len(clips))).round().astype(int)
            clips = [clips[i] for i in kept]
        return Triplets(self._folder, clips, self.gives_flow, self.val_transforms)

    def check(self) -> None:
        """Look for the folder, its lists, and the files of the first clip of each."""
        root = self._folder
        for name in ("tri_trainlist.txt", "tri_testlist.txt"):
            clip = self._clips(name)[0]
            needed = [root / "sequences" / clip / frame for frame in FRAMES.values()]
            missing = [path for path in needed if not path.is_file()]
            if missing:
                raise DataError(f"{missing[0]}, the first of {name}, is missing: extract {SOURCE} anew")
            labels = [root / "flow" / clip / label for label in LABELS]
            missing = [path for path in labels if self.gives_flow and not path.is_file()]
            if missing:
                raise DataError(
                    f"{missing[0]}, the flow label of the first clip of {name}, is missing: make labels for "
                    "all clips, or train without (data.flow=false and a loss without distillation)"
                )

    @property
    def _folder(self) -> Path:
        if self.root is None:
            raise DataError(f"data.root is not set: give the folder vimeo_triplet, extracted from {SOURCE}")
        if not self.root.is_dir():
            raise DataError(f"there is no folder data.root={self.root}: extract {SOURCE} and give its folder")
        return self.root

    def _clips(self, name: str) -> list[str]:
        """The clips of a list file, blank lines left out."""
        path = self._folder / name
        if not path.is_file():
            below = self._folder / "vimeo_triplet"
            hint = f"give data.root={below}" if below.is_dir() else f"give the folder vimeo_triplet of {SOURCE}"
            raise DataError(f"data.root={self.root} has no {name}: {hint}")
        clips = [line.strip() for line in path.read_text().splitlines() if line.strip()]
        if not clips:
            raise DataError(f"{path} lists no clip: extract {SOURCE} anew")
        return clips


class Triplets:
    """A source of samples (see `loader.SampleSource`), the middle frame being the target."""

    def __init__(self, root: Path, clips: list[str], flow: bool, transforms: Compose) -> None:
        self.root, self.clips, self.flow, self.transforms = root, clips, flow, transforms

    def __len__(self) -> int:
        return len(self.clips)

    def sample(self, index: int, rng: np.random.Generator | None) -> Sample:
        """Read clip `index` and transform it."""
        clip = self.clips[index]
        folder = self.root / "sequences" / clip
        sample: Sample = {name: pictures.read(folder / file, clip) for name, file in FRAMES.items()}
        sample.update(time=0.5, key=clip)
        if self.flow:
            flows = [flow_io.read_flow(self.root / "flow" / clip / label) for label in LABELS]
            sample["flow"] = np.concatenate(flows, axis=2)
        return self.transforms(sample, rng or np.random.default_rng((0, index)))
