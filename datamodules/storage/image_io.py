"""Image and array files as arrays."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datamodules.storage.file_endings import ICC_ENDINGS, IMAGES
from vfi_train.errors import DataError

# H W 3, RGB, or H W 4, RGBA (colours not multiplied by alpha); uint8, uint16 (full scale, whatever the source's depth),
# or float32, in which 1 is white and brighter values are above it.
ImageArray = NDArray[Any]

EXR = b"\x76\x2f\x31\x01"
SCALES = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535, np.dtype(np.float32): 1}
DTYPES = {8: np.uint8, 16: np.uint16, 32: np.float32}


def read_image(path: Path, alpha: bool = False) -> ImageArray:
    """An image file as H W 3, RGB, uint8, uint16 or float32 (TIFF, EXR); grey becomes RGB.

    Args:
        path: the file.
        alpha: read transparent images as H W 4; otherwise they are laid over black.

    Raises:
        DataError: the file is missing, cut off, not an image, or holds values that are not finite.
    """
    content = _read_bytes(path)
    # Decoders fill the missing part of a PNG with grey, without an error.
    cut_off = not content or (content.startswith(b"\x89PNG") and b"IEND" not in content[-12:])
    image = None if cut_off else _decode(content)
    if image is None or image.dtype not in SCALES:
        state = "is cut off" if cut_off else "is not an image that can be decoded"
        raise DataError(f"{path} {state} ({len(content):,} bytes): replace it")
    if image.dtype == np.float32 and not np.isfinite(image).all():
        raise DataError(f"{path} holds values that are not finite: replace it")
    return image if alpha else flatten(image)


def read_icc(path: Path) -> bytes | None:
    """The colour profile of an image file, where it has one that Pillow reads."""
    try:
        with Image.open(path) as image:
            return image.info.get("icc_profile")
    except (OSError, ValueError):
        return None


def encode_image(image: ImageArray, ending: str, icc: bytes | None = None) -> bytes:
    """The content of an image file of this depth, with alpha where it has one."""
    if ending == ".exr":
        return _encode_exr(image)
    options = {".png": [cv2.IMWRITE_PNG_COMPRESSION, 3], ".jpg": [cv2.IMWRITE_JPEG_QUALITY, 95]}
    parameters = options.get(ending.replace("e", ""), [])
    pixels = cv2.cvtColor(image, cv2.COLOR_RGBA2BGRA if has_alpha(image) else cv2.COLOR_RGB2BGR)
    if icc is None or ending not in ICC_ENDINGS:
        _, content = cv2.imencode(ending, pixels, parameters)
    else:
        profile = np.frombuffer(icc, np.uint8)
        _, content = cv2.imencodeWithMetadata(ending, pixels, [cv2.IMAGE_METADATA_ICCP], [profile], parameters)
    return content.tobytes()


def has_alpha(image: ImageArray) -> bool:
    """Whether it is H W 4."""
    return image.shape[-1] == 4


def flatten(image: ImageArray, background: Sequence[float] = (0, 0, 0)) -> ImageArray:
    """H W 4 laid over a colour (RGB, 0..1), in its dtype; H W 3 as it is."""
    if not has_alpha(image):
        return image
    scale = SCALES[image.dtype]
    alpha = image[..., 3:].astype(np.float32) / scale
    over = image[..., :3] * alpha + np.asarray(background, np.float32) * scale * (1 - alpha)
    return (over if image.dtype == np.float32 else over.round()).astype(image.dtype)


def without_hidden(image: ImageArray) -> ImageArray:
    """H W 4 with black where it is fully transparent: codecs that subsample chroma mix in what is hidden there."""
    return np.where(image[..., 3:] > 0, image, 0).astype(image.dtype)


def to_bits(image: ImageArray, bits: int) -> ImageArray:
    """The image as uint8 (`bits` = 8), uint16 (9..16) or float32 (32); integers are rounded and end at full scale."""
    dtype = np.dtype(DTYPES[8 if bits == 8 else max(16, bits)])
    if image.dtype == dtype:
        return image
    if image.dtype == np.uint8 and dtype == np.uint16:
        return image.astype(np.uint16) * 257
    scaled = image.astype(np.float32) * np.float32(SCALES[dtype] / SCALES[image.dtype])
    return scaled if dtype == np.float32 else scaled.clip(0, SCALES[dtype]).round().astype(dtype)


def read_array(path: Path) -> NDArray:
    """The array of a `.npy` file.

    Raises:
        DataError: the file is missing, cut off, or does not hold a plain array.
    """
    content = _read_bytes(path)
    try:
        return np.lib.format.read_array(BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise DataError(f"{path} is not a complete .npy file ({error}): replace it") from error


def list_images(folder: Path) -> list[Path]:
    """The image files in a folder, in the order of their names, numbers by value (2 before 10)."""
    files = [p for p in folder.iterdir() if p.suffix.lower() in IMAGES and not p.name.startswith(".") and p.is_file()]
    return sorted(files, key=lambda p: natural_key(p.name))


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """A key to sort names by, with numbers in them by value."""
    parts = filter(None, re.split(r"(\d+)", name))
    return tuple((0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts)


def _decode(content: bytes) -> ImageArray | None:
    if content.startswith(EXR):
        return _decode_exr(content)
    data = np.frombuffer(content, np.uint8)
    if _may_hold_alpha(content):  # this flag leaves EXIF's rotation out
        image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
        if image is not None and image.ndim == 3 and image.shape[2] == 4:
            return cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    return None if image is None else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _may_hold_alpha(content: bytes) -> bool:
    """By the header, so that most images are decoded once."""
    if content.startswith(b"\x89PNG"):
        return content[25:26] in (b"\4", b"\6") or b"tRNS" in content[: content.find(b"IDAT")]
    if content[8:12] == b"WEBP":
        return content[12:16] == b"VP8L" or (content[12:16] == b"VP8X" and bool(content[20] & 16))
    return content[:4] in (b"II*\0", b"MM\0*")  # TIFF


def _decode_exr(content: bytes) -> ImageArray | None:
    """By FFmpeg; OpenCV is built without OpenEXR. Its colours are multiplied by alpha."""
    decoder: Any = av.codec.CodecContext.create("exr", "r")
    try:
        frame = [*decoder.decode(av.Packet(content)), *decoder.decode(None)][0]
    except (av.error.FFmpegError, IndexError):
        return None
    alpha = any(component.is_alpha for component in frame.format.components)
    if frame.format.name in ("gbrpf16le", "gbrapf16le"):  # swscale clips half floats
        planes = [np.frombuffer(bytes(plane), np.float16).reshape(frame.height, -1) for plane in frame.planes]
        image = np.stack([planes[i][:, : frame.width] for i in (2, 0, 1, 3)[: len(planes)]], axis=-1).astype(np.float32)
    else:
        image = frame.reformat(format="gbrapf32le" if alpha else "gbrpf32le").to_ndarray()
    if alpha:
        image[..., :3] /= np.where(image[..., 3:] > 0, image[..., 3:], 1)
    return image


def _encode_exr(image: ImageArray) -> bytes:
    form, image = "gbrapf32le" if has_alpha(image) else "gbrpf32le", to_bits(image, 32)
    if has_alpha(image):
        image = np.concatenate((image[..., :3] * image[..., 3:], image[..., 3:]), axis=-1)
    encoder: Any = av.codec.CodecContext.create("exr", "w")
    encoder.height, encoder.width, encoder.pix_fmt, encoder.time_base = *image.shape[:2], form, Fraction(1)
    encoder.options = {"format": "float", "compression": "zip16"}
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format=form)
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path} is missing") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
