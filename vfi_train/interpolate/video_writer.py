"""Writing videos by PyAV: codecs, colours, time stamps, sound."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from datamodules.storage.atomic_write import atomic_file
from datamodules.storage.media import Clip, Frame, fitted_size, from_rgb
from vfi_train.errors import UserError, nearest

CONTAINERS = {
    ".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm", ".avi": "avi",
    ".y4m": "yuv4mpegpipe",
}  # fmt: skip
# With fragments, the file of a killed process is playable; closing makes an ordinary file.
FRAGMENTS = {"movflags": "+hybrid_fragmented+frag_keyframe+delay_moov", "frag_duration": "2000000"}
FINEST = 1 << 24  # of a second: time bases finer than this are rounded
ENCODERS: dict[str, tuple[str, dict[str, str]]] = {
    "h264": ("libx264", {"crf": "18"}),
    "h265": ("libx265", {"crf": "20", "x265-params": "log-level=none"}),
    "av1": ("libsvtav1", {"crf": "24"}),
    "vp9": ("libvpx-vp9", {"crf": "24", "b": "0", "row-mt": "1"}),
    "ffv1": ("ffv1", {}),
}
SAME = {"hevc": "h265", "x264": "h264", "x265": "h265", "libx264": "h264", "libx265": "h265", "libsvtav1": "av1"}


@dataclass(frozen=True)
class Encoding:
    """How videos are encoded.

    `codec`: h264, h265, av1, vp9, ffv1, or an encoder's name in FFmpeg; None: h264 (av1 in .webm). `quality`: the
    encoder's constant rate factor, smaller is better; None: visually nearly lossless. `options`: of the encoder, as
    FFmpeg names them. `pixel_format`: None keeps the input's where the codec takes it. `sound`: a file whose sound is
    copied.
    """

    codec: str | None = None
    quality: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    pixel_format: str | None = None
    sound: Path | None = None


@contextmanager
def write_video(path: Path | None, clip: Clip, encoding: Encoding) -> Iterator[Callable[[Frame], None]]:
    """A function that writes frames to a video file, or as y4m to standard output where `path` is None."""
    with ExitStack() as stack:
        if path is not None:
            file = io.FileIO(stack.enter_context(atomic_file(path)), "w+")
        elif sys.stdout.isatty():
            raise UserError("output=- writes y4m to a pipe, but standard output is a terminal: | ffmpeg -i - ...")
        else:
            file = io.FileIO(os.dup(sys.stdout.fileno()), "w")
        with file:  # after an exception, the closed file keeps PyAV from writing a trailer
            writer = VideoWriter(file, path, clip, encoding)
            yield writer.write
            writer.finish()


class VideoWriter:
    """Encodes frames and writes them to a file.

    Args:
        file: to write to.
        path: of the complete file; None: `file` is standard output, and gets y4m.
        clip: size, depth, rate and colour.
        encoding: see `Encoding`.

    Raises:
        UserError: the encoder, the container or the sound do not go together, or are not known.
    """

    def __init__(self, file: io.FileIO, path: Path | None, clip: Clip, encoding: Encoding) -> None:
        os.environ.setdefault("SVT_LOG", "1")  # only errors
        self.path, self.clip = path, clip
        self.format = CONTAINERS[path.suffix.lower()] if path else "yuv4mpegpipe"
        self._container = av.open(_Target(file, path), "w", format=self.format, options=self._muxing())
        self._video = self._add_video(encoding)
        self._sound = Sound(encoding.sound, self._container, str(path)) if encoding.sound else None
        self._start()
        self._waiting: Any = None  # the last packet: its duration is known at the end
        self._first_dts: int | None = None
        self._times: list[int] = []  # of the first frame and of the last two

    def write(self, frame: Frame) -> None:
        """Write one frame."""
        number = round(frame.time / self._unit)
        if self._times and (number <= self._times[-1] or self.format == "yuv4mpegpipe"):
            number = self._times[-1] + 1
        encoded = self._encodable(frame)
        encoded.pts, encoded.time_base, encoded.pict_type = number, self._unit, av.video.frame.PictureType.NONE
        self._times = [*self._times[:1], *self._times[1:][-1:], number]
        for packet in self._video.encode(encoded):
            self._mux(packet)

    def finish(self) -> None:
        """Write what the encoder and the container hold back."""
        for packet in self._video.encode():
            self._mux(packet)
        if self._waiting is not None:
            last = self._times[-1]
            gap = last - self._times[-2] if len(self._times) > 1 else round(1 / self.clip.rate / self._unit)
            self._waiting.duration = max(1, last + gap - self._times[0] - (self._waiting.dts - self._first_dts))
            self._container.mux(self._waiting)
            if self._sound:
                self._sound.copy_until((last + gap) * self._unit)
        self._container.close()

    def _mux(self, packet: Any) -> None:
        if self._first_dts is None:
            self._first_dts = packet.dts
        if self._waiting is not None:
            if self._sound:
                self._sound.copy_until(self._waiting.dts * self._waiting.time_base)
            self._container.mux(self._waiting)
        self._waiting = packet

    def _encodable(self, frame: Frame) -> av.VideoFrame:
        """The frame as it was decoded, where the output has its format and size, else converted from RGB."""
        context, native = self._video.codec_context, frame.native
        if native is None or (native.height, native.width) != (context.height, context.width):
            return from_rgb(frame.image, context.pix_fmt, self.clip.colour)
        if native.format.name == context.pix_fmt:
            return native
        if native.format.name == context.pix_fmt.replace("yuv", "yuvj", 1):
            return native.reformat(format=context.pix_fmt, dst_color_range=2)
        return from_rgb(frame.image, context.pix_fmt, self.clip.colour)

    def _add_video(self, encoding: Encoding) -> Any:
        clip = self.clip
        name, options = self._encoder(encoding)
        self._options = set(encoding.options)
        self._unit = 1 / clip.rate if self.format == "yuv4mpegpipe" else max(clip.tick, Fraction(1, FINEST))
        try:
            stream: Any = self._container.add_stream(name, rate=clip.rate, options=options)
        except ValueError:
            other = " or .mkv" if self.format != "matroska" else ", or another codec"
            raise UserError(
                f"output={self.path} cannot hold {name} video: give an output that ends in .mp4{other}"
            ) from None
        context = stream.codec_context
        context.pix_fmt = self._pixel_format(context.codec, encoding.pixel_format)
        context.height, context.width = fitted_size(clip.height, clip.width, context.pix_fmt)
        context.time_base = self._unit
        context.sample_aspect_ratio = clip.pixel_aspect
        rgb = av.VideoFormat(context.pix_fmt).is_rgb
        context.color_range = 2 if rgb else clip.colour.range
        context.colorspace = 0 if rgb else clip.colour.matrix
        context.color_primaries, context.color_trc = clip.colour.primaries, clip.colour.transfer
        if context.codec.name == "libx265" and self.format in ("mp4", "mov"):
            context.codec_tag = "hvc1"  # what QuickTime plays
        self._container.metadata.update({k: v for k, v in clip.metadata.items() if k in ("title", "artist", "comment")})
        return stream

    def _encoder(self, encoding: Encoding) -> tuple[str, dict[str, str]]:
        """The encoder's name in FFmpeg and its options."""
        if self.format == "yuv4mpegpipe":
            return "wrapped_avframe", {}
        wanted = encoding.codec or ("av1" if self.format == "webm" else "h264")
        name, defaults = ENCODERS.get(SAME.get(wanted, wanted), (wanted, {}))
        options = dict(defaults)
        try:
            if av.codec.Codec(name, "w").type != "video":
                raise UserError(f"codec={wanted} is no codec of videos: {nearest(wanted, ENCODERS)}")
        except av.codec.codec.UnknownCodecError:
            raise UserError(f"codec={wanted} is not known here: {nearest(wanted, [*ENCODERS, *SAME])}") from None
        if encoding.quality is not None:
            if "crf" not in options:
                raise UserError(f"codec={wanted} has no quality=: leave it out, or give encoder_options")
            options["crf"] = f"{encoding.quality:g}"
        return name, options | {key: str(value) for key, value in encoding.options.items()}

    def _pixel_format(self, codec: Any, wanted: str | None) -> str:
        formats = [form.name for form in codec.video_formats or []]
        if self.format == "yuv4mpegpipe":
            formats = [
                f"yuv{chroma}p{depth}" for chroma in ("420", "422", "444") for depth in ("", "10le", "12le", "16le")
            ]
        if wanted is not None:
            if wanted not in formats:
                raise UserError(f"pixel_format={wanted} is not taken by {codec.name}: {nearest(wanted, formats)}")
            return wanted
        sixteen = ["yuv420p10le", "yuv420p12le", "yuv420p16le"] if self.clip.bits > 8 else []
        if codec.name == "ffv1" and self.clip.pixel_format is None:
            sixteen = ["gbrp16le" if self.clip.bits > 8 else "bgr0"]  # lossless
        for form in (self.clip.pixel_format, *sixteen, "yuv420p"):
            if form in formats:
                return str(form)
        return formats[0] if formats else "yuv420p"

    def _muxing(self) -> dict[str, str]:
        if self.format == "yuv4mpegpipe":
            return {"strict": "-1"}  # more than eight bits
        return FRAGMENTS if self.format in ("mp4", "mov") else {}

    def _start(self) -> None:
        """Open the encoder and write the header, so that incompatible settings fail early."""
        try:
            self._container.start_encoding()
        except av.error.FFmpegError as error:
            context = self._video.codec_context
            sound = f" and sound of {', '.join(self._sound.codecs)}" if self._sound and self._sound.codecs else ""
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


class Sound:
    """The sound of a file, copied packet by packet."""

    def __init__(self, path: Path, target: Any, name: str) -> None:
        self._source = av.open(str(path.absolute()))  # FFmpeg reads "a: b.mp4" as a protocol "a"
        streams = list(self._source.streams.audio)
        self.codecs = [stream.codec_context.name for stream in streams]
        try:
            self._copies = {stream.index: target.add_stream_from_template(stream) for stream in streams}
        except ValueError:
            raise UserError(
                f"output={name} cannot hold the source's sound ({', '.join(self.codecs)}): give an output that ends in "
                ".mkv, or audio=false"
            ) from None
        self._target = target
        self._packets = self._demux(streams) if streams else iter(())
        self._next = next(self._packets, None)

    def copy_until(self, time: Fraction) -> None:
        """Copy the packets that begin before `time` (seconds)."""
        while self._next is not None and self._next.dts * self._next.time_base < time:
            self._next.stream = self._copies[self._next.stream.index]
            self._target.mux(self._next)
            self._next = next(self._packets, None)

    def _demux(self, streams: list[Any]) -> Iterator[Any]:
        for packet in self._source.demux(streams):
            if packet.dts is not None:
                yield packet


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
