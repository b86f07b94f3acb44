"""`task=pack`: the images, flows and maps of a dataset decoded, in a few large files to be memory-mapped."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from datamodules.file_dataset import StoredData, evenly_spaced
from datamodules.storage import flow_io
from datamodules.storage.atomic_write import atomic_file, write_text
from datamodules.storage.disk import free_bytes
from datamodules.storage.file_endings import IMAGES
from datamodules.storage.pack_writer import finish, is_complete, write_shard
from datamodules.storage.store import Store, open_store
from vfi_train.errors import UserError, make_folder
from vfi_train.prepare import disk
from vfi_train.prepare.dataset_issue import name_of
from vfi_train.prepare.workers import parallel_map
from vfi_train.ranges import AboveZero, FileName
from vfi_train.runtime.console import GIB, MIB

SAMPLED = 400  # files whose sizes give an estimate of all sizes
PLAN = "plan.json"
PACKED = (*IMAGES, *flow_io.FORMATS, ".npy")


def pack(data: StoredData, output: Path, name: FileName, shard: AboveZero, processes: int | None) -> None:
    """Pack what a dataset reads into a dataset folder of the same layout.

    Args:
        data: the dataset.
        output: the folder; may be the dataset's own.
        name: of the pack; what other packs of `output` hold is left out.
        shard: MiB in a file, approximately.
        processes: see `parallel_map`.

    Raises:
        UserError: there is nothing to pack, the disk has no room, or another pack of that name was begun.
        DataError: a file is missing or broken.
    """
    others = open_store(output, without=name).packs
    if data.root is not None and data.root.resolve() == output.resolve():
        data.store = open_store(output, without=name)  # this pack may be incomplete
    files = [file for file, _ in data.files()]
    names = [n for n in files if n.lower().endswith(PACKED) and not any(p.read(n) is not None for p in others)]
    if not names:
        raise UserError(f"data={name_of(data)} has nothing to pack that {output} does not hold already")
    write_pack(data.store, names, output / "packed" / name, shard, processes)
    for file in unpacked_files(data.store, files):
        _copy(data.store.root / file, output / file)
    print(f"give data.root={output} to read it")


def write_pack(store: Store, names: Sequence[str], folder: Path, shard: float, processes: int | None) -> None:
    """Write the pack `folder`, or what is missing of it; see `pack`."""
    began = time.monotonic()
    size = estimate(store, names)
    per_shard = max(1, round(shard * MIB * len(names) / size))
    jobs = [(i, names[s : s + per_shard]) for i, s in enumerate(range(0, len(names), per_shard))]
    plan = plan_of(folder, names, per_shard)
    left = [job for job in jobs if not is_complete(folder, job[0])]
    print(
        f"{len(names):,} files take about {size / GIB:,.2f} GiB in {len(jobs):,} shards; {len(left):,} are to be "
        f"written to {folder}, where {free_bytes(folder) / GIB:,.1f} GiB are free",
        flush=True,
    )
    disk.require(folder, size * len(left) // len(jobs), f"the pack {folder.name}")
    begin(folder, plan)
    for _ in parallel_map(partial(pack_shard, store, folder), left, processes, "shards"):
        pass
    finish(folder, len(jobs), {"files": len(names)})
    print(f"packed {len(names):,} files in {time.monotonic() - began:,.0f} s")


def plan_of(
    folder: Path, names: Sequence[str], per_shard: int, facts: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What the contents of a pack depend on. A folder without a shard belongs to no plan yet.

    Args:
        folder: of the pack.
        names: of its contents.
        per_shard: how many of them, or of the units that they come in, are in a shard.
        facts: what else the contents depend on.

    Raises:
        UserError: the folder holds shards of another plan.
    """
    plan = {"files": hashlib.sha256("\n".join(names).encode()).hexdigest(), "per_shard": per_shard, **(facts or {})}
    note = folder / PLAN
    if any(folder.glob("*.bin")) and note.is_file() and json.loads(note.read_text()) != plan:
        raise UserError(
            f"{folder} was begun for other files or with other settings: give those again, choose another name or "
            "output=..., or delete it"
        )
    return plan


def begin(folder: Path, plan: Mapping[str, Any]) -> None:
    """Make the folder of a pack, with what its contents depend on."""
    make_folder(folder, "output")
    write_text(folder / PLAN, json.dumps(plan) + "\n")


def pack_shard(store: Store, folder: Path, job: tuple[int, Sequence[str]]) -> None:
    """Write one shard: its number, and the names of its files."""
    number, names = job
    write_shard(folder, number, ((name, read_any(store, name)) for name in names))


def read_any(store: Store, name: str) -> np.ndarray:
    """The array in a file, read by the ending of its name."""
    if name.lower().endswith(IMAGES):
        return store.read(name, name)
    return store.read_array(name, name) if name.endswith(".npy") else store.read_flow(name, name)


def estimate(store: Store, names: Sequence[str]) -> int:
    """Bytes that files take when they are packed, from a sample of them."""
    sizes = [_unpacked_size(store, name) for name in evenly_spaced(names, SAMPLED)]
    return int(np.mean(sizes) * len(names))


def unpacked_files(store: Store, files: Sequence[str]) -> list[str]:
    """What is copied as it is: lists, and files of a kind that is not packed."""
    lists = [p.relative_to(store.root).as_posix() for pattern in ("*.txt", "*/*.txt") for p in store.root.glob(pattern)]
    return [*lists, *(name for name in files if not name.lower().endswith(PACKED))]


def _unpacked_size(store: Store, name: str) -> int:
    path = store.root / name
    if not path.is_file() or not name.lower().endswith(IMAGES):
        return path.stat().st_size if path.is_file() else read_any(store, name).nbytes
    try:
        with Image.open(path) as image:  # reads only the header
            return image.width * image.height * 3
    except OSError:  # a format that only OpenCV reads, or a broken file, of which read_any says what is wrong
        return read_any(store, name).nbytes


def _copy(source: Path, target: Path) -> None:
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(target) as partial_copy:
            shutil.copyfile(source, partial_copy)
