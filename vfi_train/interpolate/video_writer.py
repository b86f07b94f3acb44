"""Writing videos by PyAV: colours, time stamps, other tracks."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from datamodules.storage.atomic_write import atomic_file
from datamodules.storage.image_io import has_alpha, without_hidden
from datamodules.storage.media import Clip, Frame, fitted_size, from_rgb, has_alpha_plane
from vfi_train.errors import UserError
from vfi_train.interpolate.encoders import Encoding, choose_encoder, choose_pixel_format, light_is_kept, lost_in
from vfi_train.interpolate.tracks import Tracks

CONTAINERS = {
    ".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm", ".avi": "avi",
    ".y4m": "yuv4mpegpipe",
}  # fmt: skip
# With fragments, the file of a killed process is playable; closing makes an ordinary file.
FRAGMENTS = {"movflags": "+hybrid_fragmented+frag_keyframe+delay_moov", "frag_duration": "2000000"}
FINEST = 1 << 24  # of a second: time bases finer than this are rounded


@contextmanager
def write_video(path: Path | None, clip: Clip, encoding: Encoding) -> Iterator[VideoWriter]:
    """Writes frames to a video file, or as y4m to standard output where `path` is None."""
    with ExitStack() as stack:
        if path is not None:
            file = io.FileIO(stack.enter_context(atomic_file(path)), "w+")
        elif sys.stdout.isatty():
            raise UserError("output=- writes y4m to a pipe, but standard output is a terminal: | ffmpeg -i - ...")
        else:
            file = io.FileIO(os.dup(sys.stdout.fileno()), "w")
        with file:  # after an exception, the closed file keeps PyAV from writing a trailer
            writer = VideoWriter(file, path, clip, encoding)
            yield writer
            writer.finish()


class VideoWriter:
    """Encodes frames and writes them to a file.

    Args:
        file: to write to.
        path: of the complete file; None: `file` is standard output, and gets y4m.
        clip: size, depth, rate and colour.
        encoding: see `Encoding`.

    Attributes:
        notes: what the output does not hold, a sentence each.
        holds_alpha: whether it holds transparency.
        is_interrupted: set before the end: sound is copied up to the last frame instead of to its end.

    Raises:
        UserError: the encoder, the container or the sound do not go together, or are not known.
    """

    def __init__(self, file: io.FileIO, path: Path | None, clip: Clip, encoding: Encoding) -> None:
        os.environ.setdefault("SVT_LOG", "1")  # only errors
        self.path, self.clip = path, clip
        self.format = CONTAINERS[path.suffix.lower()] if path else "yuv4mpegpipe"
        self.notes: list[str] = []
        self.is_interrupted = False
        self._container = av.open(_Target(file, path), "w", format=self.format, options=self._muxing())
        self._video = self._add_video(encoding)
        self._tracks = self._add_tracks(encoding)
        self._start()
        self._waiting: Any = None  # the last packet: its duration is known at the end
        self._first_dts: int | None = None
        self._begin: Fraction | None = None  # of y4m, which has no time before its first frame
        self._late = Fraction(0)  # seconds that frames are shown beside their times, at most
        self._times: list[int] = []  # of the first frame and of the last two

    def write(self, frame: Frame) -> None:
        """Write one frame."""
        number = round(frame.time / self._unit)
        if self.format == "yuv4mpegpipe":
            self._begin = frame.time if self._begin is None else self._begin
            number = len(self._times) and self._times[-1] + 1
        elif self._times and number <= self._times[-1]:
            number = self._times[-1] + 1
        encoded = self._encodable(frame)
        encoded.pts, encoded.time_base, encoded.pict_type = number, self._unit, av.video.frame.PictureType.NONE
        if self._is_even:
            self._late = max(self._late, abs(number * self._unit - (frame.time - (self._begin or 0))))
        self._times = [*self._times[:1], *self._times[1:][-1:], number]
        for packet in self._video.encode(encoded):
            self._mux(packet)

    def finish(self) -> None:
        """Write what the encoder and the container hold back."""
        for packet in self._video.encode():
            self._mux(packet)
        if self._waiting is not None:
            end = round(self._end() / self._unit)
            self._waiting.duration = max(1, end - self._times[0] - (self._waiting.dts - self._first_dts))
            self._container.mux(self._waiting)
        if self._tracks:
            self._tracks.copy_until(self._end() if self.is_interrupted else None)
            self._tracks.finish()
        self._container.close()
        if self._late > 1 / self.clip.rate:
            self.notes.append(
                f"{self.format.replace('yuv4mpegpipe', 'y4m')} has no time stamps: frames are shown up to "
                f"{float(self._late):.2f} s beside their times; rate= makes them even"
            )

    def _end(self) -> Fraction:
        """When the last frame ends, seconds."""
        last = self._times[-1]
        gap = last - self._times[-2] if len(self._times) > 1 else round(1 / self.clip.rate / self._unit)
        return (last + gap) * self._unit

    def _mux(self, packet: Any) -> None:
        if self._first_dts is None:
            self._first_dts = packet.dts
        if self._waiting is not None:
            if self._tracks:
                self._tracks.copy_until(self._waiting.dts * self._waiting.time_base)
            self._container.mux(self._waiting)
        self._waiting = packet

    def _encodable(self, frame: Frame) -> av.VideoFrame:
        """The frame as it was decoded, where the output has its format and size, else converted from RGB."""
        context, native = self._video.codec_context, frame.native
        if native is None and has_alpha(frame.image):
            frame = replace(frame, image=without_hidden(frame.image))
        if native is not None and (native.height, native.width) == (context.height, context.width):
            if native.format.name == context.pix_fmt:
                return native
            if native.format.name == context.pix_fmt.replace("yuv", "yuvj", 1):
                return native.reformat(format=context.pix_fmt, dst_color_range=2)
        return from_rgb(frame.image, context.pix_fmt, self.clip.colour)

    def _add_video(self, encoding: Encoding) -> Any:
        clip = self.clip
        name, options = choose_encoder(encoding, self.format, clip)
        self._options = set(encoding.options)
        self._is_even = self.format in ("yuv4mpegpipe", "avi")  # without time stamps
        self._unit = 1 / clip.rate if self._is_even else max(clip.tick, Fraction(1, FINEST))
        try:
            stream: Any = self._container.add_stream(name, rate=clip.rate, options=options)
        except ValueError:
            other = " or .mkv" if self.format != "matroska" else ", or another codec"
            raise UserError(
                f"output={self.path} cannot hold {name} video: give an output that ends in .mp4{other}"
            ) from None
        context = stream.codec_context
        context.pix_fmt = choose_pixel_format(context.codec, self.format, clip, encoding.pixel_format)
        form = av.VideoFormat(context.pix_fmt)
        self.holds_alpha = has_alpha_plane(form)
        context.height, context.width = fitted_size(clip.height, clip.width, context.pix_fmt)
        context.time_base = self._unit
        context.sample_aspect_ratio = clip.pixel_aspect
        context.color_range = 2 if form.is_rgb else clip.colour.range
        context.colorspace = 0 if form.is_rgb else clip.colour.matrix
        context.color_primaries, context.color_trc = clip.colour.primaries, clip.colour.transfer
        if context.codec.name == "libx265" and self.format in ("mp4", "mov"):
            context.codec_tag = "hvc1"  # what QuickTime plays
        if self.holds_alpha and context.codec.name.startswith("libvpx"):
            stream.metadata["alpha_mode"] = "1"
        self.notes += lost_in(context.pix_fmt, clip)
        if "MASTERING_DISPLAY_METADATA" in clip.side_data and not light_is_kept(name):
            self.notes.append(f"{name} does not write the mastering display of HDR10: codec=h265 does")
        if clip.icc:
            self.notes.append("videos do not hold the images' colour profile (ICC): it is left out")
        return stream

    def _add_tracks(self, encoding: Encoding) -> Tracks | None:
        clip = self.clip
        if not encoding.tracks or clip.path is None:
            return None
        output = "-" if self.path is None else str(self.path)
        if self.format == "yuv4mpegpipe":
            self.notes += [f"y4m holds only the picture: left out is {', '.join(clip.tracks)}"] if clip.tracks else []
            return None
        tracks = Tracks(clip, self._container, self.format, output, encoding.sound, encoding.speed)
        tracks.describe(self._video, clip.rate)
        if tracks.lost:
            other = "" if self.format == "matroska" else " (.mkv holds more)"
            self.notes.append(f"left out, since {output} cannot hold it{other}: {', '.join(tracks.lost)}")
        self.notes += tracks.changed
        return tracks

    def _muxing(self) -> dict[str, str]:
        if self.format == "yuv4mpegpipe":
            return {"strict": "-1"}  # more than eight bits
        if self.format == "matroska":
            return {"default_mode": "passthrough"}  # the default tracks of the source
        return FRAGMENTS if self.format in ("mp4", "mov") else {}

    def _start(self) -> None:
        """Open the encoder and write the header, so that incompatible settings fail early."""
        try:
            self._container.start_encoding()
        except av.error.FFmpegError as error:
            context = self._video.codec_context
            sound = f" and sound of {', '.join(self._tracks.codecs)}" if self._tracks and self._tracks.codecs else ""
            raise UserError(
                f"{context.width}x{context.height} {context.pix_fmt} by {context.codec.name}{sound} cannot be written "
                f"to output={self.path} ({error.strerror}): try another codec=..., encoder_options=..., or an output "
                "that ends in .mkv"
            ) from error
        unused = self._video.codec_context.options.keys() & self._options
        if unused:
            raise UserError(
                f"encoder_options: {self._video.codec_context.codec.name} has no option {', '.join(sorted(unused))}: "
                "ffmpeg -h encoder=NAME lists them"
            )


class _Target:
    """A file as FFmpeg sees it; a pipe has only `write`."""

    def __init__(self, file: io.FileIO, path: Path | None) -> None:
        self._file = file
        if path is not None:
            self.seek, self.tell = file.seek, file.tell

    def write(self, data: bytes) -> int:
        """Write all bytes: a file may take only some of them."""
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]
        return len(data)
