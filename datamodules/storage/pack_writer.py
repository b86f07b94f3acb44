"""Writing a pack (see `pack`) shard by shard: complete shards stay, so that a killed program can continue.

Each shard has its part of the index, `00000.part.npz`; `finish` joins them.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.storage.atomic_write import atomic_file, write_text
from datamodules.storage.pack import ALIGNMENT, ENTRY, FORMAT
from vfi_train.errors import UserError


def write_shard(folder: Path, number: int, arrays: Iterable[tuple[str, NDArray]]) -> None:
    """Write a shard and the part of the index that belongs to it.

    Args:
        folder: the pack's.
        number: of the shard.
        arrays: name and array (H W or H W C; numbers of up to 8 bytes), one after the other.
    """
    names, entries, size = [], [], 0
    _shard(folder, number).unlink(missing_ok=True)  # a broken one
    with atomic_file(_shard(folder, number)) as partial:
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
        with _part(folder, number).open("wb") as file:  # before the shard appears: it is complete only with its part
            np.savez(file, names=np.array(names, np.bytes_), entries=np.array(entries, ENTRY), size=size)


def is_complete(folder: Path, number: int) -> bool:
    """Whether the shard was written completely."""
    shard, part = _shard(folder, number), _part(folder, number)
    return shard.is_file() and part.is_file() and shard.stat().st_size == int(np.load(part)["size"])


def finish(folder: Path, shards: int, facts: dict[str, Any]) -> None:
    """Join the parts of the index, after which the pack can be opened.

    Args:
        folder: the pack's.
        shards: how many were written.
        facts: about the contents, kept in the index.
    """
    parts = [np.load(_part(folder, number)) for number in range(shards)]
    names = np.concatenate([part["names"] for part in parts])
    entries = np.concatenate([part["entries"] for part in parts])
    order = np.argsort(names, kind="stable")
    index = {"format": FORMAT, "entries": len(names), "shards": [int(part["size"]) for part in parts], **facts}
    for name, array in (("names.npy", names[order]), ("entries.npy", entries[order])):
        with atomic_file(folder / name) as partial, partial.open("wb") as file:
            np.save(file, array)
    write_text(folder / "index.json", json.dumps(index, indent=1) + "\n")


def _shard(folder: Path, number: int) -> Path:
    return folder / f"{number:05d}.bin"


def _part(folder: Path, number: int) -> Path:
    return folder / f"{number:05d}.part.npz"
