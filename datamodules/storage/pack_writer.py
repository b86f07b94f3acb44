"""Writing a pack (see `packs`), shard by shard: what is whole stays, so that a killed program goes on there.

Beside each shard lies its part of the index, `00000.part.npz`; `finish` joins them.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.storage.pack import ALIGNMENT, ENTRY, FORMAT
from vfi_train.errors import UserError


def write_shard(folder: Path, number: int, arrays: Iterable[tuple[str, NDArray]]) -> int:
    """Write a shard and the part of the index that belongs to it; returns its size in bytes.

    Args:
        folder: the pack's.
        number: of the shard.
        arrays: name and array (H W or H W C; numbers of up to 8 bytes), one after the other.
    """
    names, entries, size = [], [], 0
    _shard(folder, number).unlink(missing_ok=True)  # a broken one
    partial = folder / f"{number:05d}.bin.part"
    with partial.open("wb") as file:
        for name, array in arrays:
            if array.ndim not in (2, 3) or 0 in array.shape:
                raise UserError(f"a pack holds arrays H W or H W C; {name} has the shape {array.shape}")
            little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
            content = little.reshape(-1).view(np.uint8).data
            shape = (*array.shape, 0)[:3]
            names.append(name.encode())
            entries.append((number, size, little.dtype.str.encode(), *shape, zlib.crc32(content)))
            file.write(content)
            file.write(bytes(-len(content) % ALIGNMENT))
            size += len(content) + -len(content) % ALIGNMENT
    with _part(folder, number).open("wb") as file:
        np.savez(file, names=np.array(names, np.bytes_), entries=np.array(entries, ENTRY), size=size)
    partial.replace(_shard(folder, number))  # last: a shard that is there has its part of the index
    return size


def is_whole(folder: Path, number: int) -> bool:
    """Whether that shard was written to its end."""
    shard, part = _shard(folder, number), _part(folder, number)
    return shard.is_file() and part.is_file() and shard.stat().st_size == int(np.load(part)["size"])


def finish(folder: Path, shards: int, facts: dict[str, Any]) -> None:
    """Join the parts of the index: from here on, the pack can be opened.

    Args:
        folder: the pack's.
        shards: how many were written.
        facts: where the contents come from, kept in the index.
    """
    parts = [np.load(_part(folder, number)) for number in range(shards)]
    names = np.concatenate([part["names"] for part in parts])
    entries = np.concatenate([part["entries"] for part in parts])
    order = np.argsort(names, kind="stable")
    index = {"format": FORMAT, "entries": len(names), "shards": [int(part["size"]) for part in parts], **facts}
    for name, array in (("names.npy", names[order]), ("entries.npy", entries[order])):
        np.save(folder / f"part.{name}", array)
        (folder / f"part.{name}").replace(folder / name)
    (folder / "part.index.json").write_text(json.dumps(index, indent=1) + "\n")
    (folder / "part.index.json").replace(folder / "index.json")


def _shard(folder: Path, number: int) -> Path:
    return folder / f"{number:05d}.bin"


def _part(folder: Path, number: int) -> Path:
    return folder / f"{number:05d}.part.npz"
