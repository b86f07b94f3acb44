"""Videos and folders of images, as sequences of frames."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from datamodules.storage import image_io as images
from vfi_train.errors import DataError

ENDINGS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".ts", ".mts", ".wmv", ".flv", ".y4m")

Frame = NDArray[np.uint8]


class Clip(Protocol):
    """A sequence of frames with a readable name."""

    name: str
    path: Path

    def identity(self) -> str:
        """Changes when the files change."""
        ...

    def size(self) -> tuple[int, int, int]:
        """(frames, height, width), frames being an estimate, 0 where nothing tells."""
        ...

    def frames(self, max_side: int | None) -> Iterator[Frame]:
        """All frames as H W 3, uint8, RGB, scaled down to `max_side`."""
        ...


class VideoFile:
    """A video that FFmpeg decodes. Its frames are taken as they come, whatever their time stamps."""

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name = path, name

    def identity(self) -> str:
        """See `Clip`."""
        return _identity([self.path])

    def size(self) -> tuple[int, int, int]:
        """See `Clip`."""
        with self._open() as container:
            stream = container.streams.video[0]
            seconds = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
            if not seconds and container.duration:
                seconds = container.duration / av.time_base
            frames = stream.frames or round(seconds * float(stream.average_rate or 0))
            return frames, stream.height, stream.width

    def frames(self, max_side: int | None) -> Iterator[Frame]:
        """See `Clip`."""
        number = 0
        with self._open() as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            try:
                for frame in container.decode(stream):
                    height, width = scaled(frame.height, frame.width, max_side)
                    if (height, width) != (frame.height, frame.width):
                        frame = frame.reformat(width, height, "rgb24", interpolation="AREA")
                    yield frame.to_ndarray(format="rgb24")
                    number += 1
            except av.error.FFmpegError as error:
                raise DataError(
                    f"{self.path} cannot be decoded after frame {number} ({error.strerror}): "
                    "repair it, or take it out of data.root"
                ) from error

    def _open(self) -> Any:
        try:
            container = av.open(str(self.path))
        except (av.error.FFmpegError, OSError) as error:
            raise DataError(
                f"{self.path} cannot be read as a video ({error.strerror}): repair it, or take it out of data.root"
            ) from error
        if not container.streams.video:
            container.close()
            raise DataError(f"{self.path} holds no video: take it out of data.root")
        return container


class FrameFolder:
    """A folder of images of one size, in the order of the numbers in their names."""

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name = path, name

    def identity(self) -> str:
        """See `Clip`."""
        return _identity(images.listed(self.path))

    def size(self) -> tuple[int, int, int]:
        """See `Clip`."""
        files = images.listed(self.path)
        height, width = images.read(files[0], self.name).shape[:2]
        return len(files), height, width

    def frames(self, max_side: int | None) -> Iterator[Frame]:
        """See `Clip`."""
        first = None
        for path in images.listed(self.path):
            frame = images.read(path, self.name)
            first = first or (path.name, frame.shape)
            if frame.shape != first[1]:
                raise DataError(
                    f"{path} is {frame.shape[0]}x{frame.shape[1]}, but {first[0]} beside it is "
                    f"{first[1][0]}x{first[1][1]}: the frames of a clip have one size"
                )
            height, width = scaled(frame.shape[0], frame.shape[1], max_side)
            if (height, width) != frame.shape[:2]:
                frame = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
            yield frame


def find(root: Path) -> list[Clip]:
    """All clips in a folder and below, by name; or the one that `root` is.

    Raises:
        DataError: there is none.
    """
    if not root.exists():
        raise DataError(f"there is no data.root={root}: give a video, a folder of videos, or folders of frames")
    if root.is_file():
        return [VideoFile(root, root.stem)]
    below = sorted(p for p in root.rglob("*") if not any(part.startswith(".") for part in p.relative_to(root).parts))
    videos = [p for p in below if p.suffix.lower() in ENDINGS and p.is_file()]
    folders = [p for p in (root, *below) if p.is_dir() and len(images.listed(p)) > 1]
    names = [str(p.relative_to(root).with_suffix("")) for p in videos]
    clips: list[Clip] = [
        VideoFile(path, name if names.count(name) == 1 else str(path.relative_to(root)))
        for path, name in zip(videos, names, strict=True)
    ]
    clips += [FrameFolder(p, root.name if p == root else str(p.relative_to(root))) for p in folders]
    if not clips:
        raise DataError(
            f"data.root={root} holds neither videos ({', '.join(ENDINGS[:4])}, ...) nor folders of images "
            f"({', '.join(images.ENDINGS[:3])}, ...)"
        )
    return sorted(clips, key=lambda clip: images.natural(clip.name))


def scaled(height: int, width: int, max_side: int | None) -> tuple[int, int]:
    """The size with the longer side at most `max_side`."""
    if max_side is None or max(height, width) <= max_side:
        return height, width
    factor = max_side / max(height, width)
    return max(1, round(height * factor)), max(1, round(width * factor))


def _identity(files: list[Path]) -> str:
    """Of what the files are called, how long they are and when they were written."""
    facts = [(str(p.resolve()), p.stat().st_size, p.stat().st_mtime_ns) for p in files]
    return hashlib.sha256(repr(facts).encode()).hexdigest()
