"""Writing frames to a video, a folder of images, one image, an animated image, or y4m through a pipe.

Files and folders appear when they are complete.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from fractions import Fraction
from itertools import count, pairwise
from pathlib import Path
from typing import Any, Self

import cv2
from PIL import Image

from datamodules.storage.atomic_write import atomic_file, atomic_folder, write_bytes
from datamodules.storage.image_io import ImageArray, to_bits
from datamodules.storage.media import Clip, Frame
from vfi_train.errors import UserError, is_disk_full, make_folder, nearest
from vfi_train.interpolate.video_writer import CONTAINERS, Encoding, write_video

ANIMATIONS = {".gif": "GIF", ".webp": "WEBP", ".apng": "PNG"}
IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".tif", ".tiff")
SIXTEEN_BITS = (".png", ".ppm", ".tif", ".tiff")
SHORTEST = {".gif": 20, ".webp": 1, ".apng": 1}  # milliseconds; browsers show shorter GIF frames for 100

Write = Callable[[Frame], None]


def has_clock(output: str) -> bool:
    """Whether the output has a frame rate, so that its last frame is shown as long as the input's."""
    return output == "-" or Path(output).suffix.lower() in (*CONTAINERS, *ANIMATIONS)


class OutputWriter:
    """Writes frames in order within a `with` block. After an exception nothing is left.

    Args:
        output: a path or "-" (y4m on standard output); the path's ending says what is written, no ending means a
            folder of images.
        clip: size, depth, rate and colour of the output.
        encoding: of videos.
        frames: ending of the images in a folder.
        overwrite: replace an existing file.

    Attributes:
        count: frames that are written.

    Raises:
        UserError: the output exists, its ending, codec or format is not known, or it cannot be written.
    """

    def __init__(
        self, output: str, clip: Clip, encoding: Encoding, frames: str = "png", overwrite: bool = False
    ) -> None:
        self.output, self.count = output, 0
        with self._explain_errors():
            self._target = _target(output, clip, encoding, frames, overwrite)

    def __enter__(self) -> Self:
        with self._explain_errors():
            self._write = self._target.__enter__()
        return self

    def write(self, frame: Frame) -> None:
        """Write one frame."""
        with self._explain_errors():
            self._write(frame)
        self.count += 1

    def __exit__(self, *exception: Any) -> None:
        with self._explain_errors():
            self._target.__exit__(*exception)

    @contextmanager
    def _explain_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(self._explain(error)) from error

    def _explain(self, error: OSError) -> str:
        if is_disk_full(error) or error.errno == errno.EFBIG:
            return (
                f"the disk of output={self.output} is full after {self.count} frames, and what was written is removed: "
                "make room, or choose another output"
            )
        if isinstance(error, BrokenPipeError):
            return f"the reader of standard output ended after {self.count} frames"
        return f"output={self.output} cannot be written after {self.count} frames: {error.strerror or error}"


def _target(output: str, clip: Clip, encoding: Encoding, frames: str, overwrite: bool) -> AbstractContextManager[Write]:
    if output == "-":
        return write_video(None, clip, encoding)
    path = Path(output).expanduser()
    ending = path.suffix.lower()
    if path.is_dir() or not ending or output.endswith("/"):
        if f".{frames}" not in IMAGES:
            raise UserError(f"frames={frames} is no kind of image: {nearest(frames, [e[1:] for e in IMAGES])}")
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            what = "is a folder that holds files" if path.is_dir() else "is a file"
            raise UserError(f"output={output} {what}: give a file such as out.mp4, or a new or empty folder for images")
        return write_folder(path, f".{frames}")
    if path.exists() and not overwrite:
        raise UserError(f"output={path} exists: choose another, or overwrite=true")
    known = (*CONTAINERS, *ANIMATIONS, *IMAGES)
    if ending not in known:
        raise UserError(
            f"output={path} ends in {ending}, which is none of {', '.join(known)}: give one of these, a folder "
            "(no ending), or - for y4m"
        )
    make_folder(path.parent, "output")
    if ending in CONTAINERS:
        return write_video(path, clip, encoding)
    return write_animation(path, clip.rate) if ending in ANIMATIONS else write_image(path)


@contextmanager
def write_folder(folder: Path, ending: str) -> Iterator[Write]:
    """Images 000000.png, 000001.png, ... in a folder that is new or empty."""
    numbers = count()
    with atomic_folder(folder) as partial:

        def write(frame: Frame) -> None:
            (partial / f"{next(numbers):06d}{ending}").write_bytes(encode(frame.image, ending))

        yield write


@contextmanager
def write_image(path: Path) -> Iterator[Write]:
    """One image in one file."""
    contents: list[bytes] = []

    def write(frame: Frame) -> None:
        if contents:
            raise UserError(
                f"output={path} is one image, but there are more frames: give a folder, or times=[0.5] and two images"
            )
        contents.append(encode(frame.image, path.suffix.lower()))

    yield write
    for content in contents:
        write_bytes(path, content)


@contextmanager
def write_animation(path: Path, rate: Fraction) -> Iterator[Write]:
    """A GIF, WebP or APNG that plays in a loop. Frames are held in memory, those of a GIF with their 256 colours."""
    ending = path.suffix.lower()
    images: list[Image.Image] = []
    times: list[Fraction] = []

    def write(frame: Frame) -> None:
        image = Image.fromarray(to_bits(frame.image, 8))
        images.append(image.quantize(256) if ending == ".gif" else image)
        times.append(frame.time)

    yield write
    if not images:
        return
    options: dict[str, Any] = {"quality": 90, "method": 4} if ending == ".webp" else {}
    options |= {"append_images": images[1:], "duration": durations([*times, times[-1] + 1 / rate], ending)}
    with atomic_file(path) as partial, partial.open("wb") as file:
        images[0].save(file, ANIMATIONS[ending], save_all=True, loop=0, **options)


def durations(times: Sequence[Fraction], ending: str) -> list[int]:
    """Milliseconds between times in seconds; the times, not the durations, are rounded to the format's unit."""
    unit = 10 if ending == ".gif" else 1
    marks = [round((time - times[0]) * 1000 / unit) for time in times]
    return [max((after - before) * unit, SHORTEST[ending]) for before, after in pairwise(marks)]


def encode(image: ImageArray, ending: str) -> bytes:
    """The content of an image file; 16 bits where the format holds them."""
    image = image if ending in SIXTEEN_BITS else to_bits(image, 8)
    options = {".png": [cv2.IMWRITE_PNG_COMPRESSION, 3], ".jpg": [cv2.IMWRITE_JPEG_QUALITY, 95]}
    _, content = cv2.imencode(ending, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options.get(ending.replace("e", ""), []))
    return content.tobytes()
