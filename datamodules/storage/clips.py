"""Clips: videos, and image files in order, as sequences of frames."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from datamodules.storage.file_endings import IMAGES, VIDEOS
from datamodules.storage.image_io import list_images, natural_key, read_image, to_bits
from datamodules.storage.media import IDENTITY, Clip, Colour, Frame, Orientation, to_rgb
from vfi_train.errors import DataError


class FrameSource(Protocol):
    """Frames in order, and what is common to them."""

    clip: Clip

    def frames(self) -> Iterator[Frame]:
        """The frames, each later than the one before.

        Raises:
            DataError: there are fewer than two, they differ in size, or one cannot be decoded.
        """
        ...

    def close(self) -> None:
        """Close the file."""
        ...


class VideoFile:
    """A video that FFmpeg decodes. See `FrameSource`.

    Args:
        path: the file.
        stream: y4m to read instead of a file; it cannot be rewound.
        bits: 8: images are uint8; None: uint16 where the video has more than 8 bits.

    Raises:
        DataError: it cannot be opened, or holds no frame.
    """

    def __init__(self, path: Path | None, stream: BinaryIO | None = None, bits: int | None = None) -> None:
        self.path, self.name = path, "standard input" if path is None else str(path)
        self._container = self._open(stream)
        video = self._container.streams.video[0]
        video.thread_type = "AUTO"
        self._decoded = _decode(self._container, self.name)
        first = next(self._decoded, None)
        if first is None:
            raise DataError(f"{self.name} holds no frame that can be decoded: repair or replace it")
        self._first = first
        # AVI stores decoding times: with B-frames they go up and down.
        self._is_untimed = self._container.format.name == "avi" and bool(video.codec_context.has_b_frames)
        self.clip = self._describe(video, first, bits)

    def frames(self) -> Iterator[Frame]:
        """See `FrameSource`."""
        clip, number, last = self.clip, 0, None
        with self._container:
            for decoded in chain([self._first], self._decoded):
                orientation = Orientation.of(decoded)
                size = orientation.size(decoded.height, decoded.width)
                if size != (clip.height, clip.width):
                    raise DataError(
                        f"{self.name} changes its size from {clip.height}x{clip.width} to {size[0]}x{size[1]} after "
                        f"{number} frames: split it there"
                    )
                if decoded.pts is None or self._is_untimed:
                    time = number / clip.rate
                else:
                    time = decoded.pts * Fraction(decoded.time_base or 1)
                if last is not None and time <= last.time:  # broken time stamps
                    time = last.time + 1 / clip.rate
                duration = Fraction(decoded.duration or 0) * Fraction(decoded.time_base or 1) or 1 / clip.rate
                image = orientation.apply(to_rgb(decoded, clip.bits))
                last = Frame(image, time, duration, decoded if orientation == Orientation() else None)
                number += 1
                yield last
        if number < 2:
            raise DataError(f"{self.name} holds only one frame: a clip has two or more")

    def close(self) -> None:
        """See `FrameSource`."""
        self._container.close()

    def _describe(self, video: Any, first: av.VideoFrame, bits: int | None) -> Clip:
        rate = Fraction(video.average_rate or video.guessed_rate or 24)
        seconds = Fraction(video.duration or 0) * Fraction(video.time_base or 0)
        if not seconds and self._container.duration:
            seconds = Fraction(self._container.duration, av.time_base)
        orientation, form = Orientation.of(first), first.format
        height, width = orientation.size(first.height, first.width)
        aspect = Fraction(video.sample_aspect_ratio or 1)
        colour = Colour(int(first.color_range), int(first.colorspace), int(first.color_primaries), int(first.color_trc))
        if form.is_rgb or colour.matrix == IDENTITY:
            colour = replace(Colour(), primaries=colour.primaries, transfer=colour.transfer)
        return Clip(
            name=self.name,
            height=height,
            width=width,
            bits=bits or max(8, min(16, form.components[0].bits)),
            rate=rate,
            tick=Fraction(video.time_base or 1 / rate),
            count=video.frames or round(seconds * rate),
            pixel_format=form.name.replace("yuvj", "yuv"),
            colour=replace(colour, range=2) if form.name.startswith("yuvj") else colour,
            pixel_aspect=1 / aspect if orientation.transposed else aspect,
            path=self.path,
            metadata=dict(self._container.metadata),
        )

    def _open(self, stream: BinaryIO | None) -> Any:
        try:
            if stream is None:
                container = av.open(str(Path(self.name).absolute()))  # FFmpeg reads "a: b.mp4" as a protocol "a"
            else:
                container = av.open(_Pipe(stream), "r", format="yuv4mpegpipe")
        except av.error.FFmpegError as error:
            expected = "a video" if stream is None else "y4m (ffmpeg -i FILE -f yuv4mpegpipe - | ...)"
            raise DataError(
                f"{self.name} cannot be read as {expected} ({error.strerror}): repair or replace it"
            ) from error
        if not container.streams.video:
            container.close()
            raise DataError(f"{self.name} holds no video: replace it")
        return container


class ImageFiles:
    """Image files of one size, in the order given. See `FrameSource`.

    Args:
        paths: two or more.
        rate: frames per second.
        bits: 8: images are uint8; None: all are as deep as the first.

    Raises:
        DataError: the first cannot be read.
    """

    def __init__(self, paths: Sequence[Path], rate: Fraction = Fraction(24), bits: int | None = None) -> None:
        self.paths = list(paths)
        first = read_image(self.paths[0])
        bits = bits or 8 * first.itemsize
        self.clip = Clip(self.paths[0].name, first.shape[0], first.shape[1], bits, rate, 1 / rate, len(self.paths))

    def frames(self) -> Iterator[Frame]:
        """See `FrameSource`."""
        clip = self.clip
        for number, path in enumerate(self.paths):
            image = read_image(path)
            if image.shape[:2] != (clip.height, clip.width):
                raise DataError(
                    f"the frames have different sizes: {self.paths[0]} is {clip.height}x{clip.width}, {path} is "
                    f"{image.shape[0]}x{image.shape[1]} (height x width): bring them to one size"
                )
            yield Frame(to_bits(image, clip.bits), number / clip.rate, 1 / clip.rate)

    def close(self) -> None:
        """See `FrameSource`."""


@dataclass(frozen=True)
class ClipPath:
    """A video or a folder of images, with a readable name."""

    path: Path
    name: str

    def identity(self) -> str:
        """A hash of names, sizes and times of the files."""
        files = list_images(self.path) if self.path.is_dir() else [self.path]
        facts = [(str(p.resolve()), p.stat().st_size, p.stat().st_mtime_ns) for p in files]
        return hashlib.sha256(repr(facts).encode()).hexdigest()

    def open(self) -> FrameSource:
        """Its frames, uint8."""
        return ImageFiles(list_images(self.path), bits=8) if self.path.is_dir() else VideoFile(self.path, bits=8)

    def images(self, max_side: int | None = None) -> Iterator[NDArray[np.uint8]]:
        """All frames as H W 3, uint8, RGB, scaled down to `max_side`."""
        source = self.open()
        height, width = scaled_size(source.clip.height, source.clip.width, max_side)
        for frame in source.frames():
            image = frame.image
            if image.shape[:2] != (height, width):
                image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
            yield image


def find_clips(root: Path) -> list[ClipPath]:
    """All clips in a folder and below, by name; or the one that `root` is.

    Raises:
        DataError: there is none.
    """
    if not root.exists():
        raise DataError(f"there is no data.root={root}: give a video, a folder of videos, or folders of frames")
    if root.is_file():
        return [ClipPath(root, root.stem)]
    below = sorted(p for p in root.rglob("*") if not any(part.startswith(".") for part in p.relative_to(root).parts))
    videos = [p for p in below if p.suffix.lower() in VIDEOS and p.is_file()]
    folders = [p for p in (root, *below) if p.is_dir() and len(list_images(p)) > 1]
    names = [str(p.relative_to(root).with_suffix("")) for p in videos]
    clips = [
        ClipPath(path, name if names.count(name) == 1 else str(path.relative_to(root)))
        for path, name in zip(videos, names, strict=True)
    ]
    clips += [ClipPath(p, root.name if p == root else str(p.relative_to(root))) for p in folders]
    if not clips:
        raise DataError(
            f"data.root={root} holds neither videos ({', '.join(VIDEOS[:4])}, ...) nor folders of images "
            f"({', '.join(IMAGES[:3])}, ...)"
        )
    return sorted(clips, key=lambda clip: natural_key(clip.name))


def scaled_size(height: int, width: int, max_side: int | None) -> tuple[int, int]:
    """The size with the longer side at most `max_side`."""
    if max_side is None or max(height, width) <= max_side:
        return height, width
    factor = max_side / max(height, width)
    return max(1, round(height * factor)), max(1, round(width * factor))


def _decode(container: Any, name: str) -> Iterator[av.VideoFrame]:
    """Without a reference to the `VideoFile`: a decoder with threads must not wait for the garbage collector."""
    number = 0
    try:
        for frame in container.decode(video=0):
            yield frame
            number += 1
    except av.error.FFmpegError as error:
        raise DataError(
            f"{name} cannot be decoded after {number} frames ({error.strerror}): repair it, or cut it there"
        ) from error


class _Pipe:
    """A stream with `read` only, so that FFmpeg does not try to rewind it."""

    def __init__(self, stream: BinaryIO) -> None:
        self.read = stream.read
