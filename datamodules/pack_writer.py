"""Writing a pack (see `packs`), shard by shard: what is whole stays, so that a killed program goes on there."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.packs import ALIGNMENT, ENTRY, FORMAT


def write_shard(folder: Path, number: int, arrays: Iterable[tuple[str, NDArray]]) -> int:
    """Write a shard and the part of the index that belongs to it; returns its size in bytes.

    Args:
        folder: the pack's.
        number: of the shard.
        arrays: name and array (H W or H W C; numbers of up to 8 bytes), one after the other.
    """
    names, entries, offset = [], [], 0
    partial = folder / f"{number:05d}.bin.part"
    with partial.open("wb") as file:
        for name, array in arrays:
            if array.ndim not in (2, 3) or 0 in array.shape:
                raise ValueError(f"a pack holds arrays H W or H W C; {name} has the shape {array.shape}")
            little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
            content = little.reshape(-1).view(np.uint8).data
            shape = (*array.shape, 0)[:3]
            names.append(name.encode())
            entries.append((number, offset, little.dtype.str.encode(), *shape, zlib.crc32(content)))
            file.write(content)
            file.write(bytes(-len(content) % ALIGNMENT))
            offset += len(content) + -len(content) % ALIGNMENT
    part = folder / f"{number:05d}.part.npz"
    with part.open("wb") as file:
        np.savez(file, names=np.array(names, np.bytes_), entries=np.array(entries, ENTRY))
    partial.replace(folder / f"{number:05d}.bin")
    return offset


def shard_is_whole(folder: Path, number: int) -> bool:
    """Whether that shard was written to its end, and its part of the index is still there."""
    return (folder / f"{number:05d}.bin").is_file() and (folder / f"{number:05d}.part.npz").is_file()


def finish(folder: Path, shards: int, facts: dict[str, Any]) -> None:
    """Join the parts of the index: from here on, the pack can be opened.

    Args:
        folder: the pack's.
        shards: how many were written.
        facts: where the contents come from, kept in the index.
    """
    parts = [folder / f"{number:05d}.part.npz" for number in range(shards)]
    loaded = [np.load(part) for part in parts]
    names = np.concatenate([part["names"] for part in loaded])
    entries = np.concatenate([part["entries"] for part in loaded])
    order = np.argsort(names, kind="stable")
    np.save(folder / "names.npy", names[order])
    np.save(folder / "entries.npy", entries[order])
    sizes = [(folder / f"{number:05d}.bin").stat().st_size for number in range(shards)]
    index = {"format": FORMAT, "entries": len(names), "shards": sizes, **facts}
    partial = folder / "index.json.part"
    partial.write_text(json.dumps(index, indent=1) + "\n")
    partial.replace(folder / "index.json")
    for part in parts:
        part.unlink()
