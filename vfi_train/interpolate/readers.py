"""What `input=` means: images, folders, patterns, videos, or y4m through a pipe."""

from __future__ import annotations

import glob
import re
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from datamodules.storage.clips import AnimatedImage, FrameSource, ImageFiles
from datamodules.storage.file_endings import IMAGES
from datamodules.storage.image_io import list_images, natural_key
from datamodules.storage.video_file import VideoFile
from vfi_train.errors import UserError, check_ordinary

PIPE = "-"
Input = str | Path | Sequence[str | Path]


def open_source(given: Input, frame_rate: Fraction | None = None, deinterlace: str | None = None) -> FrameSource:
    """The frames of a video, a folder of images, a pattern, a list of images, or "-"; with alpha.

    Args:
        given: a path, a pattern with *, ? or [...], a list of images, or "-" for y4m on standard input.
        frame_rate: of images, per second; None: 24. Videos have their own.
        deinterlace: of videos, see `VideoFile`.

    Raises:
        UserError: it does not exist, cannot be read, or is fewer than two images.
    """
    if not isinstance(given, (str, Path)):
        return _image_files([Path(p).expanduser() for p in given], frame_rate)
    if str(given) == PIPE:
        if sys.stdin.buffer.isatty():
            raise UserError(
                "input=- reads y4m from a pipe, but standard input is a terminal: ffmpeg ... -f yuv4mpegpipe -"
            )
        return _timed(VideoFile(None, sys.stdin.buffer, deinterlace=deinterlace), frame_rate)
    path = Path(given).expanduser()
    if path.is_dir():
        images = list_images(path)
        if not images:
            raise UserError(f"the folder input={path} holds no images ({', '.join(IMAGES[:3])}, ...)")
        return _image_files(images, frame_rate)
    if path.is_file():
        ending = path.suffix.lower()
        if ending in (".webp", ".png") and AnimatedImage.holds(path):
            return _timed(AnimatedImage(path) if ending == ".webp" else VideoFile(path, alpha=True), frame_rate)
        if ending in IMAGES:
            raise UserError(f"input={path} is one frame only: give two images or more, input=[{path},OTHER]")
        return _timed(VideoFile(path, alpha=True, deinterlace=deinterlace), frame_rate)
    check_ordinary(path, "input", "give a file, or - to read y4m from standard input")
    if re.search(r"%\d*d", str(given)):
        pattern = re.sub(r"%\d*d", "*", str(given))
        raise UserError(f"input={given} is written as for FFmpeg: numbers are found by input={pattern}")
    if glob.has_magic(str(given)):
        return _matching(str(path), frame_rate, deinterlace)
    raise UserError(f"there is no file or folder input={path}: give a video, a folder, a pattern or a list of images")


def _image_files(paths: Sequence[Path], frame_rate: Fraction | None) -> ImageFiles:
    missing = next((p for p in paths if not p.is_file()), None)
    if missing is not None:
        check_ordinary(missing, "input", "give an image")
        raise UserError(f"there is no image {missing}, which input= names")
    if len(paths) < 2:
        count = f"one frame only ({paths[0]})" if paths else "no frame"
        raise UserError(f"input= holds {count}: frames are made between two or more")
    return ImageFiles(paths, frame_rate or Fraction(24), alpha=True)


def _timed(source: FrameSource, frame_rate: Fraction | None) -> FrameSource:
    if frame_rate is not None:
        source.close()
        raise UserError(
            f"frame_rate={frame_rate} is of images, and {source.clip.name} has its own times: output_rate= is the rate "
            "at which the output plays"
        )
    return source


def _matching(pattern: str, frame_rate: Fraction | None, deinterlace: str | None) -> FrameSource:
    paths = sorted((Path(p) for p in glob.glob(pattern)), key=lambda p: natural_key(str(p)))
    if not paths:
        raise UserError(f"no file matches the pattern input={pattern}")
    if len(paths) == 1 and paths[0].suffix.lower() not in IMAGES:
        return open_source(paths[0], frame_rate, deinterlace)
    other = next((p for p in paths if p.suffix.lower() not in IMAGES), None)
    if other is not None:
        raise UserError(
            f"the pattern input={pattern} matches {other}, which is not an image: give one video, or images"
        )
    return _image_files(paths, frame_rate)
