"""Image and array files as arrays."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from datamodules.storage.file_endings import IMAGES
from vfi_train.errors import DataError

ImageArray = NDArray[Any]  # H W 3, RGB, uint8 or uint16; 16 bits are full scale, whatever the source's depth


def read_image(path: Path) -> ImageArray:
    """An image file as H W 3, RGB, uint8 or uint16; grey becomes RGB, transparency is left out.

    Raises:
        DataError: the file is missing, cut off, or not an image.
    """
    content = _read_bytes(path)
    # Decoders fill the missing part of a PNG with grey, without an error.
    cut_off = not content or (content.startswith(b"\x89PNG") and b"IEND" not in content[-12:])
    image = None
    if not cut_off:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    if image is None or image.dtype not in (np.uint8, np.uint16):
        state = "is cut off" if cut_off else "is not an image that can be decoded"
        raise DataError(f"{path} {state} ({len(content):,} bytes): replace it")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def to_bits(image: ImageArray, bits: int) -> ImageArray:
    """The image as uint8 (`bits` = 8; rounded) or uint16 (`bits` > 8)."""
    if bits == 8:
        return image if image.dtype == np.uint8 else (image / 257).round().astype(np.uint8)
    return image if image.dtype == np.uint16 else image.astype(np.uint16) * 257


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
    files = [p for p in folder.iterdir() if p.suffix.lower() in IMAGES and not p.name.startswith(".")]
    return sorted(files, key=lambda p: natural_key(p.name))


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """A key to sort names by, with numbers in them by value."""
    parts: list[str] = [""]
    for character in name:
        if parts[-1] and parts[-1][-1].isdigit() == character.isdigit():
            parts[-1] += character
        else:
            parts.append(character)
    return tuple((0, int(p), p) if p.isdecimal() else (1, 0, p) for p in parts[1:])


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path} is missing") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
