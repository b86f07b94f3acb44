"""Samples in order, read ahead by threads; those of one pair of frames together; pairs of one size as a batch."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from datamodules.core.samples import Sample, SampleSource
from vfi_train.errors import DataError

T = TypeVar("T")
KEPT = 12  # frames that wait for another sample that needs them


@dataclass
class Moment:
    """One target between two frames: its number in the source, H W 3 of it, and its time (a number, or a map H W)."""

    index: int
    key: str
    target: NDArray
    time: float | NDArray


@dataclass
class Pair:
    """Two frames H W 3 (uint8, or float32 in [0, 1]) and the targets between them."""

    name: str
    frame0: NDArray
    frame1: NDArray
    moments: list[Moment] = field(default_factory=list)

    def signature(self, by_time: bool) -> tuple[Hashable, ...]:
        """Pairs that have it in common fit one batch; `by_time`: only those that ask for the same times."""
        times = [m.time for m in self.moments]
        asked = tuple(times) if by_time and not any(isinstance(t, np.ndarray) for t in times) else len(times)
        return self.frame0.shape, self.frame0.dtype.str, isinstance(times[0], np.ndarray), asked


@dataclass
class Broken:
    """A sample that could not be read, and why."""

    index: int
    key: str
    reason: str


def pairs(source: SampleSource, indices: Sequence[int], workers: int) -> Iterator[Pair | Broken]:
    """The samples `indices` of a source, neighbours between the same two frames joined, what is broken apart.

    Raises:
        DataError: a sample has no target.
    """
    pair: Pair | None = None
    for sample in read_ahead(lambda i: _read(source, i), indices, workers):
        if isinstance(sample, Broken):
            yield sample
            continue
        index, s = sample
        if "target" not in s:
            raise DataError(f"sample {s['key']} has no target: it can be interpolated, but not measured")
        name = s.get("pair") or s["key"]
        if pair is not None and pair.name != name:
            yield pair
            pair = None
        if pair is None:
            pair = Pair(name, s["frame0"], s["frame1"])
        time = s["time"]
        pair.moments.append(Moment(index, s["key"], s["target"], time if np.ndim(time) else float(time)))
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


def read_ahead(read: Callable[[int], T], indices: Iterable[int], workers: int) -> Iterator[T]:
    """`read` of each index, in order, by so many threads at once; 0: when it is asked for."""
    if workers < 1:
        yield from map(read, indices)
        return
    waiting: deque[Future[T]] = deque()
    pool = ThreadPoolExecutor(workers, "read")
    try:
        for index in indices:
            waiting.append(pool.submit(read, index))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def share_frames(source: Any) -> Any:
    """The source, made to decode a frame that several samples need once. Its store or its videos are wrapped."""
    if hasattr(source, "store"):
        source.store = _RecentStore(source.store)
    if hasattr(source, "videos"):
        source.videos = {name: _RecentVideo(video) for name, video in source.videos.items()}
    return source


def key_of(source: Any, index: int) -> str:
    """The key of a sample that cannot be read, where the source can tell; else its number."""
    items = getattr(source, "items", None)
    return str(items[index].key) if isinstance(items, Sequence) else f"number {index}"


def _read(source: SampleSource, index: int) -> tuple[int, Sample] | Broken:
    try:
        sample = source.sample(index, None)
    except DataError as error:
        return Broken(index, key_of(source, index), str(error))
    assert isinstance(sample, dict)
    sizes = {name: sample[name].shape for name in ("frame0", "frame1", "target") if name in sample}
    if len(set(sizes.values())) > 1:
        said = ", ".join(f"{name} {'x'.join(map(str, shape[:2]))}" for name, shape in sizes.items())
        return Broken(index, sample["key"], f"sample {sample['key']}: its images differ in size ({said})")
    return index, sample


class _Recent:
    """The last results of a function of one name, each computed once however many threads ask."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self._results: OrderedDict[Hashable, Future[Any]] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, name: Hashable, *rest: Any) -> Any:
        with self._lock:
            future = self._results.get(name)
            mine = future is None
            if future is None:
                future = self._results[name] = Future()
                if len(self._results) > KEPT:
                    self._results.popitem(last=False)
            else:
                self._results.move_to_end(name)
        if mine:
            try:
                future.set_result(self.function(name, *rest))
            except BaseException as error:
                with self._lock:
                    self._results.pop(name, None)
                future.set_exception(error)
        try:
            return future.result()
        except DataError:
            return self.function(name, *rest) if not mine else future.result()  # the error of this sample's own


class _RecentStore:
    """A store whose images are kept for a while."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.read = _Recent(store.read)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class _RecentVideo:
    """A raw video whose frames are kept for a while."""

    def __init__(self, video: Any) -> None:
        self._video = video
        self._frame = _Recent(video.__getitem__)

    def __len__(self) -> int:
        return len(self._video)

    def __getitem__(self, index: int) -> Any:
        return self._frame(index)
