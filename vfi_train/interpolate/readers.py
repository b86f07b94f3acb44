"""What can be interpolated: images, folders, patterns, videos, and y4m through a pipe."""

from __future__ import annotations

import glob
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import av
import cv2
import numpy as np

from datamodules.storage.image_io import natural
from vfi_train.errors import UserError
from vfi_train.interpolate.media import IDENTITY, Clip, Colour, Frame, ImageArray, to_rgb

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
VIDEOS = "mp4, mov, mkv, webm, ..."
PIPE = "-"
Input = str | Path | Sequence[str | Path]


class Source(Protocol):
    """Frames in order, and what is common to them."""

    clip: Clip

    def frames(self) -> Iterator[Frame]:
        """The frames, each later than the one before."""
        ...


def open_source(given: Input, frame_rate: Fraction = Fraction(24)) -> Source:
    """The source that `input=` means: a video, a folder of images, a pattern, a list of images, or "-".

    Args:
        given: a path, a pattern with *, ? or [...], a list of images, or "-" for y4m on standard input.
        frame_rate: of images, which have no clock, per second.

    Raises:
        UserError: there is no such thing, it cannot be read, or it holds fewer than two frames.
    """
    if isinstance(given, (list, tuple)) or (not isinstance(given, (str, Path)) and isinstance(given, Sequence)):
        return ImageFiles([Path(p).expanduser() for p in given], frame_rate)
    if str(given) == PIPE:
        return _pipe(sys.stdin.buffer)
    path = Path(given).expanduser()
    if path.is_dir():
        return ImageFiles(_images_in(path), frame_rate)
    if path.is_file():
        if path.suffix.lower() in IMAGES:
            raise UserError(f"input={path} is one frame only: give two images or more, input=[{path},OTHER]")
        return VideoFile(path)
    if glob.has_magic(str(given)):
        return _matching(str(path), frame_rate)
    raise UserError(f"there is no file or folder input={path}: give a video, a folder, a pattern or a list of images")


class ImageFiles:
    """Image files of one size, in the order given, `rate` of them per second."""

    def __init__(self, paths: Sequence[Path], rate: Fraction) -> None:
        missing = next((p for p in paths if not p.is_file()), None)
        if missing is not None:
            raise UserError(f"there is no image {missing}, which input= names")
        if len(paths) < 2:
            what = f"one frame only ({paths[0]})" if paths else "no frame"
            raise UserError(f"input= holds {what}: frames are made between two or more")
        self.paths, self.rate = list(paths), rate
        first = read_image(self.paths[0])
        bits = 8 if first.dtype == np.uint8 else 16
        self.clip = Clip(self.paths[0].name, first.shape[0], first.shape[1], bits, rate, 1 / rate, len(self.paths))

    def frames(self) -> Iterator[Frame]:
        """See `Source`."""
        expected = (self.clip.height, self.clip.width)
        for number, path in enumerate(self.paths):
            image = read_image(path)
            if image.shape[:2] != expected:
                raise UserError(
                    f"the frames have different sizes: {self.paths[0]} is {expected[0]}x{expected[1]}, {path} is "
                    f"{image.shape[0]}x{image.shape[1]} (height x width): bring them to one size"
                )
            if image.dtype == np.uint8 and self.clip.bits > 8:
                image = image.astype(np.uint16) * 257
            elif image.dtype == np.uint16 and self.clip.bits == 8:
                image = (image / 257).round().astype(np.uint8)
            yield Frame(image, number / self.rate, 1 / self.rate)


class VideoFile:
    """A video that FFmpeg decodes: a file, or a stream that cannot be wound back."""

    def __init__(self, path: Path | None, stream: BinaryIO | None = None) -> None:
        self.path, self.name = path, "standard input" if path is None else str(path)
        self._container = self._open(stream)
        video = self._container.streams.video[0]
        video.thread_type = "AUTO"
        self._frames = self._decoded()
        first = next(self._frames, None)
        if first is None:
            raise UserError(f"input={self.name} holds no frame that can be decoded: repair it, or give another")
        self._first = first
        self.clip = self._describe(video, first)

    def frames(self) -> Iterator[Frame]:
        """See `Source`."""
        clip, number, last = self.clip, 0, None
        with self._container:
            for decoded in self._all():
                upright = _turns(decoded) % 2 == 0
                size = (decoded.height, decoded.width) if upright else (decoded.width, decoded.height)
                if size != (clip.height, clip.width):
                    raise UserError(
                        f"{self.name} changes its size from {clip.height}x{clip.width} to {size[0]}x{size[1]} after "
                        f"{number} frames: split it there"
                    )
                time = number / clip.rate if decoded.pts is None else decoded.pts * Fraction(decoded.time_base or 1)
                if last is not None and time <= last.time:  # broken time stamps
                    time = last.time + 1 / clip.rate
                last = self._frame(decoded, time)
                number += 1
                yield last
        if number < 2:
            raise UserError(f"input={self.name} holds one frame only: frames are made between two or more")

    def _frame(self, decoded: av.VideoFrame, time: Fraction) -> Frame:
        turns = _turns(decoded)
        image = np.rot90(to_rgb(decoded, self.clip.bits), turns)
        duration = Fraction(decoded.duration or 0) * Fraction(decoded.time_base or 1) or 1 / self.clip.rate
        return Frame(np.ascontiguousarray(image), time, duration, None if turns else decoded)

    def _describe(self, video: Any, first: av.VideoFrame) -> Clip:
        rate = Fraction(video.average_rate or video.guessed_rate or 24)
        seconds = Fraction(video.duration or 0) * Fraction(video.time_base or 0)
        if not seconds and self._container.duration:
            seconds = Fraction(self._container.duration, av.time_base)
        upright = _turns(first) % 2 == 0
        height, width = (first.height, first.width) if upright else (first.width, first.height)
        aspect = Fraction(video.sample_aspect_ratio or 1)
        form = first.format
        colour = Colour(int(first.color_range), int(first.colorspace), int(first.color_primaries), int(first.color_trc))
        if form.is_rgb or colour.matrix == IDENTITY:
            colour = replace(Colour(), primaries=colour.primaries, transfer=colour.transfer)
        return Clip(
            name=self.name,
            height=height,
            width=width,
            bits=max(8, min(16, form.components[0].bits)),
            rate=rate,
            tick=Fraction(video.time_base or 1 / rate),
            count=video.frames or round(seconds * rate),
            pixel_format=form.name.replace("yuvj", "yuv"),
            colour=replace(colour, range=2) if form.name.startswith("yuvj") else colour,
            pixel_aspect=aspect if upright else 1 / aspect,
            path=self.path,
            metadata=dict(self._container.metadata),
        )

    def _open(self, stream: BinaryIO | None) -> Any:
        try:
            container = av.open(str(self.path)) if stream is None else av.open(_Pipe(stream), format="yuv4mpegpipe")
        except (av.error.FFmpegError, OSError) as error:
            takes = f"a video ({VIDEOS})" if stream is None else "y4m (ffmpeg -i FILE -f yuv4mpegpipe - | ...)"
            raise UserError(f"input={self.name} cannot be read as {takes}: {error.strerror}") from error
        if not container.streams.video:
            container.close()
            raise UserError(f"input={self.name} holds no video: give a video ({VIDEOS}) or images")
        return container

    def _decoded(self) -> Iterator[av.VideoFrame]:
        number = 0
        try:
            for frame in self._container.decode(video=0):
                yield frame
                number += 1
        except av.error.FFmpegError as error:
            raise UserError(
                f"input={self.name} cannot be decoded after {number} frames ({error.strerror}): repair it, or cut it "
                "there"
            ) from error

    def _all(self) -> Iterator[av.VideoFrame]:
        yield self._first
        yield from self._frames


def read_image(path: Path) -> ImageArray:
    """An image file as H W 3, RGB, uint8 or uint16; grey becomes RGB, transparency is left out.

    Raises:
        UserError: it cannot be decoded.
    """
    content = np.frombuffer(path.read_bytes(), np.uint8)
    cut_off = path.suffix.lower() == ".png" and b"IEND" not in content[-12:].tobytes()  # decoders fill in with grey
    image = None
    if len(content) and not cut_off:
        image = cv2.imdecode(content, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    if image is None or image.dtype not in (np.uint8, np.uint16):
        raise UserError(f"{path} is not an image that can be decoded ({len(content):,} bytes): give another")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)  # type: ignore[return-value]


class _Pipe:
    """A stream with `read` alone: FFmpeg must not try to wind it back."""

    def __init__(self, stream: BinaryIO) -> None:
        self.read = stream.read


def _pipe(stream: BinaryIO) -> VideoFile:
    if stream.isatty():
        raise UserError("input=- reads y4m from a pipe, but standard input is a terminal: ffmpeg ... -f yuv4mpegpipe -")
    return VideoFile(None, stream)


def _images_in(folder: Path) -> list[Path]:
    paths = [p for p in folder.iterdir() if p.suffix.lower() in IMAGES and not p.name.startswith(".")]
    if not paths:
        raise UserError(f"the folder input={folder} holds no images ({', '.join(IMAGES[:3])}, ...)")
    return sorted(paths, key=lambda p: natural(p.name))


def _matching(pattern: str, frame_rate: Fraction) -> Source:
    paths = sorted((Path(p) for p in glob.glob(pattern)), key=lambda p: natural(str(p)))
    if not paths:
        raise UserError(f"no file matches the pattern input={pattern}")
    if len(paths) == 1 and paths[0].suffix.lower() not in IMAGES:
        return open_source(paths[0], frame_rate)
    other = next((p for p in paths if p.suffix.lower() not in IMAGES), None)
    if other is not None:
        raise UserError(f"the pattern input={pattern} matches {other}, which is no image: give one video, or images")
    return ImageFiles(paths, frame_rate)


def _turns(frame: av.VideoFrame) -> int:
    """Quarter turns to the left that a player makes (images from telephones)."""
    return round((frame.rotation or 0) / 90) % 4
