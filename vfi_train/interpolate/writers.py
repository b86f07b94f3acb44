"""Where frames go: a video, a folder of images, one image, an animated image, or y4m through a pipe.

Everything is written beside its place, under a hidden name, and renamed when it is whole.
"""

from __future__ import annotations

import errno
import shutil
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from PIL import Image

from vfi_train.errors import UserError, nearest
from vfi_train.interpolate.media import Clip, Frame, ImageArray
from vfi_train.interpolate.video_writer import CONTAINERS, Encoding, VideoSink

ANIMATIONS = (".gif", ".webp", ".apng")
IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".tif", ".tiff")
DEEP = (".png", ".ppm", ".tif", ".tiff")  # these hold 16 bits
SHORTEST = {".gif": 20, ".webp": 1, ".apng": 1}  # milliseconds; browsers take shorter GIF frames for 100
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Sink(Protocol):
    """Takes frames in order, then is finished or abandoned."""

    def write(self, frame: Frame) -> None:
        """Write one frame."""
        ...

    def finish(self) -> None:
        """Complete what was written and give it its name."""
        ...

    def abandon(self) -> None:
        """Leave nothing behind."""
        ...


def has_clock(output: str) -> bool:
    """Whether what is written plays at a pace of its own, so that its last frame is held as long as the source's."""
    return output == "-" or Path(output).suffix.lower() in (*CONTAINERS, *ANIMATIONS)


def open_sink(output: str, clip: Clip, encoding: Encoding, frames: str = "png", overwrite: bool = False) -> Sink:
    """The sink that `output=` means.

    Args:
        output: a path or "-"; its ending says what is written, no ending means a folder of images.
        clip: what is written: size, depth, rate, colour.
        encoding: of videos.
        frames: ending of the images in a folder.
        overwrite: replace a file that is there.

    Raises:
        UserError: the output exists, or its ending, codec or format is not known.
    """
    try:
        return _open(output, clip, encoding, frames, overwrite)
    except OSError as error:
        raise unwritable(error, 0, output) from error


def unwritable(error: OSError, count: int, output: str = "") -> UserError:
    """What an error of the file system means, after `count` frames."""
    if error.errno in DISK_FULL:
        return UserError(
            f"the disk of output={output} is full after {count} frames, and what was written is removed again: make "
            "room, or choose another output"
        )
    if isinstance(error, BrokenPipeError):
        return UserError(f"what reads standard output ended after {count} frames")
    return UserError(f"output={output} cannot be written after {count} frames: {error.strerror or error}")


def _open(output: str, clip: Clip, encoding: Encoding, frames: str, overwrite: bool) -> Sink:
    if output == "-":
        return VideoSink(None, clip, encoding)
    path = Path(output).expanduser()
    ending = path.suffix.lower()
    if path.is_dir() or not ending or output.endswith("/"):
        if f".{frames}" not in IMAGES:
            raise UserError(f"frames={frames} is no kind of image: {nearest(frames, [e[1:] for e in IMAGES])}")
        return FolderSink(path, f".{frames}", clip.bits)
    if path.exists() and not overwrite:
        raise UserError(f"output={path} exists: choose another, or overwrite=true")
    known = (*CONTAINERS, *ANIMATIONS, *IMAGES)
    if ending not in known:
        raise UserError(
            f"output={path} ends in {ending}, which is none of {', '.join(known)}: give one of these, a folder "
            "(no ending), or - for y4m"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    if ending in CONTAINERS:
        return VideoSink(path, clip, encoding)
    return AnimationSink(path, clip.rate) if ending in ANIMATIONS else ImageSink(path, clip.bits)


class FolderSink:
    """Images 000000.png, 000001.png, ... in a folder that is new or empty."""

    def __init__(self, folder: Path, ending: str, bits: int) -> None:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UserError(f"the folder output={folder} is not empty: choose another, or empty it")
        self.folder, self.ending, self.bits = folder, ending, bits
        self.partial = folder.with_name(f".{folder.name}.part")
        shutil.rmtree(self.partial, ignore_errors=True)
        self.partial.mkdir(parents=True)
        self.count = 0

    def write(self, frame: Frame) -> None:
        """See `Sink`."""
        (self.partial / f"{self.count:06d}{self.ending}").write_bytes(encode(frame.image, self.ending))
        self.count += 1

    def finish(self) -> None:
        """See `Sink`."""
        if self.folder.exists():
            self.folder.rmdir()
        self.partial.replace(self.folder)

    def abandon(self) -> None:
        """See `Sink`."""
        shutil.rmtree(self.partial, ignore_errors=True)


class ImageSink:
    """One image in one file."""

    def __init__(self, path: Path, bits: int) -> None:
        self.path, self.bits = path, bits
        self.content: bytes | None = None

    def write(self, frame: Frame) -> None:
        """See `Sink`."""
        if self.content is not None:
            raise UserError(
                f"output={self.path} is one image, but more frames are wanted: give a folder, or times=[0.5] and "
                "two images"
            )
        self.content = encode(frame.image, self.path.suffix.lower())

    def finish(self) -> None:
        """See `Sink`."""
        partial = _partial(self.path)
        try:
            partial.write_bytes(self.content or b"")
            partial.replace(self.path)
        finally:
            partial.unlink(missing_ok=True)

    def abandon(self) -> None:
        """See `Sink`."""


class AnimationSink:
    """A GIF, WebP or APNG that plays for ever."""

    def __init__(self, path: Path, rate: Fraction) -> None:
        self.path, self.rate = path, rate
        self.images: list[Image.Image] = []
        self.times: list[Fraction] = []

    def write(self, frame: Frame) -> None:
        """See `Sink`. Frames are kept, those of a GIF with their 256 colours alone."""
        image = Image.fromarray(eight_bits(frame.image))
        self.images.append(image.quantize(256) if self.path.suffix.lower() == ".gif" else image)
        self.times.append(frame.time)

    def finish(self) -> None:
        """See `Sink`."""
        if not self.images:
            return
        ending = self.path.suffix.lower()
        options: dict[str, Any] = {"quality": 90, "method": 4} if ending == ".webp" else {}
        partial = _partial(self.path)
        try:
            first, *rest = self.images
            form = {".gif": "GIF", ".webp": "WEBP", ".apng": "PNG"}[ending]
            with partial.open("wb") as file:
                first.save(file, form, save_all=True, append_images=rest, duration=self.durations(), loop=0, **options)
            partial.replace(self.path)
        finally:
            partial.unlink(missing_ok=True)

    def abandon(self) -> None:
        """See `Sink`."""
        self.images.clear()

    def durations(self) -> list[int]:
        """Milliseconds of each frame. The format's unit is rounded to, so that the sum stays true."""
        ending = self.path.suffix.lower()
        unit = 10 if ending == ".gif" else 1
        ends = [*self.times[1:], self.times[-1] + 1 / self.rate]
        marks = [round((time - self.times[0]) * 1000 / unit) for time in [self.times[0], *ends]]
        return [max((after - before) * unit, SHORTEST[ending]) for before, after in pairwise(marks)]


def encode(image: ImageArray, ending: str) -> bytes:
    """An image file's content; 16 bits where the ending holds them."""
    shown = image if ending in DEEP else eight_bits(image)
    options = {".png": [cv2.IMWRITE_PNG_COMPRESSION, 3], ".jpg": [cv2.IMWRITE_JPEG_QUALITY, 95]}
    _, content = cv2.imencode(ending, cv2.cvtColor(shown, cv2.COLOR_RGB2BGR), options.get(ending.replace("e", ""), []))
    return content.tobytes()


def eight_bits(image: ImageArray) -> np.ndarray:
    """The image as uint8, rounded."""
    return image if image.dtype == np.uint8 else (image / 257).round().astype(np.uint8)


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")
