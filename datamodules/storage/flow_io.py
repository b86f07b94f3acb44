"""Flow files: `.flo` (Middlebury), `.pfm` and `.float3`.

Formats: IFRNet's repository (CVPR 2022), its file of helpers, and the Middlebury flow code's `.flo`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from vfi_train.errors import DataError, UserError

FLO_TAG = b"PIEH"  # the float 202021.25, little endian
MAX_SIDE = 100_000  # pixels; beyond, the header is broken
Array = NDArray[np.float32]


def read(path: str | Path) -> Array:
    """A float array from a file; its ending gives the format. Rows are from top to bottom.

    Returns:
        `.flo`: H W 2, pixels, x then y. `.pfm`: H W, or H W 3. `.float3`: N, H W, or H W C.

    Raises:
        DataError: the file is missing, cut off, or not of the format of its ending.
    """
    path = Path(path)
    reader, _ = _format(path)
    try:
        with path.open("rb") as file:
            return reader(file)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, IndexError) as error:
        raise DataError(f"{path} is not a complete {path.suffix} file: {error}") from error


def write(path: str | Path, array: NDArray) -> None:
    """Write what `read` reads.

    Raises:
        UserError: the format does not hold the array's shape.
    """
    path = Path(path)
    _, writer = _format(path)
    content = writer(np.ascontiguousarray(array, dtype="<f4"))
    path.write_bytes(content)


def read_flow(path: str | Path) -> Array:
    """A flow H W 2 from `.flo` or `.pfm` (its first two channels)."""
    array = read(path)
    if array.ndim != 3 or array.shape[2] < 2:
        raise DataError(f"{path} holds an array of the shape {array.shape}, not a flow H W 2")
    return array[..., :2]


def _read_flo(file: BinaryIO) -> Array:
    if file.read(4) != FLO_TAG:
        raise UserError("it does not start with PIEH")
    width, height = np.frombuffer(file.read(8), "<i4")
    if not (0 < width < MAX_SIDE and 0 < height < MAX_SIDE):
        raise UserError(f"a size of {height}x{width}")
    return _numbers(file, "<f4", (int(height), int(width), 2))


def _write_flo(array: Array) -> bytes:
    if array.ndim != 3 or array.shape[2] != 2:
        raise UserError(f"a .flo file holds a flow H W 2; got the shape {array.shape}")
    return FLO_TAG + np.array((array.shape[1], array.shape[0]), "<i4").tobytes() + array.tobytes()


def _read_pfm(file: BinaryIO) -> Array:
    channels = {b"PF": (3,), b"Pf": ()}.get(file.readline().strip())
    if channels is None:
        raise UserError("it starts with neither PF nor Pf")
    width, height = (int(n) for n in file.readline().split())
    kind = "<f4" if float(file.readline()) < 0 else ">f4"
    return np.ascontiguousarray(_numbers(file, kind, (height, width, *channels))[::-1])  # stored from the bottom


def _write_pfm(array: Array) -> bytes:
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3))):
        raise UserError(f"a .pfm file holds H W or H W 3; got the shape {array.shape}")
    kind = "PF" if array.shape[2:] == (3,) else "Pf"
    header = f"{kind}\n{array.shape[1]} {array.shape[0]}\n{-1:f}\n"
    return header.encode() + array[::-1].tobytes()


def _read_float3(file: BinaryIO) -> Array:
    if file.readline().strip() != b"float":
        raise UserError("it does not start with float")
    sizes = [int(file.readline()) for _ in range(int(file.readline()))]
    shape = tuple(reversed(sizes))  # width, height, channels are stored; channels come first in the data
    array = _numbers(file, "<f4", shape)
    return np.ascontiguousarray(array.transpose(1, 2, 0)) if len(shape) == 3 else array


def _write_float3(array: Array) -> bytes:
    if array.ndim not in (1, 2, 3):
        raise UserError(f"a .float3 file holds 1 to 3 dimensions; got the shape {array.shape}")
    stored = array.transpose(2, 0, 1) if array.ndim == 3 else array
    sizes = "".join(f"{n}\n" for n in reversed(stored.shape))
    return f"float\n{array.ndim}\n{sizes}".encode() + stored.tobytes()


def _numbers(file: BinaryIO, kind: str, shape: tuple[int, ...]) -> Array:
    content = file.read()
    expected = int(np.prod(shape)) * 4
    if len(content) < expected:
        raise UserError(f"{len(content)} bytes of numbers where its size {shape} takes {expected}")
    return np.frombuffer(content[:expected], kind).reshape(shape).astype(np.float32)


FORMATS: dict[str, tuple[Callable[[BinaryIO], Array], Callable[[Array], bytes]]] = {
    ".flo": (_read_flo, _write_flo),
    ".pfm": (_read_pfm, _write_pfm),
    ".float3": (_read_float3, _write_float3),
}


def _format(path: Path) -> tuple[Callable[[BinaryIO], Array], Callable[[Array], bytes]]:
    if path.suffix not in FORMATS:
        raise UserError(f"{path} is not a float file: its ending is none of {', '.join(FORMATS)}")
    return FORMATS[path.suffix]
