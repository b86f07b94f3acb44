"""Samples read ahead by threads, grouped into pairs of frames with their targets, and pairs into batches."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.core.samples import Sample, SampleSource
from vfi_train.contract import CONTEXT
from vfi_train.errors import DataError
from vfi_train.metrics.motion import Image, dis_flow
from vfi_train.runtime.read_ahead import ReadAhead

MAX_SIDE = 256  # pixels of the images in which motion is estimated


@dataclass
class Target:
    """A target between two frames: index and key in the source, image H W 3, and time (a number, or a map H W).

    `motion` is the mean length of the flow that the data gives, in pixels from frame to frame, and `occluded` says
    which pixels (H W) an input does not show; None where the data does not say.
    """

    index: int
    key: str
    image: NDArray
    time: float | NDArray
    motion: float | None = None
    occluded: NDArray[np.bool_] | None = None


@dataclass
class Pair:
    """Two frames H W 3 (uint8, or float32 in [0, 1]), the targets between them, and `context` around them or none."""

    name: str
    frame0: NDArray
    frame1: NDArray
    targets: list[Target] = field(default_factory=list)
    context: dict[str, NDArray] = field(default_factory=dict)

    @cached_property
    def motion(self) -> float:
        """The mean length of the flow between the frames, in pixels, estimated in small images."""
        flow = dis_flow(to_8_bit(self.frame0), to_8_bit(self.frame1), MAX_SIDE, fast=True)
        return float(np.linalg.norm(flow, axis=2).mean())

    def signature(self, by_time: bool) -> tuple[Hashable, ...]:
        """Pairs of equal signatures fit one batch; `by_time`: only if their times are equal too."""
        times = [target.time for target in self.targets]
        has_maps = isinstance(times[0], np.ndarray)
        return (
            self.frame0.shape,
            self.frame0.dtype.str,
            has_maps,
            len(times) if has_maps or not by_time else tuple(times),
        )


@dataclass
class Broken:
    """A sample that could not be read, and why."""

    index: int
    key: str
    reason: str


def pairs(source: SampleSource, indices: Sequence[int], workers: int) -> Iterator[Pair | Broken]:
    """The samples `indices` of a source; neighbouring samples of the same two frames are one pair.

    Raises:
        DataError: a sample has no target.
    """
    pair: Pair | None = None
    with ReadAhead(indices, lambda index: _read(source, index), workers=workers) as samples:
        for sample in samples:
            if isinstance(sample, Broken):
                yield sample
                continue
            index, s = sample
            if "target" not in s:
                raise DataError(f"sample {s['key']} has no target: it can be interpolated but not measured")
            name = s.get("pair") or s["key"]
            if pair is not None and pair.name != name:
                yield pair
                pair = None
            if pair is None:
                pair = Pair(name, s["frame0"], s["frame1"], context={key: s[key] for key in CONTEXT if key in s})
            time = s["time"]
            at = time if np.ndim(time) else float(time)
            pair.targets.append(Target(index, s["key"], s["target"], at, _given_motion(s), s.get("occluded")))
    if pair is not None:
        yield pair


def batches(items: Iterable[Pair | Broken], size: int, by_time: bool = False) -> Iterator[list[Pair] | Broken]:
    """Up to `size` neighbouring pairs that fit one batch; see `Pair.signature`."""
    held: list[Pair] = []
    for item in items:
        if isinstance(item, Broken):
            yield item
            continue
        if held and (len(held) == size or held[0].signature(by_time) != item.signature(by_time)):
            yield held
            held = []
        held.append(item)
    if held:
        yield held


def to_8_bit(image: NDArray) -> Image:
    """An image, uint8 or float in [0, 1], as uint8."""
    return image if image.dtype == np.uint8 else (255 * image.clip(0, 1)).round().astype(np.uint8)


def _given_motion(sample: Sample) -> float | None:
    """The mean length of frame0's way to frame1 through the target, by the flow of the data."""
    if "flow" not in sample:
        return None
    to_frame0, to_frame1 = np.split(sample["flow"], 2, axis=2)
    return float(np.linalg.norm(to_frame1 - to_frame0, axis=2).mean())


def _key(source: Any, index: int) -> str:
    """The key of a sample that cannot be read, or its index if the source does not know it."""
    items = getattr(source, "items", None)
    return str(items[index].key) if isinstance(items, Sequence) else f"number {index}"


def _read(source: SampleSource, index: int) -> tuple[int, Sample] | Broken:
    try:
        sample = source.sample(index, None)
    except DataError as error:
        return Broken(index, _key(source, index), str(error))
    assert isinstance(sample, dict)
    sizes = {name: sample[name].shape for name in ("frame0", "frame1", "target", *CONTEXT) if name in sample}
    if len(set(sizes.values())) > 1:
        found = ", ".join(f"{name} {'x'.join(map(str, shape[:2]))}" for name, shape in sizes.items())
        return Broken(index, sample["key"], f"sample {sample['key']}: its images differ in size ({found})")
    return index, sample
