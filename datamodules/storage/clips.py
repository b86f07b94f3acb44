"""Clips: videos, and image files in order, as sequences of frames."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from PIL import Image

from datamodules.storage.file_endings import IMAGES, VIDEOS
from datamodules.storage.image_io import flatten, has_alpha, list_images, natural_key, read_icc, read_image, to_bits
from datamodules.storage.media import Clip, Frame
from datamodules.storage.video_file import VideoFile
from vfi_train.errors import DataError, check_ordinary


class FrameSource(Protocol):
    """Frames in order, and what is common to them."""

    clip: Clip
    problems: list[str]

    def frames(self) -> Iterator[Frame]:
        """The frames, each later than the one before.

        Frames of a video that cannot be decoded are left out, and those of another size than the first are scaled or
        left out; `problems` says so, a sentence each, after the last one.

        Raises:
            DataError: there are fewer than two, images differ in size, or one cannot be decoded.
        """
        ...

    def close(self) -> None:
        """Close the file."""
        ...


class ImageFiles:
    """Image files of one size, in the order given. See `FrameSource`.

    Args:
        paths: two or more.
        rate: frames per second.
        bits: 8: images are uint8; None: all are as deep as the first.
        alpha: images are H W 4 where the first is; otherwise transparent ones are laid over black.

    Raises:
        DataError: the first cannot be read.
    """

    def __init__(
        self, paths: Sequence[Path], rate: Fraction = Fraction(24), bits: int | None = None, alpha: bool = False
    ) -> None:
        self.paths, self.problems = list(paths), list[str]()
        first = read_image(self.paths[0], alpha)
        self.clip = Clip(
            self.paths[0].name, first.shape[0], first.shape[1], bits or 8 * first.itemsize, has_alpha(first), rate,
            1 / rate, len(self.paths), icc=read_icc(self.paths[0]),
        )  # fmt: skip

    def frames(self) -> Iterator[Frame]:
        """See `FrameSource`."""
        clip = self.clip
        for number, path in enumerate(self.paths):
            image = read_image(path, clip.alpha)
            if image.shape[:2] != (clip.height, clip.width):
                raise DataError(
                    f"the frames have different sizes: {self.paths[0]} is {clip.height}x{clip.width}, {path} is "
                    f"{image.shape[0]}x{image.shape[1]} (height x width): bring them to one size"
                )
            if clip.alpha and not has_alpha(image):
                opaque = np.full_like(image[..., :1], 1 if image.dtype == np.float32 else np.iinfo(image.dtype).max)
                image = np.concatenate((image, opaque), axis=-1)
            yield Frame(to_bits(image, clip.bits), number / clip.rate, 1 / clip.rate)

    def close(self) -> None:
        """See `FrameSource`."""


class AnimatedImage:
    """A WebP with more than one frame, which FFmpeg does not read: H W 4 where it is transparent. See `FrameSource`."""

    def __init__(self, path: Path) -> None:
        self.path, self.problems = path, list[str]()
        with Image.open(path) as image:
            seconds, count = [], getattr(image, "n_frames", 1)
            for number in range(count):
                image.seek(number)
                image.load()
                seconds.append(Fraction(round(image.info.get("duration") or 100), 1000))
            self._seconds, self.clip = seconds, Clip(
                path.name, image.height, image.width, alpha=image.has_transparency_data,
                rate=count / sum(seconds, Fraction(0)), tick=Fraction(1, 1000), count=count,
                icc=image.info.get("icc_profile"),
            )  # fmt: skip

    @staticmethod
    def holds(path: Path) -> bool:
        """Whether an image file is one."""
        try:
            with Image.open(path) as image:
                return bool(getattr(image, "is_animated", False))
        except (OSError, ValueError):
            return False

    def frames(self) -> Iterator[Frame]:
        """See `FrameSource`."""
        time = Fraction(0)
        with Image.open(self.path) as image:
            for number, duration in enumerate(self._seconds):
                image.seek(number)
                array = np.asarray(image.convert("RGBA"))
                yield Frame(array if self.clip.alpha else flatten(array), time, duration)
                time += duration

    def close(self) -> None:
        """See `FrameSource`."""


@dataclass(frozen=True)
class ClipPath:
    """A video or a folder of images, with a readable name."""

    path: Path
    name: str
    deinterlace: str | None = None  # see `VideoFile`

    def identity(self) -> str:
        """A hash of names, sizes and times of the files, and of how they are deinterlaced."""
        files = list_images(self.path) if self.path.is_dir() else [self.path]
        facts: list[object] = [(str(p.resolve()), p.stat().st_size, p.stat().st_mtime_ns) for p in files]
        facts += [] if self.deinterlace is None else [self.deinterlace]
        return hashlib.sha256(repr(facts).encode()).hexdigest()

    def open(self) -> FrameSource:
        """Its frames, uint8, upright, without alpha, of one size: that of the first; others are left out."""
        if self.path.is_dir():
            return ImageFiles(list_images(self.path), bits=8)
        return VideoFile(self.path, bits=8, deinterlace=self.deinterlace, other_sizes="skip")

    def frames(self, max_side: int | None = None, source: FrameSource | None = None) -> Iterator[Frame]:
        """All frames, H W 3, uint8, RGB, scaled down to `max_side`; `source`: what `open` has given."""
        source = source or self.open()
        height, width = scaled_size(source.clip.height, source.clip.width, max_side)
        for frame in source.frames():
            if frame.image.shape[:2] != (height, width):
                frame.image = cv2.resize(frame.image, (width, height), interpolation=cv2.INTER_AREA)
            yield frame


def find_clips(root: Path, deinterlace: str | None = None) -> list[ClipPath]:
    """All clips in a folder and below, by name; or the one that `root` is.

    Raises:
        DataError: there is none.
    """
    if not root.exists():
        raise DataError(f"there is no data.root={root}: give a video, a folder of videos, or folders of frames")
    check_ordinary(root, "data.root", "give a video, a folder of videos, or folders of frames")
    if root.is_file():
        return [ClipPath(root, root.stem, deinterlace)]
    below = sorted(p for p in root.rglob("*") if not any(part.startswith(".") for part in p.relative_to(root).parts))
    videos = [p for p in below if p.suffix.lower() in VIDEOS and p.is_file()]
    folders = [p for p in (root, *below) if p.is_dir() and len(list_images(p)) > 1]
    names = [str(p.relative_to(root).with_suffix("")) for p in videos]
    clips = [
        ClipPath(path, name if names.count(name) == 1 else str(path.relative_to(root)), deinterlace)
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
