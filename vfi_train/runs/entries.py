"""Trainings and evaluations on disk, read from their files without a lock and without torch.

A thousand of them are listed in about a second: of each only what a row shows is read.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vfi_train.errors import UserError
from vfi_train.evaluate.columns import COLUMNS
from vfi_train.evaluate.results import FILE
from vfi_train.runs.logs import read_table, validations
from vfi_train.runtime.file_hash import hash_file

CONFIG, LOCK, BEST = "config.yaml", ".lock", "checkpoints/best.ckpt"
BELOW = 4  # folders below a given one in which is looked: a curriculum's phases, folders of projects


@dataclass(frozen=True)
class Entry:
    """A row of the table.

    Args:
        kind: a training, or a network on a split of a benchmark.
        path: its folder.
        name: its folder below the given one; of an evaluation with the network and the split, where there are several.
        status: of a training "finished", "training" (a process is at it) or "stopped"; of an evaluation "finished", or
            how many samples are broken.
        step, steps: of a training: optimizer steps done and planned.
        recipe: experiment, or model and data; of an evaluation the network's label.
        model: the function that builds the network, after which its configuration is called.
        on: what the metrics were measured on: the data's class, or BENCHMARK/SPLIT.
        metrics: by name: the best of all validations, or the average.
        weights: as given to an evaluation. sha256: of the file that it read.
        protocol: of an evaluation. samples: how many it measured.
        date: seconds since 1970 of the last change.
    """

    kind: Literal["training", "evaluation"]
    path: Path
    name: str
    status: str
    recipe: str
    model: str
    on: str
    metrics: dict[str, float]
    date: float
    step: int | None = None
    steps: int | None = None
    weights: str | None = None
    sha256: str | None = None
    protocol: str | None = None
    samples: int | None = None


def find_entries(folders: Sequence[str | Path]) -> list[Entry]:
    """All trainings and evaluations below the folders; folders that do not exist are left out.

    Raises:
        UserError: none of the folders exists.
    """
    places = [Path(folder).expanduser() for folder in folders]
    if not any(place.is_dir() for place in places):
        raise UserError(f"folders={', '.join(map(str, folders))}: there is no such folder: give where runs lie")
    return [entry for place in places if place.is_dir() for path in _walk(place, BELOW) for entry in read(path, place)]


def read(path: Path, place: Path) -> Iterator[Entry]:
    """The training, or the evaluations, in a folder; named from `place` on."""
    name = path.relative_to(place).as_posix() if path != place else path.name
    with suppress(FileNotFoundError):  # removed while it is read
        if (path / CONFIG).is_file():
            yield _training(path, name)
        else:
            yield from _evaluations(path, name)


def higher_is_better(metric: str) -> bool:
    """Whether a higher value of a logged metric, or of its weight average (`psnr_ema`), is better."""
    kind = metric.partition("_")[0]
    column = next((column for name, column in COLUMNS.items() if name.partition("_")[0] == kind), None)
    return column.higher_is_better if column else "loss" not in metric


def best_of(entries: Sequence[Entry], metric: str) -> Entry:
    """The entry with the best metric, which each has."""
    return (max if higher_is_better(metric) else min)(entries, key=lambda entry: entry.metrics[metric])


def checkpoint_hash(entry: Entry) -> str | None:
    """SHA-256 of the best checkpoint of a training; None: it has none."""
    with suppress(FileNotFoundError):
        return hash_file(entry.path / BEST)
    return None


def look_up(text: str, *keys: str) -> str | None:
    """The scalar at a key of nested blocks, in a YAML file as PyYAML writes it; None: absent, or no plain scalar.

    Parsing the file takes ten times as long as all else that a row needs.
    """
    for depth, key in enumerate(keys[:-1]):
        block = re.search(rf"^{'  ' * depth}{key}:\n((?:{'  ' * (depth + 1)}.*\n)*)", text, re.M)
        if block is None:
            return None
        text = block[1]
    found = re.search(rf"^{'  ' * (len(keys) - 1)}{keys[-1]}: (.+)$", text, re.M)
    return None if found is None or found[1] == "null" else found[1].strip("'\"")


def recorded_words(path: Path) -> list[str]:
    """The words of the command that a training was last started with, from its provenance.json; may be none."""
    with suppress(OSError, ValueError, LookupError, TypeError):
        command = json.loads((path / "provenance.json").read_bytes())[-1]["environment"]["command"]
        return [str(word) for word in command or ()]
    return []


def _walk(folder: Path, depth: int) -> Iterator[Path]:
    """Folders with a training or with results; what lies in them is theirs."""
    with suppress(OSError):
        found = list(os.scandir(folder))
        if {CONFIG, FILE} & {item.name for item in found}:
            yield folder
        elif depth:
            for item in sorted(found, key=lambda item: item.name):
                if item.is_dir():
                    yield from _walk(Path(item.path), depth - 1)


def _training(path: Path, name: str) -> Entry:
    text = (path / CONFIG).read_text(errors="replace")
    step, best = validations(path / "metrics.csv", higher_is_better)
    steps = look_up(text, "trainer", "max_steps")
    words = dict(word.split("=", 1) for word in recorded_words(path) if "=" in word)
    model, data = (str(look_up(text, key, "_target_")).rpartition(".")[2] for key in ("model", "data"))
    status = "finished" if (path / "finished.json").exists() else "training" if _is_locked(path) else "stopped"
    changed = [path / CONFIG, path / "metrics.csv"]
    return Entry(
        "training", path, name, status, words.get("experiment", f"{model} {data}"), model, data, best,
        max(file.stat().st_mtime for file in changed if file.exists()),
        step, int(steps) if steps and steps.isdecimal() else None,
    )  # fmt: skip


def _evaluations(path: Path, name: str) -> Iterator[Entry]:
    table = path / "results.csv"
    rows, date = read_table(table), table.stat().st_mtime
    for row in rows:
        numbers = {c: value for c in COLUMNS if row.get(c) and not math.isnan(value := float(row[c]))}
        split, broken = f"{row['benchmark']}/{row['split']}", int(row["broken"])
        yield Entry(
            "evaluation", path, name if len(rows) == 1 else f"{name}:{row['label']}:{split}",
            f"{broken} broken" if broken else "finished", row["label"], row["model"], split, numbers, date,
            weights=row["weights"] or None, sha256=row["weights_sha256"] or None, protocol=row["protocol"],
            samples=int(row["samples"]),
        )  # fmt: skip


def _is_locked(path: Path) -> bool:
    """Whether a process trains in the folder: it holds a lock on the file `.lock`.

    The lock is tried as a shared one and let go at once; a training that begins waits for much longer.
    """
    with suppress(OSError), (path / LOCK).open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
