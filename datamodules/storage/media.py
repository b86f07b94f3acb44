"""Frames of videos: what belongs to each, what is common to all, and conversion between RGB and what codecs hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation

from datamodules.storage.image_io import ImageArray

EXACT = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
UNSPECIFIED = 2  # of matrix, primaries and transfer
IDENTITY = 0  # the matrix of RGB
BT709 = 1
SCALER_MATRIX = {
    1: Colorspace.ITU709, 4: Colorspace.FCC, 5: Colorspace.ITU601, 6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M, 9: Colorspace.BT2020, 10: Colorspace.BT2020,
}  # fmt: skip


@dataclass(frozen=True)
class Colour:
    """What the numbers of a video mean, in the codes of ITU-T H.273 (range: FFmpeg's, 1 limited, 2 full)."""

    range: int = int(ColorRange.MPEG)
    matrix: int = BT709
    primaries: int = BT709
    transfer: int = BT709


@dataclass(frozen=True)
class Clip:
    """What is common to all frames of a source."""

    name: str
    height: int
    width: int
    bits: int = 8
    rate: Fraction = Fraction(24)  # frames per second, the mean where it varies
    tick: Fraction = Fraction(1, 24)  # seconds; times of frames are multiples of it
    count: int = 0  # of frames; an estimate, 0 where it is not known
    pixel_format: str | None = None  # FFmpeg's name; None for images
    colour: Colour = field(default_factory=Colour)
    pixel_aspect: Fraction = Fraction(1)
    path: Path | None = None  # of a video whose sound can be copied
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass
class Frame:
    """An image, when it appears and for how long, in seconds."""

    image: ImageArray
    time: Fraction
    duration: Fraction
    native: av.VideoFrame | None = None  # as decoded: can be encoded again without conversion to RGB


def to_rgb(frame: av.VideoFrame, bits: int) -> ImageArray:
    """A decoded frame as H W 3, by the matrix and the range that it names: uint8, or uint16 where `bits` > 8."""
    form = "rgb24" if bits == 8 else "rgb48le"
    return frame.reformat(format=form, interpolation=EXACT).to_ndarray()


def from_rgb(image: ImageArray, pixel_format: str, colour: Colour) -> av.VideoFrame:
    """An image as a frame for an encoder. Odd sides get one more row or column where chroma has half the size."""
    image = fitted(image, pixel_format)
    form = "rgb24" if image.dtype == np.uint8 else "rgb48le"
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format=form)
    if av.VideoFormat(pixel_format).is_rgb:
        return frame.reformat(format=pixel_format, interpolation=EXACT)
    return frame.reformat(
        format=pixel_format,
        dst_colorspace=SCALER_MATRIX.get(colour.matrix, Colorspace.DEFAULT),
        dst_color_range=ColorRange.JPEG if colour.range == ColorRange.JPEG else ColorRange.MPEG,
        interpolation=EXACT,
    )


def fitted(image: ImageArray, pixel_format: str) -> ImageArray:
    """The image with its last row or column repeated where the format takes only even sides."""
    height, width = fitted_size(image.shape[0], image.shape[1], pixel_format)
    bottom, right = height - image.shape[0], width - image.shape[1]
    return np.pad(image, ((0, bottom), (0, right), (0, 0)), mode="edge") if bottom or right else image


def fitted_size(height: int, width: int, pixel_format: str) -> tuple[int, int]:
    """Height and width rounded up to multiples of the chroma subsampling."""
    chroma = av.VideoFormat(pixel_format, 64, 64)
    rows, columns = 64 // chroma.chroma_height(), 64 // chroma.chroma_width()
    return -(-height // rows) * rows, -(-width // columns) * columns


@dataclass(frozen=True)
class Orientation:
    """How a decoded image is shown: rows and columns exchanged, then rows, columns reversed."""

    transposed: bool = False
    rows: bool = False
    columns: bool = False

    @classmethod
    def of(cls, frame: av.VideoFrame) -> Orientation:
        """The nearest to a frame's display matrix; `frame.rotation` is wrong for matrices that mirror."""
        data: Any = frame.side_data.get("DISPLAYMATRIX")
        if data is None:
            return cls()
        # A pixel (x, y) is shown at (a x + c y, b x + d y).
        a, b, _, c, d = np.frombuffer(data, np.int32, 5).tolist()
        if abs(a) + abs(d) >= abs(b) + abs(c):
            return cls(False, d < 0, a < 0)
        return cls(True, b < 0, c < 0)

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width as shown."""
        return (width, height) if self.transposed else (height, width)

    def apply(self, image: ImageArray) -> ImageArray:
        """The image as shown."""
        image = image.swapaxes(0, 1) if self.transposed else image
        return np.ascontiguousarray(image[:: -1 if self.rows else 1, :: -1 if self.columns else 1])
