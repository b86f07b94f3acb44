"""Animated GIF, WebP and APNG, frame by frame."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from datamodules.storage.atomic_write import atomic_file
from datamodules.storage.image_io import ImageArray, has_alpha, to_bits
from datamodules.storage.media import Clip, Colour, Frame, from_rgb

# FFmpeg's container and encoder, ticks per second, and ticks that a frame lasts at least: browsers show shorter frames
# of a GIF for 100 ms.
KINDS = {".gif": ("gif", "gif", 100, 2), ".webp": ("webp", "libwebp_anim", 1000, 1), ".apng": ("apng", "apng", 1000, 1)}
OPTIONS = {".webp": {"quality": "90"}}
ENDLESS = {".gif": {"loop": "0"}, ".webp": {"loop": "0"}, ".apng": {"plays": "0"}}


@contextmanager
def write_animation(path: Path, clip: Clip) -> Iterator[AnimationWriter]:
    """Writes frames to an animated image that plays in a loop."""
    with atomic_file(path) as partial, io.FileIO(partial, "w+") as file:
        writer = AnimationWriter(file, path.suffix.lower(), clip)
        yield writer
        writer.finish()


class AnimationWriter:
    """Encodes frames of an animation; a GIF has 256 colours for each.

    Attributes:
        notes: what the format does not hold, a sentence each.
        holds_alpha: whether it holds transparency.
    """

    holds_alpha = True
    is_interrupted = False

    def __init__(self, file: io.FileIO, ending: str, clip: Clip) -> None:
        container, encoder, self._ticks, self._shortest = KINDS[ending]
        self._clip, self._ending = clip, ending
        self._container = av.open(file, "w", format=container, options=ENDLESS[ending])
        stream: Any = self._container.add_stream(encoder, rate=clip.rate, options=OPTIONS.get(ending, {}))
        self._stream, context = stream, stream.codec_context
        context.height, context.width, context.time_base = clip.height, clip.width, Fraction(1, self._ticks)
        deep = clip.bits > 8 and ending == ".apng"
        self._format = {
            ".gif": "pal8",
            ".webp": "bgra",
            ".apng": {0: "rgb24", 1: "rgba", 2: "rgb48be", 3: "rgba64be"}[2 * deep + clip.alpha],
        }[ending]
        context.pix_fmt = self._format
        self.notes = list(self._limits())
        self._waiting: Any = None  # the last packet: its duration is known at the end
        self._last = self._end = 0
        self._shown: ImageArray | None = None

    def write(self, frame: Frame) -> bool:
        """Write one frame; False: it is left out, as a repeat, or shorter than the format allows."""
        mark = round(frame.time * self._ticks)
        self._end = max(mark + 1, round((frame.time + 1 / self._clip.rate) * self._ticks))
        if self._shown is not None:
            is_repeat = np.array_equal(frame.image, self._shown)  # encoders would join some of them
            if is_repeat or mark < self._last + self._shortest:
                return False
        self._shown = frame.image
        encoded = self._encodable(frame.image)
        encoded.pts, encoded.time_base = mark, Fraction(1, self._ticks)
        self._last = mark
        self._mux(self._stream.encode(encoded))
        return True

    def finish(self) -> None:
        """Write what is held back."""
        self._mux(self._stream.encode())
        if self._waiting is not None:
            self._waiting.duration = max(self._shortest, self._end - self._last)
            self._container.mux(self._waiting)
        self._container.close()

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            if self._waiting is not None:
                self._container.mux(self._waiting)
            self._waiting = packet

    def _encodable(self, image: ImageArray) -> av.VideoFrame:
        if self._format != "pal8":
            bits = 16 if "48" in self._format or "64" in self._format else 8
            return from_rgb(to_bits(image, bits), self._format, Colour())
        image = to_bits(image, 8)
        if has_alpha(image):  # the format has one fully transparent colour
            image = np.where(image[..., 3:] < 128, 0, image | np.array([0, 0, 0, 255], np.uint8)).astype(np.uint8)
        indexed = Image.fromarray(image).quantize(256)
        colours = np.array(indexed.getpalette("RGBA"), np.uint8).reshape(-1, 4)[:, [3, 0, 1, 2]]
        palette = np.zeros((256, 4), np.uint8)
        palette[:, 0], palette[: len(colours)] = 255, colours
        return av.VideoFrame.from_ndarray((np.asarray(indexed), palette), format="pal8")  # type: ignore[arg-type]

    def _limits(self) -> Iterator[str]:
        clip, kind = self._clip, self._ending[1:]
        most = Fraction(self._ticks, self._shortest)
        if clip.rate > most:
            yield f"{kind} shows at most {most} frames/s, not {float(clip.rate):g}: the others are left out"
        if self._ending == ".gif":
            yield "gif holds 256 colours" + (" and no half transparency: alpha is rounded" if clip.alpha else "")
        if clip.bits == 32:
            yield f"{kind} holds integers: values below 0 and above 1 are clipped"
        elif clip.bits > 8 and self._ending != ".apng":
            yield f"{clip.bits} bits become 8 ({kind})"
        if clip.icc:
            yield "the colour profile (ICC) is left out"
        if clip.tracks:
            yield f"{kind} holds only the picture: left out is {', '.join(clip.tracks)}"
