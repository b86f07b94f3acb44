"""Where a dataset's images, flows and maps are read from, under the names that they are published with.

A dataset's folder holds files, or the same contents packed (`prepare task=pack`), or both: `packed/NAME/` is a pack,
and what is in no pack is read as a file. A packed image is a view of a memory-mapped shard: nothing is decoded, and
a crop reads its own rows.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datamodules.storage import flow_io
from datamodules.storage import image_io as images
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

    Every `key` is the sample that asks, for the error. Arrays may be read-only views. A store can be pickled; each
    process maps the shards itself.
    """

    def __init__(self, root: Path, packs: list[Pack]) -> None:
        self.root, self.packs = root, packs

    def read(self, name: str, key: str) -> NDArray[np.uint8]:
        """An image as H W 3, uint8, RGB.

        Raises:
            DataError: it is missing, cut off or no image, with its path and the sample.
        """
        found = self._packed(name, key)
        if found is None:
            return images.read(self.root / name, key)
        if found.dtype != np.uint8 or found.ndim != 3:
            raise DataError(f"sample {key}: {self.root / name} is packed as {_described(found)}, not as an image")
        return found

    def read_flow(self, name: str, key: str) -> NDArray[np.float32]:
        """A flow as H W 2, float32, pixels, from `.flo` or `.pfm`.

        Raises:
            DataError: it is missing, cut off or no flow, with its path and the sample.
        """
        found = self._packed(name, key)
        if found is None:
            try:
                return flow_io.read_flow(self.root / name)
            except DataError as error:
                raise DataError(f"sample {key}: {error}") from error
        if found.dtype != np.float32 or found.ndim != 3 or found.shape[2] < 2:
            raise DataError(f"sample {key}: {self.root / name} is packed as {_described(found)}, not as a flow")
        return found[..., :2]

    def read_array(self, name: str, key: str) -> NDArray:
        """An array as it is stored in a `.npy` file.

        Raises:
            DataError: it is missing or no such file, with its path and the sample.
        """
        found = self._packed(name, key)
        return images.read_array(self.root / name, key) if found is None else found

    def read_text(self, name: str) -> str:
        """A text file: a list of clips, say. Packed or not, it lies there as a file.

        Raises:
            DataError: it is missing or no text.
        """
        try:
            return (self.root / name).read_text()
        except OSError as error:
            raise DataError(f"{self.root / name} cannot be read: {error.strerror or error}") from error
        except UnicodeDecodeError as error:
            raise DataError(f"{self.root / name} is not a text file: {error}") from error

    def exists(self, name: str) -> bool:
        """Whether there is such a file or folder."""
        return any(pack.holds(name) for pack in self.packs) or (self.root / name).exists()

    def listed(self, folder: str = "") -> list[str]:
        """The images in a folder as names to `read`, in the order of the numbers in them (2 before 10).

        An empty list where there is none, or no such folder.
        """
        return [name for name in self._below(folder, folders=False) if name.lower().endswith(images.ENDINGS)]

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
        if place.is_dir():
            entries = [p for p in place.iterdir() if not p.name.startswith(".") and p.is_dir() == folders]
            names |= {prefix + p.name for p in entries}
        return sorted(names, key=images.natural)


def _described(array: NDArray) -> str:
    return f"{array.dtype} {'x'.join(map(str, array.shape))}"
