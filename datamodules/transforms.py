"""Augmentations of a whole sample: frames, flow, time and distance map change together.

A transform is called as `transform(sample, rng)`; the sample's arrays are H W C (see `loader.SampleSource`).
It acts with its probability, for which each transform draws a number of its own. Flow is H W 4 in pixels: x
and y from the target to frame0, then to frame1. A time may be a number or a distance map H W: the share of
the way from frame0 to frame1 that a pixel has gone.

Source: IFRNet's Vimeo90K training (CVPR 2022, its repository's dataset file): enlarging, crop, channel
reversal, flips, transposition, time reversal, in this order, with probabilities 0.1, 1, 0.5, 0.3, 0.5, 0.05
and 0.5.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from datamodules.loader import DataError, Sample

FRAMES = ("frame0", "frame1", "target", "reference")
MAPS = ("time", "reference_time")  # where they are H W


class Transform:
    """Something that happens to a sample with a probability. A kind of transform writes `apply`."""

    def __init__(self, probability: float = 1.0) -> None:
        if not 0 <= probability <= 1:
            raise ValueError(f"{type(self).__name__} takes a probability from 0 to 1; got {probability}")
        self.probability = probability

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The sample, changed or not; the given one is left as it is."""
        return self.apply(sample, rng) if rng.random() < self.probability else sample

    def apply(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The changed sample."""
        raise NotImplementedError


class Compose:
    """Transforms, one after the other."""

    def __init__(self, transforms: Sequence[Transform]) -> None:
        self.transforms = list(transforms)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The sample after all of them."""
        for transform in self.transforms:
            sample = transform(sample, rng)
        return sample


class RandomResize(Transform):
    """Enlarge both sides by `factor` (bilinear, as OpenCV does in uint8) and the flow with them."""

    def __init__(self, factor: float = 2.0, probability: float = 0.1) -> None:
        super().__init__(probability)
        self.factor = factor

    def apply(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """See the class."""
        sample = _on_maps(sample, lambda picture: _resize(picture, self.factor))
        return {**sample, "flow": sample["flow"] * np.float32(self.factor)} if "flow" in sample else sample


class RandomCrop(Transform):
    """A window of `size` (a side, or height and width), all places alike."""

    def __init__(self, size: int | Sequence[int]) -> None:
        super().__init__()
        self.height, self.width = (size, size) if isinstance(size, int) else size

    def apply(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """See the class."""
        height, width = sample["frame0"].shape[:2]
        self.check(height, width, sample["key"])
        return crop(sample, *self.place(height, width, rng), self.height, self.width)

    def check(self, height: int, width: int, key: str) -> None:
        """Raise a DataError where the window does not fit."""
        if height < self.height or width < self.width:
            raise DataError(
                f"{key} is {height}x{width} pixels, too small for a crop of {self.height}x{self.width}: "
                "choose a smaller crop, or leave it out"
            )

    def place(self, height: int, width: int, rng: np.random.Generator) -> tuple[int, int]:
        """Top row and left column of the window in a picture of this size."""
        return int(rng.integers(height - self.height + 1)), int(rng.integers(width - self.width + 1))


class CenterCrop(RandomCrop):
    """The window in the middle: rows from floor(H / 2) - size / 2."""

    def place(self, height: int, width: int, rng: np.random.Generator) -> tuple[int, int]:
        """See `RandomCrop`."""
        return height // 2 - self.height // 2, width // 2 - self.width // 2


class ReverseChannels(Transform):
    """RGB becomes BGR."""

    def __init__(self, probability: float = 0.5) -> None:
        super().__init__(probability)

    def apply(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """See the class."""
        return {**sample, **{name: sample[name][..., ::-1] for name in FRAMES if name in sample}}


class VerticalFlip(Transform):
    """Upside down; y components change sign."""

    def __init__(self, probability: float = 0.3) -> None:
        super().__init__(probability)

    def apply(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """See the class."""
        return _on_flow(_on_maps(sample, lambda p: p[::-1]), lambda x, y: (x, -y))


class HorizontalFlip(Transform):
    """Left and right exchanged; x components change sign."""

    def __init__(self, probability: float = 0.5) -> None:
        super().__init__(probability)

    def apply(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """See the class."""
        return _on_flow(_on_maps(sample, lambda p: p[:, ::-1]), lambda x, y: (-x, y))


class Transpose(Transform):
    """Rows become columns (called "rotate" in IFRNet); x and y components are exchanged."""

    def __init__(self, probability: float = 0.05) -> None:
        super().__init__(probability)

    def apply(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """See the class."""
        return _on_flow(_on_maps(sample, lambda p: p.swapaxes(0, 1)), lambda x, y: (y, x))


class Rotate90(Transform):
    """A quarter turn anticlockwise: what went right goes up."""

    def __init__(self, probability: float = 0.5) -> None:
        super().__init__(probability)

    def apply(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """See the class."""
        return _on_flow(_on_maps(sample, np.rot90), lambda x, y: (y, -x))


class ReverseTime(Transform):
    """The sample played backwards: frames and flows are exchanged, and a time t becomes 1 - t.

    Args:
        probability: of playing it backwards.
        always_turn_time: t becomes 1 - t also where the sample is left as it is, so that half of the samples
            carry a wrong time: a fault of AMT's loaders for GoPro and Adobe240, with which its GoPro weights
            were presumably trained.
    """

    def __init__(self, probability: float = 0.5, always_turn_time: bool = False) -> None:
        super().__init__(probability)
        self.always_turn_time = always_turn_time

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """See `Transform`."""
        changed = super().__call__(sample, rng)
        return _turn_times(sample) if changed is sample and self.always_turn_time else changed

    def apply(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """See the class."""
        changed = {**_turn_times(sample), "frame0": sample["frame1"], "frame1": sample["frame0"]}
        if "flow" in sample:
            changed["flow"] = np.concatenate((sample["flow"][..., 2:], sample["flow"][..., :2]), axis=-1)
        return changed


def crop(sample: Sample, top: int, left: int, height: int, width: int) -> Sample:
    """The window of the sample."""
    return _on_maps(sample, lambda p: p[top : top + height, left : left + width])


def _on_maps(sample: Sample, change: Callable[[NDArray], NDArray]) -> Sample:
    """Change every array whose first two axes are rows and columns."""
    return {k: change(v) if isinstance(v, np.ndarray) and v.ndim >= 2 else v for k, v in sample.items()}


def _turn_times(sample: Sample) -> Sample:
    """Each time t becomes 1 - t."""
    return {**sample, **{name: 1 - sample[name] for name in MAPS if name in sample}}


def _on_flow(sample: Sample, change: Callable[[NDArray, NDArray], tuple[NDArray, NDArray]]) -> Sample:
    """Change the components x and y of both flows."""
    if "flow" not in sample:
        return sample
    x0, y0, x1, y1 = np.moveaxis(sample["flow"], -1, 0)
    return {**sample, "flow": np.stack((*change(x0, y0), *change(x1, y1)), axis=-1)}


def _resize(picture: NDArray, factor: float) -> NDArray:
    return cv2.resize(np.ascontiguousarray(picture), None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
