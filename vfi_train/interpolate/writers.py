"""Writing frames to a video, a folder of images, one image, an animated image, or y4m through a pipe.

Files and folders appear when they are complete.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol, Self

from datamodules.storage.atomic_write import atomic_folder, write_bytes
from datamodules.storage.file_endings import ICC_ENDINGS
from datamodules.storage.image_io import encode_image, flatten, to_bits
from datamodules.storage.media import Clip, Frame
from vfi_train.errors import UserError, check_ordinary, is_disk_full, make_folder, nearest, no_empty_folders
from vfi_train.interpolate.animation_writer import KINDS as ANIMATIONS
from vfi_train.interpolate.animation_writer import write_animation
from vfi_train.interpolate.encoders import Encoding
from vfi_train.interpolate.video_writer import CONTAINERS, write_video

ENCODER_KEYS = ("codec", "quality", "encoder_options")
VIDEO_KEYS = (*ENCODER_KEYS, "pixel_format")
# Bits that an image holds at most, and whether it holds transparency.
IMAGES = {
    ".png": (16, True), ".jpg": (8, False), ".jpeg": (8, False), ".bmp": (8, False), ".ppm": (16, False),
    ".tif": (32, True), ".tiff": (32, True), ".exr": (32, True),
}  # fmt: skip


class Target(Protocol):
    """What frames are written to.

    Attributes:
        notes: what it does not hold of them, a sentence each.
        holds_alpha: whether it takes images H W 4.
        is_interrupted: set where the input did not end.
    """

    notes: list[str]
    holds_alpha: bool
    is_interrupted: bool

    def write(self, frame: Frame) -> bool | None:
        """Write one frame; False: it is left out."""
        ...


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
        given: those, and those that the output leaves out (GIF has at most 50 a second).
        target: see `Target`; within the `with` block.

    Raises:
        UserError: the output exists, its ending, codec or format is not known, or it cannot be written.
    """

    def __init__(
        self, output: str, clip: Clip, encoding: Encoding, frames: str = "png", overwrite: bool = False
    ) -> None:
        self.output, self.count, self.given = output, 0, 0
        with self._explain_errors():
            self._context = _cleaned(output, _target(output, clip, encoding, frames, overwrite))

    def __enter__(self) -> Self:
        with self._explain_errors():
            self.target = self._context.__enter__()
        return self

    def write(self, frame: Frame) -> None:
        """Write one frame."""
        with self._explain_errors():
            kept = self.target.write(frame) is not False
        self.given += 1
        self.count += kept

    def __exit__(self, *exception: Any) -> None:
        with self._explain_errors():
            self._context.__exit__(*exception)

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


def _target(
    output: str, clip: Clip, encoding: Encoding, frames: str, overwrite: bool
) -> AbstractContextManager[Target]:
    if f".{frames}" not in IMAGES:
        raise UserError(f"frames={frames} is no kind of image: {nearest(frames, [e[1:] for e in IMAGES])}")
    if output == "-":
        _refuse(encoding, ENCODER_KEYS, "y4m is not encoded")
        return write_video(None, clip, encoding)
    path = Path(output).expanduser()
    check_ordinary(path, "output", "give the name of a new file or folder, or - for y4m on standard output")
    ending = path.suffix.lower()
    if path.is_dir() or not ending or output.endswith("/"):
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            what = "is a folder that holds files" if path.is_dir() else "is a file"
            raise UserError(f"output={output} {what}: give a file such as out.mp4, or a new or empty folder for images")
        _refuse(encoding, VIDEO_KEYS, f"output={output} is a folder of images")
        return write_folder(path, f".{frames}", clip)
    if path.exists() and not overwrite:
        raise UserError(f"output={path} exists: choose another, or overwrite=true")
    known = (*CONTAINERS, *ANIMATIONS, *IMAGES)
    if ending not in known:
        raise UserError(
            f"output={path} ends in {ending}, which is none of {', '.join(known)}: give one of these, a folder "
            "(no ending), or - for y4m"
        )
    _refuse(encoding, ENCODER_KEYS if ending == ".y4m" else (), "y4m is not encoded")
    _refuse(encoding, () if ending in CONTAINERS else VIDEO_KEYS, f"output={output} is no video")
    if ending in CONTAINERS:
        return write_video(path, clip, encoding)
    return write_animation(path, clip) if ending in ANIMATIONS else write_image(path, clip)


def _refuse(encoding: Encoding, keys: Sequence[str], reason: str) -> None:
    """Raise a UserError where a key is given that has no meaning for the output."""
    for key in keys:
        if getattr(encoding, key.removeprefix("encoder_")) not in (None, {}):
            raise UserError(f"{key}= has no meaning, since {reason}: leave it out")


@contextmanager
def _cleaned(output: str, target: AbstractContextManager[Target]) -> Iterator[Target]:
    """The target, for which its folder is made; after an exception it goes again."""
    folder = Path() if output == "-" else Path(output).expanduser().parent
    with no_empty_folders(folder):
        make_folder(folder, "output")
        with target as writer:
            yield writer


class ImageWriter:
    """Writes images 000000.png, 000001.png, ... to a folder, or one image. See `Target`."""

    is_interrupted = False

    def __init__(self, path: Path, ending: str, clip: Clip, is_folder: bool) -> None:
        self.count, self.contents = 0, list[bytes]()
        self._path, self._ending, self._clip, self._is_folder = path, ending, clip, is_folder
        self._bits, self.holds_alpha = IMAGES[ending]
        self.notes = list(self._limits())

    def write(self, frame: Frame) -> None:
        """Write one frame."""
        if self.count and not self._is_folder:
            raise UserError(
                f"output={self._path} is one image, but there are more frames: give a folder, or times=[0.5] and two "
                "images"
            )
        bits = min(self._bits, self._clip.bits if self._clip.bits in (8, 32) else 16)
        image = frame.image if self.holds_alpha else flatten(frame.image)
        content = encode_image(to_bits(image, 32 if self._ending == ".exr" else bits), self._ending, self._clip.icc)
        if self._is_folder:
            (self._path / f"{self.count:06d}{self._ending}").write_bytes(content)
        else:
            self.contents.append(content)
        self.count += 1

    def _limits(self) -> Iterator[str]:
        clip, kind = self._clip, self._ending[1:]
        if clip.bits == 32 > self._bits:
            yield f"{kind} holds integers: values below 0 and above 1 are clipped (exr and tif keep them)"
        elif clip.bits > 8 == self._bits:
            yield f"{clip.bits} bits become 8 ({kind}); png and tif keep them"
        if clip.alpha and not self.holds_alpha:
            yield f"{kind} holds no transparency: frames are laid over background=... (png, tif and exr hold it)"
        if clip.icc and self._ending not in ICC_ENDINGS:
            yield f"the colour profile (ICC) is not written to {kind}"
        if clip.tracks:
            yield f"images hold only the picture: left out is {', '.join(clip.tracks)}"


@contextmanager
def write_folder(folder: Path, ending: str, clip: Clip) -> Iterator[ImageWriter]:
    """Images in a folder that is new or empty."""
    with atomic_folder(folder) as partial:
        yield ImageWriter(partial, ending, clip, is_folder=True)


@contextmanager
def write_image(path: Path, clip: Clip) -> Iterator[ImageWriter]:
    """One image in one file."""
    writer = ImageWriter(path, path.suffix.lower(), clip, is_folder=False)
    yield writer
    for content in writer.contents:
        write_bytes(path, content)
