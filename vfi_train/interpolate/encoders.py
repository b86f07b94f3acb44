"""Which encoder writes a video, with which options and pixel format, and what that does not keep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.codec.codec import find_best_pix_fmt_of_list

from datamodules.storage.media import Clip, has_alpha_plane
from vfi_train.errors import UserError, nearest

ENCODERS: dict[str, tuple[str, dict[str, str]]] = {
    "h264": ("libx264", {"crf": "18"}),
    "h265": ("libx265", {"crf": "20", "x265-params": "log-level=none"}),
    "av1": ("libsvtav1", {"crf": "24"}),
    "vp9": ("libvpx-vp9", {"crf": "24", "b": "0", "row-mt": "1"}),
    "ffv1": ("ffv1", {}),
}
SAME = {"hevc": "h265", "x264": "h264", "x265": "h265", "libx264": "h264", "libx265": "h265", "libsvtav1": "av1"}
LOSSLESS = ("ffv1", "png", "qtrle", "utvideo")  # RGB images stay RGB
Y4M = [f"yuv{chroma}p{depth}" for chroma in ("420", "422", "444") for depth in ("", "10le", "12le", "16le")]
IMAGE_FORMATS = {8: ("yuv420p", "rgb24", "rgba"), 16: ("yuv420p10le", "rgb48le", "rgba64le")}


@dataclass(frozen=True)
class Encoding:
    """How videos are encoded.

    `codec`: h264, h265, av1, vp9, ffv1, or an encoder's name in FFmpeg; None: h264 (in .webm av1, with alpha vp9).
    `quality`: the encoder's constant rate factor, smaller is better; None: visually nearly lossless. `options`: of the
    encoder, as FFmpeg names them. `pixel_format`: None keeps the input's where the codec takes it. `tracks`: copy the
    other tracks, chapters and tags of the clip's file, which plays at `speed`. `sound`: its sound too.
    """

    codec: str | None = None
    quality: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    pixel_format: str | None = None
    tracks: bool = False
    sound: bool = True
    speed: Fraction = Fraction(1)


def choose_encoder(encoding: Encoding, container: str, clip: Clip) -> tuple[str, dict[str, str]]:
    """The encoder's name in FFmpeg and its options."""
    location = {"chroma_sample_location": clip.colour.chroma}
    if container == "yuv4mpegpipe":
        return "wrapped_avframe", location
    wanted = encoding.codec or (("vp9" if clip.alpha else "av1") if container == "webm" else "h264")
    name, defaults = ENCODERS.get(SAME.get(wanted, wanted), (wanted, {}))
    options = defaults | location
    try:
        if av.codec.Codec(name, "w").type != "video":
            raise UserError(f"codec={wanted} is no codec of videos: {nearest(wanted, ENCODERS)}")
    except av.codec.codec.UnknownCodecError:
        raise UserError(f"codec={wanted} is not known here: {nearest(wanted, [*ENCODERS, *SAME])}") from None
    if encoding.quality is not None:
        if "crf" not in options:
            raise UserError(f"codec={wanted} has no quality=: leave it out, or give encoder_options")
        options["crf"] = f"{encoding.quality:g}"
    if container == "avi":
        options["bf"] = "0"  # AVI has no times: B-frames come out of order
    for key, value in _light_options(name, clip.side_data).items():
        options[key] = f"{options[key]}:{value}" if key in options else value
    given = {key: str(value) for key, value in encoding.options.items()}
    return name, options | given


def choose_pixel_format(codec: Any, container: str, clip: Clip, wanted: str | None) -> str:
    """The wanted format, or the one that loses least of the clip's. Images become 4:2:0, which every player takes."""
    formats = Y4M if container == "yuv4mpegpipe" else [form.name for form in codec.video_formats or []]
    if wanted is not None:
        if wanted not in formats:
            raise UserError(f"pixel_format={wanted} is not taken by {codec.name}: {nearest(wanted, formats)}")
        return wanted
    if codec.name.startswith("libvpx"):  # its alpha is a second stream, of 4:2:0, beside that of the colours
        transparent = ["yuva420p"] if container in ("webm", "matroska") else []
    else:
        transparent = [form for form in formats if has_alpha_plane(av.VideoFormat(form))]
    opaque = [form for form in formats if not has_alpha_plane(av.VideoFormat(form))]
    is_transparent = clip.alpha and bool(transparent)
    formats = transparent if is_transparent else opaque
    source = clip.pixel_format or _image_format(clip, codec.name, is_transparent)
    if source in formats:
        return source
    if source == "rgb24" and "bgr0" in formats:
        return "bgr0"
    planar = [form for form in formats if not form.startswith(("yuvj", "nv", "gray", "pal", "mono"))]
    if not planar:
        return formats[0] if formats else "yuv420p"
    best = find_best_pix_fmt_of_list(planar, source, is_transparent)[0]
    return planar[0] if best is None else best.name


def lost_in(pixel_format: str, clip: Clip) -> Iterator[str]:
    """What of a clip's frames a pixel format does not hold, a sentence each."""
    form, source = av.VideoFormat(pixel_format, 64, 64), clip.pixel_format
    bits = form.components[0].bits
    if clip.bits == 32:
        yield f"{pixel_format} holds {bits} bits: values below 0 and above 1 are clipped"
    elif source is not None and clip.bits > bits:
        yield f"{clip.bits} bits become {bits} ({pixel_format})"
    before = av.VideoFormat(source or "rgb24", 64, 64)
    sizes = [(1, 1) if f.is_rgb else (64 // f.chroma_width(), 64 // f.chroma_height()) for f in (before, form)]
    if sizes[1][0] > sizes[0][0] or sizes[1][1] > sizes[0][1]:
        yield f"colours are kept at a lower resolution ({pixel_format}): pixel_format=yuv444p keeps theirs"
    if clip.alpha and not has_alpha_plane(form):
        yield (
            f"{pixel_format} holds no transparency: frames are laid over background=... (.webm, .mov with "
            "codec=prores_ks and .mkv with codec=ffv1 hold it)"
        )


def light_is_kept(encoder: str) -> bool:
    """Whether the encoder writes mastering display and content light level of HDR10."""
    return encoder in ("libx264", "libx265", "libsvtav1")


def _image_format(clip: Clip, codec: str, is_transparent: bool) -> str:
    subsampled, rgb, rgba = IMAGE_FORMATS[8 if clip.bits == 8 else 16]
    if is_transparent:
        return rgba
    return rgb if codec in LOSSLESS else subsampled


def _light_options(encoder: str, side_data: Mapping[str, bytes]) -> dict[str, str]:
    """Mastering display and content light level (CTA-861.3) as options of the encoder."""
    parts: dict[str, str] = {}
    mastering = side_data.get("MASTERING_DISPLAY_METADATA")
    if mastering is not None:  # AVMasteringDisplayMetadata: ten rational numbers, then two flags
        numbers = np.frombuffer(mastering, np.int32, 22)
        if numbers[20] and numbers[21]:
            values = numbers[:20:2] / numbers[1:20:2]
            if encoder == "libsvtav1":
                r, g, b, w = (f"({x:.5f},{y:.5f})" for x, y in values[:8].reshape(4, 2))
                parts["mastering-display"] = f"G{g}B{b}R{r}WP{w}L({values[9]:.4f},{values[8]:.4f})"
            else:
                r, g, b, w = (f"({x * 50000:.0f},{y * 50000:.0f})" for x, y in values[:8].reshape(4, 2))
                light = f"L({values[9] * 10000:.0f},{values[8] * 10000:.0f})"
                parts["mastering-display" if encoder == "libx264" else "master-display"] = f"G{g}B{b}R{r}WP{w}{light}"
    if "CONTENT_LIGHT_LEVEL" in side_data:
        most, average = np.frombuffer(side_data["CONTENT_LIGHT_LEVEL"], np.uint32, 2)
        name = {"libx264": "cll", "libx265": "max-cll"}.get(encoder, "content-light")
        parts[name] = f"{most},{average}"
    key = {"libx264": "x264-params", "libx265": "x265-params", "libsvtav1": "svtav1-params"}.get(encoder)
    if key is None or not parts:
        return {}
    if encoder == "libx265":
        parts["hdr10"] = "1"
    return {key: ":".join(f"{name}={value}" for name, value in parts.items())}
