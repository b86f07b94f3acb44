"""What a video has beside its picture: sound, subtitles, attachments, chapters, tags, time code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
from av.stream import Disposition

from datamodules.storage.media import Clip
from vfi_train.errors import UserError

OWN_TAGS = (
    "encoder", "duration", "major_brand", "minor_version", "compatible_brands", "alpha_mode", "timecode", "software",
)  # fmt: skip
MP4_TAGS = (
    "title", "artist", "album_artist", "album", "composer", "comment", "copyright", "creation_time", "date",
    "description", "disc", "episode_id", "episode_sort", "genre", "grouping", "keywords", "lyrics", "network",
    "season_number", "show", "sort_name", "synopsis", "track", "location",
)  # fmt: skip
LOST_SIDE_DATA = {
    "DOVI_METADATA": "Dolby Vision", "DYNAMIC_HDR_PLUS": "HDR10+", "ICC_PROFILE": "the colour profile (ICC)",
    "SPHERICAL": "the projection of 360 degrees", "STEREO3D": "the layout of 3D", "A53_CC": "closed captions",
}  # fmt: skip
TEXTS = ("subrip", "srt", "text", "webvtt", "ass", "ssa", "mov_text")  # subtitles that are text, and what holds them:
TEXT_OF = {"mp4": "mov_text", "mov": "mov_text", "matroska": "subrip", "webm": "webvtt"}
NAMES = {"audio": "sound", "subtitle": "subtitles", "attachment": "an attachment", "data": "data"}


class Tracks:
    """All but the picture of a file, copied into a container that is being written.

    Args:
        clip: what is written; its `path` is the source, whose times begin at `start`.
        target: the container, before its header is written.
        container: its name in FFmpeg.
        output: for messages.
        sound: copy sound.
        speed: 1, or chapters are scaled and all that has times of its own is left out.

    Attributes:
        lost: what the container does not take.
        changed: what is written in another form, or not written though it takes it: a sentence each.
        codecs: of the sound.

    Raises:
        UserError: the container does not take the sound.
    """

    def __init__(
        self, clip: Clip, target: Any, container: str, output: str, sound: bool = True, speed: Fraction = Fraction(1)
    ) -> None:
        assert clip.path is not None
        self._clip, self._target, self._speed, self._is_avi = clip, target, speed, container == "avi"
        self._source = av.open(str(clip.path.absolute()))  # FFmpeg reads "a: b.mp4" as a protocol "a"
        self.lost: list[str] = [LOST_SIDE_DATA[name] for name in clip.side_data if name in LOST_SIDE_DATA]
        self.changed: list[str] = []
        self._copies: dict[int, Any] = {}
        self._texts: set[int] = set()  # subtitles that become others
        self._timed_texts: set[int] = set()  # subtitles that are written to MP4
        self._ends: dict[int, tuple[int, Fraction]] = {}  # of MP4's subtitles
        self._adts: set[int] = set()  # streams of AAC in which each packet has a header
        self.picture = next(s for s in self._source.streams.video if not s.disposition & Disposition.attached_pic)
        for stream in self._source.streams:
            if stream is not self.picture and (sound or stream.type != "audio"):
                self._add(stream, container, output)
        self.codecs = [s.codec_context.name for s in self._source.streams.audio if s.index in self._copies]
        self._copy_chapters(container)
        self._copy_tags(container)
        timed = [s for s in self._source.streams if s.index in self._copies and s.type != "attachment"]
        self._packets = self._demux(timed) if timed else iter(())
        self._next = next(self._packets, None)

    def describe(self, video: Any, rate: Fraction) -> None:
        """Give the written picture (at `rate` frames per second) the source's tags, disposition and time code."""
        video.metadata.update(_tags(self.picture))
        video.disposition = self.picture.disposition
        streams = [self._source, *self._source.streams]
        code = next((s.metadata["timecode"] for s in streams if "timecode" in s.metadata), None)
        if code is None:
            return
        converted = timecode_at(code, Fraction(self.picture.average_rate or rate), rate)
        if converted is None or self._speed != 1 or self._target.format.name not in ("mp4", "mov", "matroska"):
            self.lost.append(f"the time code {code}")
        else:
            video.metadata["timecode"] = converted

    def copy_until(self, time: Fraction | None) -> None:
        """Copy the packets that begin before `time` (seconds); None: all."""
        while self._next is not None:
            packet, index = self._next, self._next.stream.index
            start = round(self._clip.start / packet.time_base)
            if time is not None and (packet.dts - start) * packet.time_base >= time:
                return
            packet.dts -= start
            packet.pts = None if packet.pts is None else packet.pts - start
            packet = _without_adts(packet) if index in self._adts else packet
            packet = self._as_text(packet, index) if index in self._texts else packet
            packet.stream = self._copies[index]
            if packet.size > 2 and index in self._timed_texts:
                self._ends[index] = (packet.pts + packet.duration, packet.time_base)
            if packet.dts >= 0 or not self._is_avi:  # AVI has no time before zero: all tracks would be shifted
                self._target.mux(packet)
            self._next = next(self._packets, None)

    def finish(self) -> None:
        """End the subtitles of MP4: FFmpeg would show nothing for as long again as the last of them."""
        for index, (end, unit) in self._ends.items():
            empty = av.Packet(bytes(2))
            empty.pts = empty.dts = end
            empty.time_base, empty.stream, empty.duration = unit, self._copies[index], 0
            self._target.mux(empty)

    def _add(self, stream: Any, container: str, output: str) -> None:
        kind = stream.type
        codec = stream.codec_context.name if stream.codec_context else "unknown"
        if kind == "data" and "timecode" in stream.metadata:
            return
        try:
            if kind not in NAMES or kind == "data" or (self._speed != 1 and kind != "attachment"):
                raise ValueError
            if kind == "attachment" and container != "matroska":
                raise ValueError
            copy = self._add_copy(stream, codec, container)
        except ValueError:
            if kind == "audio" and self._speed == 1:
                codecs = ", ".join(s.codec_context.name for s in self._source.streams.audio)
                other = "" if container == "matroska" else "give an output that ends in .mkv, or "
                raise UserError(
                    f"output={output} cannot hold the source's sound ({codecs}): {other}audio=false leaves it out"
                ) from None
            title = stream.metadata.get("title") or stream.metadata.get("filename") or codec
            if stream.disposition & Disposition.attached_pic:
                self.changed.append("the cover image is left out")
            else:
                self.lost.append(f"{NAMES[kind]} ({title})" if kind in NAMES else "another picture track")
            return
        copy.metadata.update(_tags(stream))
        copy.disposition = stream.disposition
        if codec == "aac" and not stream.codec_context.extradata and container in ("mp4", "mov", "matroska"):
            copy.codec_context.extradata = self._aac_configuration(stream.index)
            self._adts.add(stream.index)
        self._copies[stream.index] = copy

    def _add_copy(self, stream: Any, codec: str, container: str) -> Any:
        """A track of the same codec, or of text; ValueError: the container takes neither."""
        try:
            copy = self._target.add_stream_from_template(stream)
        except ValueError:
            if codec not in TEXTS or container not in TEXT_OF:
                raise
            copy = self._target.add_mux_stream(TEXT_OF[container])
            self._texts.add(stream.index)
            self.changed.append(f"subtitles of {codec} are written as {TEXT_OF[container]}, without their styles")
        if stream.type == "subtitle" and container in ("mp4", "mov"):
            self._timed_texts.add(stream.index)
        return copy

    def _as_text(self, packet: Any, index: int) -> Any:
        """A packet of subtitles with only its text, as the target's codec holds it."""
        content = plain_text(bytes(packet), self._source.streams[index].codec_context.name).encode()
        header = len(content).to_bytes(2, "big") if index in self._timed_texts else b""
        return _with_content(packet, header + content)

    def _aac_configuration(self, index: int) -> bytes:
        """AudioSpecificConfig (ISO 14496-3, 1.6.2.1) from the header of the first ADTS packet."""
        with av.open(str(self._clip.path)) as source:
            header = bytes(next(source.demux(source.streams[index])))
        kind, frequency = (header[2] >> 6) + 1, header[2] >> 2 & 15
        channels = (header[2] & 1) << 2 | header[3] >> 6
        return (kind << 11 | frequency << 7 | channels << 3).to_bytes(2, "big")

    def _copy_chapters(self, container: str) -> None:
        chapters = self._source.chapters()
        if not chapters:
            return
        if container not in ("mp4", "mov", "matroska", "webm"):
            self.lost.append(f"{len(chapters)} chapters")
            return
        for chapter in chapters:
            unit = Fraction(chapter["time_base"] or 1)
            for key in ("start", "end"):
                seconds = (chapter[key] * unit - self._clip.start) / self._speed
                chapter[key] = max(0, round(seconds / unit))
        self._target.set_chapters(chapters)

    def _copy_tags(self, container: str) -> None:
        tags = _tags(self._source)
        self._target.metadata.update(tags)
        unknown = [key for key in tags if key.lower() not in MP4_TAGS] if container in ("mp4", "mov") else []
        self.lost += [f"the tag {key}" for key in unknown]

    def _demux(self, streams: list[Any]) -> Iterator[Any]:
        try:
            for packet in self._source.demux(streams):
                if packet.dts is not None:
                    yield packet
        except av.error.FFmpegError:  # the picture's reader reports it
            return


def _without_adts(packet: Any) -> Any:
    """A packet of AAC without its ADTS header; FFmpeg's filter for it breaks the header of Matroska files."""
    content = bytes(packet)
    if content[0] != 0xFF or content[1] & 0xF6 != 0xF0:
        return packet
    return _with_content(packet, content[7 if content[1] & 1 else 9 :])


def _with_content(packet: Any, content: bytes) -> Any:
    other = av.Packet(content)
    other.pts, other.dts, other.time_base, other.duration = packet.pts, packet.dts, packet.time_base, packet.duration
    return other


def plain_text(content: bytes, codec: str) -> str:
    """The text of a packet of subtitles (of `TEXTS`), without styles."""
    if codec == "mov_text":
        return content[2 : 2 + int.from_bytes(content[:2], "big")].decode(errors="replace")
    text = content.decode(errors="replace")
    if codec in ("ass", "ssa"):  # ReadOrder, Layer, Style, Name, MarginL, MarginR, MarginV, Effect, Text
        text = text.split(",", 8)[-1].replace("\\N", "\n").replace("\\n", "\n").replace("\\h", " ")
    return re.sub(r"<[^<>\n]*>|\{\\[^{}]*\}", "", text).strip()


def timecode_at(code: str, source: Fraction, rate: Fraction) -> str | None:
    """A time code HH:MM:SS:FF at another frame rate; None where it has no whole frame there, or needs three digits."""
    found = re.fullmatch(r"(\d\d:\d\d:\d\d[:;.])(\d\d)", code)
    frame = int(found[2]) * rate / source if found else Fraction(1, 2)
    if found is None or frame.denominator != 1 or (rate / source).denominator != 1 or rate > 100:
        return None
    return f"{found[1]}{int(frame):02d}"


def _tags(owner: Any) -> dict[str, str]:
    return {k: v for k, v in owner.metadata.items() if k.lower() not in OWN_TAGS and not k.startswith("_STATISTICS")}
