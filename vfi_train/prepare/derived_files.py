"""Files computed from a dataset's frames, single or packed: existing ones stay, and a note says what made them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.storage import flow_io
from datamodules.storage.atomic_write import atomic_file, write_text
from datamodules.storage.pack_writer import finish, is_complete, write_shard
from vfi_train.errors import UserError, make_folder
from vfi_train.prepare import disk
from vfi_train.prepare.pack import begin, plan_of
from vfi_train.runtime.console import MIB
from vfi_train.runtime.progress import ProgressReporter

Arrays = Iterable[tuple[str, NDArray]]  # names and arrays


@dataclass(frozen=True)
class Unit:
    """Files that are computed together: their names, and the function that computes them."""

    names: Sequence[str]
    compute: Callable[[], Arrays]


@dataclass(frozen=True)
class Writing:
    """How files are written.

    Args:
        packed: in a pack instead of single files.
        part: which part of how many, counted from 1: several machines share the work.
        shard: MiB in a file of a pack, approximately.
    """

    packed: bool
    part: tuple[int, int]
    shard: float


def write_derived(
    kind: str, units: Sequence[Unit], size: int, output: Path, facts: Mapping[str, Any], writing: Writing
) -> None:
    """Compute the files of all units, except existing ones.

    Args:
        kind: "flow" or "distance": the name of the pack, and of the note.
        units: in their order.
        size: bytes that the files of a unit take.
        output: the folder that the names are relative to.
        facts: what the contents depend on.
        writing: files or packs, and which part of the work.

    Raises:
        UserError: files made in another way exist, or the disk has no room.
    """
    number, parts = writing.part
    mine = units[len(units) * (number - 1) // parts : len(units) * number // parts]
    if writing.packed:
        name = kind if parts == 1 else f"{kind}-{number}-of-{parts}"
        _write_pack(output / "packed" / name, mine, size, facts, writing.shard)
    else:
        _write_files(output, kind, mine, size, facts)
    print(f"{sum(len(unit.names) for unit in mine):,} files of {kind} are in {output}")


def parse_shard(text: str) -> tuple[int, int]:
    """Which part of how many: "2/4" is (2, 4).

    Raises:
        UserError: it is none.
    """
    number, slash, parts = str(text).partition("/")
    if not (slash and number.isdecimal() and parts.isdecimal() and 1 <= int(number) <= int(parts)):
        raise UserError(f"flow.shard={text} is not a part of the work: give 1/4, 2/4, 3/4 or 4/4 for four parts")
    return int(number), int(parts)


def _write_files(output: Path, kind: str, units: Sequence[Unit], size: int, facts: Mapping[str, Any]) -> None:
    note = output / f"{kind}.json"
    is_done = [all((output / name).is_file() for name in unit.names) for unit in units]
    before = json.loads(note.read_text()) if note.is_file() else None
    if before != facts and any(is_done):  # a note without files is of a command that made none
        how = "with other settings" if before else "by something else"
        raise UserError(
            f"{output} holds files of {kind} that were made {how} ({note} would be {json.dumps(dict(facts))}): move "
            "them away, or choose another output=..."
        )
    left = [unit for unit, done in zip(units, is_done, strict=True) if not done]
    disk.require(output, size * len(left), f"what is to be made of {kind}")
    make_folder(output, "output")
    write_text(note, json.dumps(dict(facts), indent=1) + "\n")
    with ProgressReporter(kind, len(left)) as progress:
        for unit in left:
            for name, array in unit.compute():
                _write_array(output / name, array)
            progress.advance()


def _write_pack(folder: Path, units: Sequence[Unit], size: int, facts: Mapping[str, Any], shard: float) -> None:
    per_shard = max(1, round(shard * MIB / size))
    jobs = [units[start : start + per_shard] for start in range(0, len(units), per_shard)]
    plan = plan_of(folder, [name for unit in units for name in unit.names], per_shard, facts)
    left = [number for number in range(len(jobs)) if not is_complete(folder, number)]
    count = sum(len(jobs[number]) for number in left)
    disk.require(folder, size * count, f"the pack {folder.name}")
    begin(folder, plan)
    with ProgressReporter(folder.name, count) as progress:

        def arrays(job: Sequence[Unit]) -> Iterator[tuple[str, NDArray]]:
            for unit in job:
                yield from unit.compute()
                progress.advance()

        for number in left:
            write_shard(folder, number, arrays(jobs[number]))
    finish(folder, len(jobs), {"files": sum(len(unit.names) for unit in units), "made": dict(facts)})


def _write_array(path: Path, array: NDArray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path, keep_suffix=True) as partial:
        if path.suffix == ".npy":
            np.save(partial, array)
        else:
            flow_io.write(partial, array)
