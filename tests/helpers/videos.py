"""Small real videos, the configuration of interpolate, and a network whose frames are known in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.stream import Disposition
from omegaconf import DictConfig
from torch import Tensor

from datamodules.storage.media import Frame
from vfi_train.architectures import Architecture, Encoding
from vfi_train.config.compose import compose_config
from vfi_train.contract import Prediction

HEIGHT, WIDTH = 64, 96


class Blend(Architecture):
    """(1 - time) * frame0 + time * frame1; counts pairs and frames."""

    family = "blend"
    size_multiple = 8
    min_size = 16
    arbitrary_time = True

    def __init__(self) -> None:
        super().__init__()
        self.pairs = self.frames = 0

    def encode(self, frame0: Tensor, frame1: Tensor, *, scale: float = 1.0) -> Encoding:
        self.pairs += len(frame0)
        return Encoding(frame0, frame1, scale)

    def decode(self, encoding, time, *, target=None, reference=None, reference_time=None) -> Prediction:
        self.frames += len(encoding.frame0)
        return Prediction(encoding.frame0 * (1 - time) + encoding.frame1 * time)


class MiddleBlend(Blend):
    arbitrary_time = False


def texture(seed: int, height: int = 3 * HEIGHT, width: int = 3 * WIDTH) -> np.ndarray:
    small = np.random.default_rng(seed).integers(0, 256, (12, 18, 3), dtype=np.uint8)
    return np.clip(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), 0, 255)


def pan(count: int, seed: int = 0, step: int = 2, height: int = HEIGHT, width: int = WIDTH) -> list[np.ndarray]:
    """A camera that moves over a texture."""
    canvas = texture(seed, height + 2 * count, width + step * count)
    return [np.ascontiguousarray(canvas[i : i + height, step * i : step * i + width]) for i in range(count)]


def frames(images: Sequence[np.ndarray], rate: int = 24) -> list[Frame]:
    return [Frame(image, Fraction(i, rate), Fraction(1, rate)) for i, image in enumerate(images)]


def write_video(
    path: Path,
    images: Sequence[np.ndarray],
    *,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    rate: int = 24,
    ticks: Sequence[int] | None = None,
    matrix: int = 1,
    color_range: int = 1,
    transfer: int = 1,
    primaries: int = 1,
    sound: str | None = None,
    options: dict[str, str] | None = None,
    rotation: int = 0,
    mirror: str = "none",
    container_options: dict[str, str] | None = None,
) -> Path:
    """A video of images (uint8 or uint16), time stamps in 1 / (100 rate), and a tone where `sound` is a codec."""
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = pixel_format
        context = stream.codec_context
        unit = Fraction(1, rate) if path.suffix == ".y4m" else Fraction(1, 100 * rate)
        context.time_base = unit
        context.colorspace, context.color_range = matrix, color_range
        context.color_primaries, context.color_trc = primaries, transfer
        if rotation or mirror != "none":
            stream.set_display_rotation(rotation, hflip=mirror == "hflip", vflip=mirror == "vflip")
        tone = container.add_stream(sound, rate=48000, layout="stereo") if sound else None
        for number, image in enumerate(images):
            form = "rgb24" if image.dtype == np.uint8 else "rgb48le"
            frame = av.VideoFrame.from_ndarray(image, format=form).reformat(
                format=pixel_format, dst_colorspace={1: 1, 6: 5, 9: 9}[matrix], dst_color_range=color_range
            )
            frame.pts = ticks[number] if ticks else int(number / (rate * unit))
            frame.time_base = unit
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if tone is not None:
            write_tone(container, tone, len(images) / rate)
    return path


def write_sizes(path: Path, sizes: Sequence[tuple[int, int]], count: int = 5, rate: int = 24) -> Path:
    """A transport stream whose images (`count` of each size, of one pan) change their size between them."""
    content = b""
    for part, (height, width) in enumerate(sizes):
        images = [cv2.resize(image, (width, height)) for image in pan(count * len(sizes))[part * count :][:count]]
        ticks = [100 * (part * count + i) for i in range(count)]
        piece = path.with_name(f"{path.stem}-{part}.ts")
        content += write_video(piece, images, rate=rate, ticks=ticks, options={"bf": "0"}).read_bytes()
        piece.unlink()
    path.write_bytes(content)
    return path


def zero_packets(path: Path, numbers: Sequence[int]) -> Path:
    """Overwrite packets of the picture with zeros, as a bad sector would."""
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    content = bytearray(path.read_bytes())
    for number in numbers:
        start, size = places[number]
        content[start : start + size] = bytes(size)
    path.write_bytes(content)
    return path


def copy_video(
    source: Path,
    target: Path,
    *,
    sounds: Sequence[dict[str, Any]] = (),
    subtitles: str | None = None,
    chapters: Sequence[float] = (),
    offset: float = 0,
    seconds: float = 1,
    metadata: dict[str, str] | None = None,
    video_metadata: dict[str, str] | None = None,
) -> Path:
    """The picture of a file with other tracks: tones (keys: codec, metadata, default), one subtitle, chapters' starts.

    `offset`: added to all times, in seconds; `seconds`: of the tones and the last chapter.
    """
    with av.open(str(source)) as given, av.open(str(target), "w") as container:
        container.metadata.update(metadata or {})
        video = container.add_stream_from_template(given.streams.video[0], opaque=True)
        video.metadata.update(video_metadata or {})
        video.codec_context.framerate = given.streams.video[0].average_rate
        tones = []
        for sound in sounds:
            stream = container.add_stream(sound.get("codec", "aac"), rate=48000, layout="stereo")
            stream.metadata.update(sound.get("metadata", {}))
            stream.disposition = Disposition.default if sound.get("default") else Disposition(0)
            tones.append(stream)
        in_mp4 = target.suffix == ".mp4"
        text = container.add_mux_stream("mov_text" if in_mp4 else "subrip") if subtitles else None
        if chapters:
            ends = [*chapters[1:], seconds]
            container.set_chapters(
                [
                    {
                        "id": i, "start": int(1000 * (start + offset)), "end": int(1000 * (end + offset)),
                        "time_base": Fraction(1, 1000), "metadata": {"title": f"chapter {i}"},
                    }
                    for i, (start, end) in enumerate(zip(chapters, ends, strict=True))
                ]
            )  # fmt: skip
        for packet in given.demux(given.streams.video[0]):
            if packet.dts is not None:
                shift = round(offset / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts + shift, packet.dts + shift, video
                container.mux(packet)
        for stream in tones:
            write_tone(container, stream, seconds, offset)
        if text is not None:
            content = str(subtitles).encode()
            packet = av.Packet(len(content).to_bytes(2, "big") + content if in_mp4 else content)
            packet.stream, packet.time_base = text, Fraction(1, 1000)
            packet.pts = packet.dts = round(1000 * (offset + 0.1))
            packet.duration = 800
            container.mux(packet)
    return target


def read_video(path: Path) -> tuple[list[np.ndarray], list[Fraction], Any]:
    """Decoded frames (planes one below the other), their times in seconds, and facts of the stream."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        facts = {
            "frames": stream.frames, "rate": stream.average_rate, "pixel_format": stream.codec_context.pix_fmt,
            "seconds": container.duration / 1e6, "codec": stream.codec_context.name,
            "colour": tuple(int(x) for x in (
                stream.codec_context.color_range, stream.codec_context.colorspace,
                stream.codec_context.color_primaries, stream.codec_context.color_trc)),
        }  # fmt: skip
        decoded = list(container.decode(video=0))
        planes = [np.concatenate([_plane(frame, i) for i in range(len(frame.planes))], axis=None) for frame in decoded]
        return planes, [frame.pts * Fraction(frame.time_base) for frame in decoded], facts


def read_rgb(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def sound_packets(path: Path) -> list[tuple[int, bytes]]:
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        packets = [packet for packet in container.demux(stream) if packet.dts is not None]
        return [(packet.pts * stream.time_base, bytes(packet)) for packet in packets]


def sound_samples(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    error = np.mean((first.astype(float) - second) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-12)))


def configured(**values: Any) -> DictConfig:
    """The command's configuration; values that are lists, paths or None are set as they are."""
    config = compose_config("interpolate", ["model=ifrnet_tiny"])
    for key, value in {
        "weights": "ifrnet_tiny_synthetic",
        "device": "cpu",
        "backend": "torch",
        "precision": "fp32",
        **values,
    }.items():
        config[key] = str(value) if isinstance(value, Path) else value
    return config


def _plane(frame: av.VideoFrame, index: int) -> np.ndarray:
    plane = frame.planes[index]
    kind = np.dtype(np.uint8 if frame.format.components[0].bits == 8 else "<u2")
    rows = np.frombuffer(plane, kind).reshape(plane.height, plane.line_size // kind.itemsize)
    return rows[:, : plane.width].astype(int)


def write_tone(container: Any, stream: Any, seconds: float, offset: float = 0) -> None:
    wave = (0.3 * np.sin(2 * np.pi * 440 * np.arange(round(48000 * seconds)) / 48000)).astype(np.float32)
    kind = stream.codec_context.format.name
    size = stream.codec_context.frame_size or 1024
    resampler = av.AudioResampler(format=kind, layout="stereo", rate=48000)
    for start in range(0, len(wave) - size + 1, size):
        block = av.AudioFrame.from_ndarray(np.stack([wave[start : start + size]] * 2), format="fltp", layout="stereo")
        block.sample_rate, block.pts, block.time_base = 48000, start + round(48000 * offset), Fraction(1, 48000)
        for frame in resampler.resample(block):
            container.mux(stream.encode(frame))
    container.mux(stream.encode())
