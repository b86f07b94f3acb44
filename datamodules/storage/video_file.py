"""Videos that FFmpeg decodes: frames upright, with their times, as far as they can be decoded."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, Literal

import av
import av.filter
import cv2

from datamodules.storage.image_io import flatten
from datamodules.storage.media import (
    IDENTITY,
    Clip,
    Colour,
    Frame,
    Orientation,
    chroma_location,
    filter_graph,
    has_alpha_plane,
    release_graphs,
    to_rgb,
)
from vfi_train.errors import DataError, UserError, nearest

DEINTERLACERS = ("bwdif", "yadif", "w3fdif", "estdif", "copy")
ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # FFmpeg's own leave alpha out


class VideoFile:
    """A video as a `FrameSource`.

    Args:
        path: the file.
        stream: y4m to read instead of a file; it cannot be rewound.
        bits: 8: images are uint8; None: uint16 or float32 where the video has more than 8 bits.
        alpha: images are H W 4 where the video has transparency; otherwise it is laid over black.
        deinterlace: a filter of FFmpeg (bwdif, yadif, w3fdif, estdif) with its options, "bwdif=mode=send_frame";
            "copy" takes interlaced frames as they are.
        other_sizes: what is done with frames of another size than the first one: "scale" them to it, or "skip" them.

    Attributes:
        problems: what could not be read, a sentence each; complete after the last frame.

    Raises:
        DataError: it cannot be opened, or holds no frame.
        UserError: an unknown filter.
    """

    def __init__(
        self,
        path: Path | None,
        stream: BinaryIO | None = None,
        bits: int | None = None,
        alpha: bool = False,
        deinterlace: str | None = None,
        other_sizes: Literal["scale", "skip"] = "scale",
    ) -> None:
        self.path, self.name, self._alpha = path, "standard input" if path is None else str(path), alpha
        self._skips = other_sizes == "skip"
        self.problems: list[str] = []
        check_deinterlacer(deinterlace, "deinterlace")
        self._container = self._open(stream)
        video = self._video = _picture(self._container, self.name)
        self._damage = _Damage()
        self._decoded = _decode(self._container, video, _decoder(video), self._damage)
        if deinterlace is not None:
            self._decoded = _deinterlaced(self._decoded, deinterlace)
        self._first = list(islice(self._decoded, 2))
        if not self._first:
            self._container.close()
            raise DataError(f"{self.name} holds no frame that can be decoded: repair or replace it")
        # AVI stores decoding times: with B-frames they go up and down.
        self._is_untimed = self._container.format.name == "avi" and bool(video.codec_context.has_b_frames)
        self._chroma = chroma_location(self._first[0])
        self.clip = self._describe(video, bits, deinterlace)

    def frames(self) -> Iterator[Frame]:
        """See `FrameSource`."""
        clip, number, last = self.clip, 0, None
        others: list[tuple[int, int, int]] = []  # number and size of the frames of another size
        follows = True
        with self._container, ExitStack() as stack:
            stack.callback(release_graphs)
            for decoded in chain(self._first, self._decoded):
                orientation = Orientation.of(decoded)
                size = orientation.size(decoded.height, decoded.width)
                is_other = size != (clip.height, clip.width)
                if is_other:
                    others.append((number, *size))
                    if self._skips:
                        number, follows = number + 1, False
                        continue
                if decoded.pts is None or self._is_untimed:
                    time = number / clip.rate
                else:
                    time = decoded.pts * Fraction(decoded.time_base or 1) - clip.start
                if last is not None and time <= last.time:  # broken time stamps
                    time = last.time + 1 / clip.rate
                duration = Fraction(decoded.duration or 0) * Fraction(decoded.time_base or 1) or 1 / clip.rate
                image = orientation.apply(to_rgb(decoded, clip.bits, self._chroma))
                image = image if clip.alpha else flatten(image)
                if is_other:
                    image = cv2.resize(image, (clip.width, clip.height), interpolation=cv2.INTER_CUBIC)
                is_native = orientation == Orientation() and not is_other
                last = Frame(image, time, duration, decoded if is_native else None, follows)
                number, follows = number + 1, True
                yield last
            if others:
                first, height, width = others[0]
                self.problems.append(
                    f"{self.name} changes its size from {clip.height}x{clip.width} to {height}x{width} at frame "
                    f"{first + 1}: {len(others)} frames are {'left out' if self._skips else 'scaled to the first size'}"
                )
            self.problems += self._damage.sentences(self.name, number, self._video, last, clip.start)
        if number - self._skips * len(others) < 2:
            of = " of its first size" if others else ""
            raise DataError(f"{self.name} holds only one frame{of}: a clip has two or more")

    def close(self) -> None:
        """See `FrameSource`."""
        self._container.close()

    def _describe(self, video: Any, bits: int | None, deinterlace: str | None) -> Clip:
        first = self._first[0]
        start = Fraction(0) if self._is_untimed else _start(self._container, first)
        rate = Fraction(video.average_rate or video.guessed_rate or 24)
        seconds = Fraction(video.duration or 0) * Fraction(video.time_base or 0)
        seconds = seconds or max(Fraction(0), _stated_end(video) - (first.pts or 0) * Fraction(first.time_base or 1))
        if not seconds and self._container.duration:
            seconds = Fraction(self._container.duration, av.time_base)
            if "matroska" in self._container.format.name:  # counts from zero
                seconds -= min(seconds, start)
        count = video.frames or round(seconds * rate)
        if deinterlace is not None and _step(self._first) < Fraction(3, 4) / rate:  # a frame of each field
            rate, count = 2 * rate, 2 * count
        orientation, form = Orientation.of(first), first.format
        height, width = orientation.size(first.height, first.width)
        aspect = Fraction(video.sample_aspect_ratio or 1)
        side_data: Any = first.side_data
        colour = Colour(int(first.color_range), int(first.colorspace), int(first.color_primaries), int(first.color_trc))
        if form.is_rgb or colour.matrix == IDENTITY:
            colour = replace(Colour(), primaries=colour.primaries, transfer=colour.transfer)
        return Clip(
            name=self.name,
            height=height,
            width=width,
            bits=bits or (32 if "f32" in form.name else max(8, min(16, form.components[0].bits))),
            alpha=self._alpha and has_alpha_plane(form),
            rate=rate,
            tick=Fraction(first.time_base or video.time_base or 1 / rate),
            count=count,
            pixel_format=form.name.replace("yuvj", "yuv"),
            colour=replace(colour, range=2 if form.name.startswith("yuvj") else colour.range, chroma=self._chroma),
            pixel_aspect=1 / aspect if orientation.transposed else aspect,
            path=self.path,
            tracks=_other_tracks(self._container, video),
            start=start,
            side_data={data.type.name: bytes(data) for data in side_data},
            interlaced=deinterlace is None and bool(first.interlaced_frame),
        )

    def _open(self, stream: BinaryIO | None) -> Any:
        try:
            if stream is None:
                return av.open(str(Path(self.name).absolute()))  # FFmpeg reads "a: b.mp4" as a protocol "a"
            return av.open(_Pipe(stream), "r", format="yuv4mpegpipe")
        except av.error.FFmpegError as error:
            expected = "a video" if stream is None else "y4m (ffmpeg -i FILE -f yuv4mpegpipe - | ...)"
            raise DataError(
                f"{self.name} cannot be read as {expected} ({error.strerror}): repair or replace it"
            ) from error


def check_deinterlacer(text: str | None, key: str) -> None:
    """Raise a UserError where `text` is not a filter that deinterlaces, with or without options."""
    if text is None:
        return
    name, _, options = text.partition("=")
    if name not in DEINTERLACERS:
        raise UserError(f"{key}={text} is no filter that deinterlaces: {nearest(name, DEINTERLACERS)}")
    try:
        av.filter.Graph().add(name, options or None)
    except (av.error.FFmpegError, ValueError) as error:
        raise UserError(f"{key}={text}: the filter {name} does not take {options} ({error})") from error


@dataclass
class _Damage:
    """What was read of a stream, and what could not be decoded."""

    packets: int = 0
    errors: int = 0
    corrupt: int = 0
    end: str = ""  # why reading stopped before the end

    def sentences(self, name: str, frames: int, video: Any, last: Frame | None, start: Fraction) -> Iterator[str]:
        """What was missing, after `frames` frames."""
        if self.errors or self.corrupt:
            yield (
                f"{name} is damaged: {self.errors} of its {self.packets} packets cannot be decoded and {self.corrupt} "
                f"frames are incomplete; the other {frames - self.corrupt} are used"
            )
        stated = _stated_end(video) - start
        if self.end:
            yield f"{name} cannot be read to its end ({self.end}): it is used up to frame {frames}"
        elif self.packets < video.frames:
            yield f"{name} is cut off: it says that it has {video.frames} frames, but only {frames} are there"
        elif last is not None and stated > last.time + 2 * last.duration + Fraction(1, 2):
            yield (
                f"{name} is cut off: it says that it lasts {float(stated):.2f} s, but its last frame ends at "
                f"{float(last.time + last.duration):.2f} s"
            )


def _decode(container: Any, video: Any, decoder: Any, damage: _Damage) -> Iterator[av.VideoFrame]:
    """Without a reference to the `VideoFile`: a decoder with threads must not wait for the garbage collector."""
    packets = container.demux(video)
    ended = False
    while not ended:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError as error:
            damage.end, packet = error.strerror or str(error), None
        ended = packet is None or not packet.size  # the last packet is empty, and makes the decoder give what it holds
        damage.packets += not ended
        try:
            frames = decoder.decode(packet)
        except av.error.EOFError:
            return
        except av.error.FFmpegError:
            damage.errors += 1
            continue
        for frame in frames:
            damage.corrupt += frame.is_corrupt
            frame.time_base = frame.time_base or video.time_base
            yield frame


def _deinterlaced(frames: Iterator[av.VideoFrame], text: str) -> Iterator[av.VideoFrame]:
    graph: av.filter.Graph | None = None
    kind: tuple[int, int, str] | None = None
    for frame in chain(frames, [None]):
        before, kind = kind, None if frame is None else (frame.width, frame.height, frame.format.name)
        if graph is not None and kind != before:
            yield from _pulled(graph, None)
            graph = None
        if frame is not None:
            graph = graph or filter_graph(frame, [text])
            yield from _pulled(graph, frame)


def _pulled(graph: av.filter.Graph, frame: av.VideoFrame | None) -> Iterator[av.VideoFrame]:
    """What a graph gives after a frame; None: after the last one."""
    graph.vpush(frame)
    with suppress(av.error.BlockingIOError, av.error.EOFError):
        while True:
            yield graph.vpull()


def _picture(container: Any, name: str) -> Any:
    """The first stream of video that is not a cover image."""
    streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not streams:
        container.close()
        raise DataError(f"{name} holds no video: replace it")
    return streams[0]


def _other_tracks(container: Any, video: Any) -> tuple[str, ...]:
    names = {"audio": "sound", "subtitle": "subtitles"}
    kinds = dict.fromkeys(names.get(stream.type, stream.type) for stream in container.streams if stream is not video)
    return (*kinds, *(["chapters"] if container.chapters() else []))


def _decoder(video: Any) -> Any:
    name = ALPHA_DECODERS.get(video.codec_context.name)
    if name is None or {k.lower(): v for k, v in video.metadata.items()}.get("alpha_mode") != "1":
        video.thread_type = "AUTO"
        return video
    decoder = av.codec.CodecContext.create(name, "r")
    decoder.extradata = video.codec_context.extradata
    return decoder


def _start(container: Any, first: av.VideoFrame) -> Fraction:
    """When the first of picture and sound begins; before zero there is only what decoders discard."""
    streams = [*container.streams.video, *container.streams.audio]
    starts = [s.start_time * Fraction(s.time_base) for s in streams if s.start_time is not None and s.time_base]
    if first.pts is not None:  # of short files, FFmpeg knows no start
        starts.append(first.pts * Fraction(first.time_base or 1))
    return max(Fraction(0), min(starts, default=Fraction(0)))


def _stated_end(video: Any) -> Fraction:
    """Where Matroska says that a stream ends, on the file's clock; 0: it does not."""
    found = re.fullmatch(r"(\d+):(\d+):(\d+\.\d+)", video.metadata.get("DURATION", ""))
    if not found:
        return Fraction(0)
    hours, minutes, seconds = map(Fraction, found.groups())
    return 3600 * hours + 60 * minutes + seconds


def _step(frames: list[av.VideoFrame]) -> Fraction:
    times = [(frame.pts or 0) * Fraction(frame.time_base or 1) for frame in frames]
    return times[-1] - times[0] if len(times) > 1 else Fraction(1000)


class _Pipe:
    """A stream with `read` only, so that FFmpeg does not try to rewind it."""

    def __init__(self, stream: BinaryIO) -> None:
        self.read = stream.read
