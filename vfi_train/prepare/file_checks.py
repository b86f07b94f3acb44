"""Every file of a dataset: whether it exists, can be decoded, and has the right size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from datamodules.file_dataset import StoredData
from datamodules.storage import flow_io
from datamodules.storage.clips import ClipPath
from datamodules.storage.distance_maps import is_map
from datamodules.storage.file_endings import IMAGES
from datamodules.storage.pack import Pack
from datamodules.storage.store import Store
from datamodules.video import ClipData, FrameTimes, even
from vfi_train.errors import DataError
from vfi_train.prepare.dataset_issue import DatasetIssue
from vfi_train.prepare.workers import parallel_map

CHUNK = 256  # files of one job
FLOWS = (".flo", ".pfm")
REMAKE_FLOW, REMAKE_MAPS = "make the flow labels again (task=flow)", "make the distance maps again (task=distance)"
NO_MOTION = (
    "training takes another sample where a crop holds NaN (pixels without any motion): make the maps again "
    "(task=distance) or take the clip out of the lists, if it does move or nothing of it moves"
)
LEFT_OUT = "they are left out where the middle is the target; data.times=uniform takes them at their true times"
Size = tuple[int, int]  # height, width


@dataclass
class Findings:
    """The issues that a job found, and the sizes of images in each folder with the first file of that size."""

    issues: list[DatasetIssue] = field(default_factory=list)
    sizes: dict[str, dict[Size, str]] = field(default_factory=dict)


def find_file_issues(
    data: StoredData, files: Sequence[tuple[str, str]], size: Size | None, decode: bool, processes: int | None
) -> Iterator[DatasetIssue]:
    """Files that are missing, cannot be read, or have a wrong size.

    Args:
        data: the dataset they belong to.
        files: names in its store, each with the key of a sample.
        size: of all images; None: those of a folder must have the same one.
        decode: read them; otherwise only check that they exist.
        processes: see `parallel_map`.
    """
    again = f"extract or fetch it again (from {data.origin})"
    jobs = [files[start : start + CHUNK] for start in range(0, len(files), CHUNK)]
    sizes: dict[str, dict[Size, str]] = {}
    for _, found in parallel_map(partial(check_files, data.store, size, decode, again), jobs, processes, "files"):
        yield from found.issues
        for folder, ones in found.sizes.items():
            for found_size, name in ones.items():
                sizes.setdefault(folder, {}).setdefault(found_size, name)
    for folder, ones in sizes.items():
        if len(ones) > 1:
            shown = ", ".join(f"{PurePosixPath(name).name} is {h}x{w}" for (h, w), name in ones.items())
            yield DatasetIssue("size", f"the images in {data.root}/{folder} differ in size: {shown}", again)
    if hasattr(data, "video"):  # raw videos
        for name, _ in files:
            try:
                data.video(name)
            except DataError as error:
                yield DatasetIssue("broken file", str(error), again)


def check_files(
    store: Store, expected: Size | None, decode: bool, again: str, files: Sequence[tuple[str, str]]
) -> Findings:
    """Check files one by one; `again` says how to replace one."""
    found = Findings()
    for name, key in files:
        if not store.exists(name):
            found.issues.append(DatasetIssue("missing file", f"{store.root / name} (of sample {key})", again))
        elif decode:
            try:
                _check_file(store, name, key, expected, found, again)
            except DataError as error:
                found.issues.append(DatasetIssue("broken file", str(error), again))
    return found


def find_array_issues(store: Store, processes: int | None) -> Iterator[DatasetIssue]:
    """Arrays in packs whose checksums are wrong."""
    jobs = [
        (pack, range(start, min(start + CHUNK, len(pack))))
        for pack in store.packs
        for start in range(0, len(pack), CHUNK)
    ]
    for _, found in parallel_map(check_arrays, jobs, processes, "checksums") if jobs else ():
        yield from found


def check_arrays(job: tuple[Pack, range]) -> list[DatasetIssue]:
    """Compare arrays of a pack with their checksums."""
    pack, rows = job
    issues = []
    for row in rows:
        if not pack.is_intact(row):
            shard = pack.folder / f"{int(pack.entries['shard'][row]):05d}.bin"
            what = f"{pack.names[row].decode()} in {shard} is not what was packed"
            issues.append(DatasetIssue("broken pack", what, f"delete {shard} and give the task=pack command again"))
    return issues


def find_video_issues(data: ClipData, processes: int | None) -> Iterator[DatasetIssue]:
    """Videos and folders of frames that cannot be decoded from end to end."""
    try:
        found = data.clips
    except DataError as error:
        yield DatasetIssue("folder", str(error), "see there")
        return
    for clip, (reason, uneven) in parallel_map(check_video, found, processes, "clips"):
        if reason is not None:
            yield DatasetIssue("broken video", reason, f"repair {clip.path}, or take it out of data.root")
        if uneven is not None:
            yield DatasetIssue("uneven times", uneven, LEFT_OUT)


def check_video(clip: ClipPath) -> tuple[str | None, str | None]:
    """Why a clip cannot be decoded, or what of it, and how many of its frames are not evenly spaced in time."""
    try:
        source = clip.open()
        if source.clip.interlaced:
            source.close()
            return f"{clip.path} is interlaced (data.deinterlace=bwdif makes a frame of each field)", None
        times = FrameTimes(np.array([float(frame.time) for frame in source.frames()]), float(source.clip.tick))
    except DataError as error:
        return str(error), None
    count = len(times.times) - 2
    uneven = count - len(even(times, range(count), 1))
    shown = f"{clip.path}: {uneven} of {count} triplets of neighbours have a target off the middle in time"
    return "; ".join(source.problems) or None, shown if uneven else None


def _check_file(store: Store, name: str, key: str, expected: Size | None, found: Findings, again: str) -> None:
    array: Any
    if name.lower().endswith(IMAGES):
        array = store.read(name, key)
        size = (array.shape[0], array.shape[1])
        if expected is None:
            found.sizes.setdefault(str(PurePosixPath(name).parent), {}).setdefault(size, name)
        elif size != expected:
            found.issues.append(_wrong_size(store, name, size, expected, again))
    elif name.endswith(FLOWS):
        array = store.read_flow(name, key)
        if expected is not None and array.shape[:2] != expected:
            found.issues.append(_wrong_size(store, name, array.shape[:2], expected, REMAKE_FLOW))
        if not np.isfinite(array).all():
            what = f"{store.root / name} holds values that are not finite"
            found.issues.append(DatasetIssue("broken flow", what, REMAKE_FLOW))
    elif name.endswith(".npy"):
        array = store.read_array(name, key)
        if expected is not None and not is_map(array, expected):
            what = f"{store.root / name} holds {array.dtype} {array.shape}, no map of {expected[0]}x{expected[1]}"
            found.issues.append(DatasetIssue("size", what, REMAKE_MAPS))
        elif array.dtype.kind == "f" and (count := int(np.isnan(array).sum())):
            what = f"{store.root / name} holds NaN in {count:,} of {array.size:,} pixels"
            found.issues.append(DatasetIssue("NaN in map", what, NO_MOTION))
    elif name.endswith(tuple(flow_io.FORMATS)):
        flow_io.read(store.root / name)


def _wrong_size(store: Store, name: str, size: Sequence[int], expected: Size, fix: str) -> DatasetIssue:
    what = f"{store.root / name} is {size[0]}x{size[1]} pixels, not {expected[0]}x{expected[1]}"
    return DatasetIssue("size", what, fix)
