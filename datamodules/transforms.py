"""Augmentations of a sample: frames, flow, time and distance map change together.

A transform is called as `transform(sample, rng)`; the sample's arrays are H W C (see `SampleSource`).
Each transform draws a random number and is applied with its probability. Flow is H W 4 in pixels: x and y
from the target to frame0, then to frame1. A time is a number or a distance map H W: the fraction of the path
from frame0 to frame1 that a pixel has covered.

Source: IFRNet's Vimeo90K training (CVPR 2022, its repository's dataset file): enlargement, crop, channel
reversal, flips, transposition, time reversal, in this order, with probabilities 0.1, 1, 0.5, 0.3, 0.5, 0.05
and 0.5.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from datamodules.core.fast_copy import fast_copy
from datamodules.core.samples import Sample
from vfi_train.contract import FRAMES, TIMES
from vfi_train.errors import DataError, UserError
from vfi_train.ranges import AboveZero, Positive

BACKWARDS = {"frame0": "frame1", "frame1": "frame0", "before": "after", "after": "before"}
ROTATIONS: list[Callable[[NDArray, NDArray], tuple[NDArray, NDArray]]] = [  # of the components x and y
    lambda x, y: (x, y),
    lambda x, y: (y, -x),
    lambda x, y: (-x, -y),
    lambda x, y: (-y, x),
]
METHODS = {"bilinear": cv2.INTER_LINEAR, "area": cv2.INTER_AREA}


class Transform:
    """A change of a sample that is applied with a probability. Subclasses implement `apply`."""

    def __init__(self, probability: float = 1.0) -> None:
        if not 0 <= probability <= 1:
            raise UserError(f"{type(self).__name__} takes a probability from 0 to 1; got {probability}")
        self.probability = probability

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The sample, changed or not; the given one is not modified."""
        return self.apply(sample, rng) if rng.random() < self.probability else sample

    def apply(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The changed sample."""
        raise NotImplementedError


class Compose:
    """Transforms, one after the other."""

    def __init__(self, transforms: Sequence[Transform]) -> None:
        self.transforms = list(transforms)
        self._steps = self._join()

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The sample after all of them.

        Raises:
            DataError: its arrays differ in size.
        """
        _check_sizes(sample)
        for transform in self._steps:
            sample = transform(sample, rng)
        return sample

    def _join(self) -> list[Callable[[Sample, np.random.Generator], Sample]]:
        """The transforms; an enlargement and a crop after it are fused."""
        steps: list[Callable[[Sample, np.random.Generator], Sample]] = []
        for transform in self.transforms:
            before = steps[-1] if steps else None
            if type(before) is RandomResize and isinstance(transform, RandomCrop) and before.factor % 1 == 0:
                steps[-1] = _EnlargedCrop(before, transform)
            else:
                steps.append(transform)
        return steps


def _check_sizes(sample: Sample) -> None:
    """A crop would hide that frames, flow and maps do not belong together."""
    size = sample["frame0"].shape[:2]
    for name in (*FRAMES, *TIMES, "flow"):
        found = np.shape(sample.get(name, 0.0))
        if found and found[:2] != size:
            raise DataError(
                f"sample {sample['key']}: its {name} is {'x'.join(map(str, found[:2]))} pixels and its frame0 "
                f"{size[0]}x{size[1]}: extract or make it again, or take the sample out of the dataset"
            )


class RandomResize(Transform):
    """Enlarge both sides by `factor` (bilinear, as OpenCV does in uint8) and the flow with them."""

    def __init__(self, factor: AboveZero = 2.0, probability: float = 0.1) -> None:
        super().__init__(probability)
        self.factor = factor

    def apply(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """See the class."""
        sample = _on_maps(sample, lambda image: _resize(image, self.factor))
        return {**sample, "flow": sample["flow"] * np.float32(self.factor)} if "flow" in sample else sample


class Resize(Transform):
    """Resize images, maps and flow to `size` (a side, or height and width); the aspect ratio may change.

    Args:
        size: pixels.
        method: "bilinear" (OpenCV's, without smoothing), or "area": the mean of the covered pixels.
        rounded: uint8 frames stay uint8; otherwise they become float32 in [0, 1].
    """

    def __init__(
        self, size: Positive | tuple[Positive, Positive], method: str = "bilinear", rounded: bool = True
    ) -> None:
        super().__init__()
        if method not in METHODS:
            raise UserError(f"Resize takes the method {' or '.join(METHODS)}; got {method}")
        self.height, self.width = (size, size) if isinstance(size, int) else size
        self.method, self.rounded = METHODS[method], rounded

    def apply(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """See the class."""
        height, width = sample["frame0"].shape[:2]
        if not self.rounded:
            sample = {k: _unit(v) if k in FRAMES else v for k, v in sample.items()}
        sample = _on_maps(sample, self._resize)
        right, down = np.float32(self.width / width), np.float32(self.height / height)
        return _on_flow(sample, lambda x, y: (x * right, y * down))

    def _resize(self, image: NDArray) -> NDArray:
        return cv2.resize(np.ascontiguousarray(image), (self.width, self.height), interpolation=self.method)


class RandomCrop(Transform):
    """A window of `size` (a side, or height and width) at a uniformly random place."""

    def __init__(self, size: Positive | tuple[Positive, Positive]) -> None:
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
                "choose a smaller crop, or remove it"
            )

    def place(self, height: int, width: int, rng: np.random.Generator) -> tuple[int, int]:
        """Top row and left column of the window in an image of this size."""
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
    """Rotate by 90 degrees anticlockwise: motion to the right becomes motion up."""

    def __init__(self, probability: float = 0.5) -> None:
        super().__init__(probability)

    def apply(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """See the class."""
        return turn(sample, 1)


class RandomTurn(Transform):
    """Rotate anticlockwise by one of `quarters` times 90 degrees, uniformly.

    Args:
        probability: of rotating.
        quarters: RIFE, EMA-VFI and ATM-VFI: any of the four, always; EBME: [1, 2, 3] with probability 0.5.
    """

    def __init__(self, probability: float = 1.0, quarters: Sequence[int] = (0, 1, 2, 3)) -> None:
        super().__init__(probability)
        if not quarters or not set(quarters) <= set(range(4)):
            raise UserError(f"RandomTurn takes quarters from 0 to 3; got {list(quarters)}")
        self.quarters = tuple(quarters)

    def apply(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """See the class."""
        quarters = self.quarters[int(rng.integers(len(self.quarters)))]
        return turn(sample, quarters) if quarters else sample


class ReverseTime(Transform):
    """The sample played backwards: frames and flows are exchanged, and a time t becomes 1 - t.

    Args:
        probability: of playing it backwards.
        always_turn_time: t becomes 1 - t also where the sample is not reversed, so that half of the samples
            have a wrong time: a bug of AMT's loaders for GoPro and Adobe240, with which its GoPro weights were
            presumably trained.
    """

    def __init__(self, probability: float = 0.5, always_turn_time: bool = False) -> None:
        super().__init__(probability)
        self.always_turn_time = always_turn_time

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """See `Transform`."""
        changed = super().__call__(sample, rng)
        return _reverse_times(sample) if changed is sample and self.always_turn_time else changed

    def apply(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """See the class."""
        changed = {**_reverse_times(sample), **{name: sample[of] for name, of in BACKWARDS.items() if of in sample}}
        if "flow" in sample:
            changed["flow"] = _recombined(sample["flow"], np.eye(4)[[2, 3, 0, 1]])
        return changed


class _EnlargedCrop:
    """An enlargement by an integer and a crop of it: only the crop is enlarged."""

    def __init__(self, resize: RandomResize, cropping: RandomCrop) -> None:
        self.resize, self.cropping = resize, cropping

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The result of both in sequence, bit for bit, with the same random numbers."""
        if rng.random() >= self.resize.probability:
            return self.cropping(sample, rng)
        rng.random()  # the crop's draw of its probability, 1
        factor = int(self.resize.factor)
        height, width = (side * factor for side in sample["frame0"].shape[:2])
        self.cropping.check(height, width, sample["key"])
        top, left = self.cropping.place(height, width, rng)
        window = (top, left, self.cropping.height, self.cropping.width)
        sample = _on_maps(sample, lambda image: _enlarged_window(image, factor, *window))
        return {**sample, "flow": sample["flow"] * np.float32(factor)} if "flow" in sample else sample


def crop(sample: Sample, top: int, left: int, height: int, width: int) -> Sample:
    """The window of the sample."""
    return _on_maps(sample, lambda p: p[top : top + height, left : left + width])


def turn(sample: Sample, quarters: int) -> Sample:
    """The sample rotated anticlockwise by `quarters` times 90 degrees."""
    return _on_flow(_on_maps(sample, lambda p: np.rot90(p, quarters)), ROTATIONS[quarters % 4])


def _on_maps(sample: Sample, change: Callable[[NDArray], NDArray]) -> Sample:
    """Change every array whose first two axes are rows and columns."""
    return {k: change(v) if isinstance(v, np.ndarray) and v.ndim >= 2 else v for k, v in sample.items()}


def _reverse_times(sample: Sample) -> Sample:
    """Each time t becomes 1 - t."""
    return {**sample, **{name: 1 - sample[name] for name in TIMES if name in sample}}


def _on_flow(sample: Sample, change: Callable[[NDArray, NDArray], tuple[NDArray, NDArray]]) -> Sample:
    """Change the components x and y of both flows."""
    if "flow" not in sample:
        return sample
    matrix = np.array(change(*np.eye(2)))  # a change of components is linear: its rows are the new x and y
    return {**sample, "flow": _recombined(sample["flow"], np.kron(np.eye(2), matrix))}


def _recombined(flow: NDArray, matrix: NDArray) -> NDArray:
    """Each pixel's four components multiplied by a matrix 4 4."""
    straight = np.empty(flow.shape, np.float32)
    fast_copy(flow, straight)  # OpenCV takes no flipped views
    return cv2.transform(straight, matrix)


def _unit(frame: NDArray) -> NDArray:
    """A frame as float32 in [0, 1]."""
    return frame.astype(np.float32) / 255 if frame.dtype == np.uint8 else frame


def _resize(image: NDArray, factor: float) -> NDArray:
    return cv2.resize(np.ascontiguousarray(image), None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)


def _enlarged_window(image: NDArray, factor: int, top: int, left: int, height: int, width: int) -> NDArray:
    """A window of the enlarged image, computed only from the pixels that it depends on."""
    starts = [max(0, first // factor - 1) for first in (top, left)]
    stops = [(first + count - 1) // factor + 2 for first, count in ((top, height), (left, width))]
    enlarged = _resize(image[starts[0] : stops[0], starts[1] : stops[1]], factor)
    top, left = top - starts[0] * factor, left - starts[1] * factor
    return enlarged[top : top + height, left : left + width]
