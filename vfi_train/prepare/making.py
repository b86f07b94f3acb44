"""Files made out of a dataset's frames, as files or packed: what is there stays, and a note says what made it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig
from rich.console import Console
from rich.progress import Progress, track

from datamodules.storage import flow_io
from datamodules.storage.pack_writer import finish, is_complete, write_shard
from vfi_train.errors import UserError, nearest
from vfi_train.prepare import disk
from vfi_train.prepare.pack import MIB, begin

Made = Iterable[tuple[str, NDArray]]  # names and arrays
FORMS = ("files", "packed")


@dataclass(frozen=True)
class Unit:
    """What is computed at once: the names of its files, and the function that gives them with their arrays."""

    names: Sequence[str]
    compute: Callable[[], Made]


def make(
    kind: str, units: Sequence[Unit], size: int, output: Path, facts: Mapping[str, Any], config: DictConfig
) -> None:
    """Compute the files of all units, but for those that are there.

    Args:
        kind: "flow" or "distance": the name of the pack, and of the note.
        units: in their order.
        size: bytes that the files of a unit take.
        output: the folder that the names are relative to.
        facts: what the contents depend on.
        config: of the program.

    Raises:
        UserError: files of another making are there, or the disk has no room.
    """
    if config.flow.format not in FORMS:
        raise UserError(f"flow.format={config.flow.format} is not known: {nearest(config.flow.format, FORMS)}")
    number, parts = share(config.flow.shard)
    mine = units[len(units) * (number - 1) // parts : len(units) * number // parts]
    if config.flow.format == "packed":
        name = kind if parts == 1 else f"{kind}-{number}-of-{parts}"
        _make_pack(output / "packed" / name, mine, size, facts, config.pack.shard)
    else:
        _make_files(output, kind, mine, size, facts)
    print(f"{sum(len(unit.names) for unit in mine):,} files of {kind} are in {output}")


def share(text: str) -> tuple[int, int]:
    """Which part of how many: "2/4" is (2, 4).

    Raises:
        UserError: it is none.
    """
    number, slash, parts = str(text).partition("/")
    if not (slash and number.isdecimal() and parts.isdecimal() and 1 <= int(number) <= int(parts)):
        raise UserError(f"flow.shard={text} is not a part of the work: give 1/4, 2/4, 3/4 or 4/4 for four parts")
    return int(number), int(parts)


def _make_files(output: Path, kind: str, units: Sequence[Unit], size: int, facts: Mapping[str, Any]) -> None:
    note = output / f"{kind}.json"
    there = [all((output / name).is_file() for name in unit.names) for unit in units]
    before = json.loads(note.read_text()) if note.is_file() else None
    if before != facts and (before is not None or any(there)):
        made = "with other settings" if before else "by something else"
        raise UserError(
            f"{output} holds files of {kind} that were made {made} ({note} would say {json.dumps(dict(facts))}): move "
            "them away, or choose another output=..."
        )
    left = [unit for unit, done in zip(units, there, strict=True) if not done]
    disk.require(output, size * len(left), f"what is to be made of {kind}")
    with disk.told_when_full(output):
        output.mkdir(parents=True, exist_ok=True)
        _write(note, (json.dumps(dict(facts), indent=1) + "\n").encode())
        for unit in _tracked(left, kind):
            for name, array in unit.compute():
                _save(output / name, array)


def _make_pack(folder: Path, units: Sequence[Unit], size: int, facts: Mapping[str, Any], shard: float) -> None:
    per_shard = max(1, round(shard * MIB / size))
    jobs = [units[start : start + per_shard] for start in range(0, len(units), per_shard)]
    begin(folder, [name for unit in units for name in unit.names], per_shard, facts)
    left = [number for number in range(len(jobs)) if not is_complete(folder, number)]
    disk.require(folder, size * sum(len(jobs[number]) for number in left), f"the pack {folder.name}")
    with disk.told_when_full(folder), _progress() as bar:
        task = bar.add_task(folder.name, total=sum(len(jobs[number]) for number in left))

        def arrays(job: Sequence[Unit]) -> Iterator[tuple[str, NDArray]]:
            for unit in job:
                yield from unit.compute()
                bar.advance(task)

        for number in left:
            write_shard(folder, number, arrays(jobs[number]))
        finish(folder, len(jobs), {"files": sum(len(unit.names) for unit in units), "made": dict(facts)})


def _tracked(units: Sequence[Unit], kind: str) -> Iterable[Unit]:
    return track(units, kind, console=Console(stderr=True))


def _progress() -> Progress:
    return Progress(console=Console(stderr=True))


def _save(path: Path, array: NDArray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".part-{path.name}")
    if path.suffix == ".npy":
        np.save(partial, array)
    else:
        flow_io.write(partial, array)
    partial.replace(path)


def _write(path: Path, content: bytes) -> None:
    partial = path.with_name(f"{path.name}.part")
    partial.write_bytes(content)
    partial.replace(path)
