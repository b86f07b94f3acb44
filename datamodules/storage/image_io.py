"""Image files as arrays."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vfi_train.errors import DataError

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".webp")


def read(path: Path, key: str) -> NDArray[np.uint8]:
    """An image as H W 3, uint8, RGB.

    Args:
        path: the file.
        key: the sample that needs it, for the error.

    Raises:
        DataError: the file is missing, is cut off, or is no image.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"sample {key}: {path} is missing") from None
    except OSError as error:
        raise DataError(f"sample {key}: {path} cannot be read: {error.strerror or error}") from error
    # Decoders fill the missing part of an image with grey, and say nothing.
    cut_off = path.suffix.lower() == ".png" and b"IEND" not in content[-12:]
    image = None if cut_off or not content else cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        state = "is cut off" if cut_off else "is not an image that can be decoded"
        raise DataError(f"sample {key}: {path} {state} ({len(content):,} bytes): fetch or extract it again")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)  # type: ignore[return-value]


def read_array(path: Path, key: str) -> NDArray:
    """The array of a `.npy` file.

    Args:
        path: the file.
        key: the sample that needs it, for the error.

    Raises:
        DataError: the file is missing, is cut off, or holds no plain array.
    """
    try:
        with path.open("rb") as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    except FileNotFoundError:
        raise DataError(f"sample {key}: {path} is missing") from None
    except OSError as error:
        raise DataError(f"sample {key}: {path} cannot be read: {error.strerror or error}") from error
    except (ValueError, EOFError) as error:
        raise DataError(f"sample {key}: {path} is not a whole .npy file ({error}): make it anew") from error


def listed(folder: Path) -> list[Path]:
    """The image files in a folder, in the order of their names, numbers by value (2 before 10)."""
    files = [p for p in folder.iterdir() if p.suffix.lower() in ENDINGS and not p.name.startswith(".")]
    return sorted(files, key=lambda p: natural(p.name))


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """A key to sort names by, with numbers in them by value."""
    parts: list[str] = [""]
    for character in name:
        if parts[-1] and parts[-1][-1].isdigit() == character.isdigit():
            parts[-1] += character
        else:
            parts.append(character)
    return tuple((0, int(p), p) if p.isdecimal() else (1, 0, p) for p in parts[1:])
