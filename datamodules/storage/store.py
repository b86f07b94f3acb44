"""Reading a dataset's images, flows and maps by their published names.

A dataset's folder holds files, or the same contents packed (`prepare task=pack`), or both: `packed/NAME/` is a pack,
and what is in no pack is read as a file. A packed image is a view of a memory-mapped shard: nothing is decoded, and
a crop reads only its rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datamodules.storage import flow_io, image_io
from datamodules.storage.file_endings import IMAGES
from datamodules.storage.pack import Pack
from vfi_train.errors import DataError


def open_store(root: str | Path, without: str | None = None) -> Store:
    """The store of a dataset's folder, packed or not.

    Args:
        root: the folder.
        without: the name of a pack that is left out.

    Raises:
        DataError: a pack in it is broken.
    """
    root = Path(root)
    folders = [index.parent for index in sorted(root.glob("packed/*/index.json"))]
    return Store(root, [Pack(folder) for folder in folders if folder.name != without])


class Store:
    """Files and packs below one folder. A name is a path relative to it, written with "/".

    `key` is the sample, for the error message. Arrays may be read-only views. A store can be pickled; each process
    maps the shards itself.
    """

    def __init__(self, root: Path, packs: list[Pack]) -> None:
        self.root, self.packs = root, packs

    def read(self, name: str, key: str) -> NDArray[np.uint8]:
        """An image as H W 3, uint8, RGB.

        Raises:
            DataError: it is missing, cut off or not an image, with its path and the sample.
        """
        found = self._packed(name, key)
        if found is None:
            with _of_sample(key):
                return image_io.to_bits(image_io.read_image(self.root / name), 8)
        if found.dtype != np.uint8 or found.ndim != 3:
            raise DataError(f"sample {key}: {self.root / name} is packed as {_described(found)}, not as an image")
        return found

    def read_flow(self, name: str, key: str) -> NDArray[np.float32]:
        """A flow as H W 2, float32, pixels, from `.flo` or `.pfm`.

        Raises:
            DataError: it is missing, cut off or not a flow, with its path and the sample.
        """
        found = self._packed(name, key)
        if found is None:
            with _of_sample(key):
                return flow_io.read_flow(self.root / name)
        if found.dtype != np.float32 or found.ndim != 3 or found.shape[2] < 2:
            raise DataError(f"sample {key}: {self.root / name} is packed as {_described(found)}, not as a flow")
        return found[..., :2]

    def read_array(self, name: str, key: str) -> NDArray:
        """An array as it is stored in a `.npy` file.

        Raises:
            DataError: it is missing or not a `.npy` file, with its path and the sample.
        """
        found = self._packed(name, key)
        if found is not None:
            return found
        with _of_sample(key):
            return image_io.read_array(self.root / name)

    def read_text(self, name: str) -> str:
        """A text file (a list of clips); it is a file also where the images are packed.

        Raises:
            DataError: it is missing or not text.
        """
        try:
            return (self.root / name).read_text()
        except OSError as error:
            raise DataError(f"{self.root / name} cannot be read: {error.strerror or error}") from error
        except UnicodeDecodeError as error:
            raise DataError(f"{self.root / name} is not a text file: {error}") from error

    def exists(self, name: str) -> bool:
        """Whether the file or folder exists."""
        return any(pack.holds(name) for pack in self.packs) or (self.root / name).exists()

    def listed(self, folder: str = "") -> list[str]:
        """The images in a folder as names to `read`, in the order of the numbers in them (2 before 10).

        Empty where there is none, or no such folder.
        """
        return [name for name in self._below(folder, folders=False) if name.lower().endswith(IMAGES)]

    def folders(self, folder: str = "") -> list[str]:
        """The folders in a folder as names, in the order of the numbers in them."""
        return [name for name in self._below(folder, folders=True) if name != "packed"]

    def _packed(self, name: str, key: str) -> NDArray | None:
        for pack in self.packs:
            found = pack.read(name, key)
            if found is not None:
                return found
        return None

    def _below(self, folder: str, folders: bool) -> list[str]:
        prefix = f"{folder.rstrip('/')}/" if folder.strip("/") else ""
        names = {name for pack in self.packs for name in pack.below(prefix, folders)}
        place = self.root / folder
        try:
            entries = list(place.iterdir()) if place.is_dir() else []
        except OSError as error:
            raise DataError(f"{place} cannot be read: {error.strerror or error}") from error
        names |= {prefix + p.name for p in entries if not p.name.startswith(".") and p.is_dir() == folders}
        return sorted(names, key=image_io.natural_key)


@contextmanager
def _of_sample(key: str) -> Iterator[None]:
    """Name the sample in errors."""
    try:
        yield
    except DataError as error:
        raise DataError(f"sample {key}: {error}") from error


def _described(array: NDArray) -> str:
    return f"{array.dtype} {'x'.join(map(str, array.shape))}"
