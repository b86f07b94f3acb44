"""Frames of videos: what belongs to each, what is common to all, and conversion between RGB and what codecs hold."""

from __future__ import annotations

import os
import re
import threading
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.filter
import av.logging
import numpy as np
from av.video.reformatter import ColorRange

from datamodules.storage.image_io import ImageArray, has_alpha, to_bits

EXACT = "flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"
IDENTITY = 0  # the matrix of RGB
BT709 = 1
SCALER_MATRIX = {
    1: "bt709", 4: "fcc", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020", 10: "bt2020",
}  # of FFmpeg's scale filter; others are read as BT.601  # fmt: skip
RGB_FORMATS = {  # by bits, without and with alpha
    8: ("rgb24", "rgba"), 16: ("rgb48le", "rgba64le"), 32: ("gbrpf32le", "gbrapf32le"),
}  # fmt: skip
KEPT_GRAPHS = 4  # of each thread
THREADS = min(8, os.cpu_count() or 1)


@dataclass(frozen=True)
class Colour:
    """What the numbers of a video mean, in the codes of ITU-T H.273 (range: FFmpeg's, 1 limited, 2 full).

    `chroma`: where a sample of subsampled chroma lies among those of luma, in FFmpeg's words ("left", "center",
    "topleft", ...); "left" is what H.264, HEVC and MPEG-2 mean without saying.
    """

    range: int = int(ColorRange.MPEG)
    matrix: int = BT709
    primaries: int = BT709
    transfer: int = BT709
    chroma: str = "left"


@dataclass(frozen=True)
class Clip:
    """What is common to all frames of a source."""

    name: str
    height: int
    width: int
    bits: int = 8  # of images; 32: floats
    alpha: bool = False  # images are H W 4
    rate: Fraction = Fraction(24)  # frames per second, the mean where it varies
    tick: Fraction = Fraction(1, 24)  # seconds; times of frames are multiples of it
    count: int = 0  # of frames; an estimate, 0 where it is not known
    pixel_format: str | None = None  # FFmpeg's name; None for images
    colour: Colour = field(default_factory=Colour)
    pixel_aspect: Fraction = Fraction(1)
    path: Path | None = None  # of a video whose other tracks can be copied
    tracks: tuple[str, ...] = ()  # what they are, for messages
    start: Fraction = Fraction(0)  # seconds on the file's own clock at which times begin
    side_data: dict[str, bytes] = field(default_factory=dict)  # of the first frame, by FFmpeg's names
    icc: bytes | None = None  # colour profile of images
    interlaced: bool = False


@dataclass
class Frame:
    """An image, when it appears and for how long, in seconds."""

    image: ImageArray
    time: Fraction
    duration: Fraction
    native: av.VideoFrame | None = None  # as decoded: can be encoded again without conversion to RGB
    follows: bool = True  # whether it is the next after the one before; False: frames between them were left out


def to_rgb(frame: av.VideoFrame, bits: int, chroma: str = "left") -> ImageArray:
    """A decoded frame as H W 3, or H W 4 where it has alpha, by the matrix and the range that it names.

    uint8, uint16 where `bits` > 8, float32 where it is 32. `chroma`: see `Colour`.
    """
    form = frame.format
    alpha = has_alpha_plane(form)
    options = "" if form.is_rgb else f":in_color_matrix={_matrix(int(frame.colorspace))}:in_range={_range(frame)}"
    if _is_subsampled(form):
        options += f":in_chroma_loc={chroma}"
    return _scaled(frame, options, RGB_FORMATS[8 if bits == 8 else max(16, bits)][alpha]).to_ndarray()


def from_rgb(image: ImageArray, pixel_format: str, colour: Colour) -> av.VideoFrame:
    """An image as a frame for an encoder. Odd sides get one more row or column where chroma has half the size."""
    form = av.VideoFormat(pixel_format)
    bits = min(32, 8 * image.itemsize)
    if bits == 32 and "f32" not in pixel_format:
        image, bits = to_bits(image, 16), 16
    image = np.ascontiguousarray(fitted(image, pixel_format))
    frame = av.VideoFrame.from_ndarray(image, format=RGB_FORMATS[bits][has_alpha(image)])
    if form.is_rgb:
        return _scaled(frame, "", pixel_format)
    full = colour.range == ColorRange.JPEG
    options = f":out_color_matrix={_matrix(colour.matrix)}:out_range={'pc' if full else 'tv'}"
    if _is_subsampled(form):
        options += f":out_chroma_loc={colour.chroma}"
    return _scaled(frame, options, pixel_format)


def has_alpha_plane(form: av.VideoFormat) -> bool:
    """Whether a pixel format holds transparency."""
    return form.name == "pal8" or any(component.is_alpha for component in form.components)


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


def chroma_location(frame: av.VideoFrame) -> str:
    """Where a decoded frame says that its chroma lies; see `Colour`. PyAV has no attribute for it."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.INFO)
    try:
        with av.logging.Capture() as lines:
            _filtered(filter_graph(frame, ["showinfo"]), frame)
    finally:
        av.logging.set_level(level)
    found = re.search(r" cl:(\w+)", " ".join(text for _, _, text in lines))
    return found[1] if found and found[1] != "unspecified" else "left"


def _scaled(frame: av.VideoFrame, options: str, pixel_format: str) -> av.VideoFrame:
    """The frame in another pixel format; swscale without a filter knows no chroma location."""
    graphs = _LOCAL.__dict__.setdefault("graphs", {})
    key = (frame.width, frame.height, frame.format.name, options, pixel_format)
    if key not in graphs:
        if len(graphs) >= KEPT_GRAPHS:
            del graphs[next(iter(graphs))]
        graphs[key] = filter_graph(frame, [f"scale={EXACT}{options}", f"format={pixel_format}"], THREADS)
    return _filtered(graphs[key], frame)


def release_graphs() -> None:
    """End this thread's conversions: threads of theirs that are left at a fork would be waited for."""
    _LOCAL.__dict__.clear()


def filter_graph(frame: av.VideoFrame, filters: list[str], threads: int = 1) -> av.filter.Graph:
    """Filters one after the other."""
    graph = av.filter.Graph()
    graph.threads = threads
    last = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or Fraction(1, 24)
    )
    for name, _, arguments in (text.partition("=") for text in [*filters, "buffersink"]):
        node = graph.add(name, arguments or None)
        last.link_to(node)
        last = node
    graph.configure()
    return graph


def _filtered(graph: av.filter.Graph, frame: av.VideoFrame) -> av.VideoFrame:
    graph.vpush(frame)
    return graph.vpull()


def _matrix(code: int) -> str:
    return SCALER_MATRIX.get(code, "bt601")


def _range(frame: av.VideoFrame) -> str:
    return "pc" if frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj") else "tv"


def _is_subsampled(form: av.VideoFormat) -> bool:
    return not form.is_rgb and form.chroma_width(64) < 64


_LOCAL = threading.local()


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
