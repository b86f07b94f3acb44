"""Videos and folders of frames, decoded from end to end."""

from __future__ import annotations

from collections.abc import Iterator

from datamodules.storage.clips import ClipPath
from datamodules.video import Video
from vfi_train.errors import DataError
from vfi_train.prepare.faults import DatasetIssue
from vfi_train.prepare.workers import parallel_map


def broken_videos(data: Video, processes: int | None) -> Iterator[DatasetIssue]:
    """Clips of `data` that cannot be decoded."""
    try:
        found = data.clips
    except DataError as error:
        yield DatasetIssue("folder", str(error), "see there")
        return
    for clip, reason in parallel_map(decode, found, processes, "clips"):
        if reason is not None:
            yield DatasetIssue("broken video", reason, f"repair {clip.path}, or take it out of data.root")


def decode(clip: ClipPath) -> str | None:
    """Why a clip cannot be decoded; None if it can."""
    try:
        count = sum(1 for _ in clip.images())
    except DataError as error:
        return str(error)
    return None if count > 1 else f"{clip.path} holds {count} frames, which is no video"
