"""Packs: many images, flows and maps in a few large files with an index, to be memory-mapped.

index.json    number of arrays, sizes of the shards, and the source; written last
names.npy     names, sorted as bytes
entries.npy   for each name: shard, offset, dtype, shape, checksum
00000.bin ... shards: the arrays one after the other, each at a multiple of 64 bytes
"""

from __future__ import annotations

import json
import mmap
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vfi_train.errors import DataError

FORMAT = 1
ALIGNMENT = 64  # bytes
ENTRY = np.dtype(  # channels of 0: H W
    [
        *(("shard", "<u4"), ("offset", "<u8"), ("dtype", "S3")),
        *(("height", "<u4"), ("width", "<u4"), ("channels", "<u4"), ("checksum", "<u4")),
    ]
)


class Pack:
    """A pack in a folder, open for reading.

    Raises:
        DataError: its index is broken or of another format, or a shard is missing or has another size.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self.index: dict[str, Any] = json.loads((folder / "index.json").read_text())
            if self.index["format"] != FORMAT:
                raise DataError(f"{folder} is of format {self.index['format']}, not {FORMAT}: pack it again")
            self.sizes: list[int] = self.index["shards"]
            self._open()
        except DataError:
            raise
        except (OSError, ValueError, KeyError, TypeError) as error:  # of json and NumPy
            raise DataError(f"the index of the pack {folder} is broken ({error}): pack it again") from error
        for number, expected in enumerate(self.sizes):
            path = self._shard_path(number)
            size = path.stat().st_size if path.is_file() else None
            if size != expected:
                state = "is missing" if size is None else f"is {size:,} bytes long, not {expected:,}"
                raise DataError(f"the shard {path} {state}: delete it and pack again, which writes only that one")

    def __len__(self) -> int:
        return len(self.names)

    def read(self, name: str, key: str = "") -> NDArray | None:
        """The array `name`, a read-only view of its shard; None if it does not exist."""
        row = self._row(name)
        return None if row is None else self._view(row, key or name)

    def holds(self, name: str) -> bool:
        """Whether there is an array or a folder `name`."""
        return self._row(name) is not None or len(self._range(f"{name.rstrip('/')}/")) > 0

    def below(self, prefix: str, folders: bool) -> list[str]:
        """The names of the arrays, or of the folders, in the folder `prefix` (which ends with "/")."""
        rows = self._range(prefix)
        found = []
        row = rows.start
        while row < rows.stop:
            name = self.names[row].decode()
            inner, slash, _ = name[len(prefix) :].partition("/")
            if slash:  # skip the content of that folder
                row = self._range(f"{prefix}{inner}/").stop
            else:
                row += 1
            if bool(slash) == folders:
                found.append(prefix + inner)
        return found

    def is_intact(self, row: int) -> bool:
        """Whether the array in that row of the index has its checksum."""
        view = self._view(row, self.names[row].decode())
        return zlib.crc32(view.reshape(-1).view(np.uint8).data) == int(self.entries["checksum"][row])

    def _view(self, row: int, key: str) -> NDArray:
        shard, offset, dtype, height, width, channels, _ = self.entries[row].item()
        size = (height, width, channels) if channels else (height, width)
        if shard not in self._maps:
            self._maps[shard] = self._map(shard, key)
        try:
            return np.frombuffer(self._maps[shard], dtype, height * width * (channels or 1), offset).reshape(size)
        except (ValueError, TypeError) as error:
            place = f"{self._shard_path(shard)} at {offset:,}"
            raise DataError(
                f"sample {key}: the index gives {place}, which does not exist ({error}): pack again"
            ) from error

    def _map(self, shard: int, key: str) -> mmap.mmap:
        path = self._shard_path(shard)
        try:
            with path.open("rb") as file:
                return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise DataError(f"sample {key}: the shard {path} cannot be read ({error}): pack it again") from error

    def _row(self, name: str) -> int | None:
        encoded = name.encode()
        if len(encoded) > self.names.itemsize:
            return None
        row = int(self.names.searchsorted(encoded))
        return row if row < len(self.names) and self.names[row] == encoded else None

    def _range(self, prefix: str) -> range:
        """The rows whose names begin with `prefix`, which ends with "/" or is empty."""
        if not prefix:
            return range(len(self.names))
        first, after = prefix.encode(), prefix[:-1].encode() + b"0"  # "0" is the character after "/"
        if len(first) > self.names.itemsize:
            return range(0)
        return range(int(self.names.searchsorted(first)), int(self.names.searchsorted(after)))

    def _shard_path(self, number: int) -> Path:
        return self.folder / f"{number:05d}.bin"

    def _open(self) -> None:
        self.names: NDArray[np.bytes_] = np.asarray(np.load(self.folder / "names.npy", mmap_mode="r"))
        self.entries: NDArray[np.void] = np.asarray(np.load(self.folder / "entries.npy", mmap_mode="r"))
        if self.entries.dtype != ENTRY or not len(self.names) == len(self.entries) == self.index["entries"]:
            raise DataError(f"the index of the pack {self.folder} is broken (its parts do not match): pack it again")
        self._maps: dict[int, mmap.mmap] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder, "index": self.index, "sizes": self.sizes}  # each process maps the shards itself

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()
