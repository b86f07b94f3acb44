"""Tables that a run writes, read while they may be written: a last line that is cut short does not count.

Nor does a row that a fault of the disk has damaged: one run's file does not end the list of all.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

PREFIX = "val/"


def validations(path: Path, higher_is_better: Callable[[str], bool]) -> tuple[int, dict[str, float]]:
    """The last step of a metrics.csv, 0 if there is none, and the best value of each of its columns `val/*`."""
    lines = _lines(path)
    names = lines[0].split(",") if lines else []
    columns = {i: name.removeprefix(PREFIX) for i, name in enumerate(names) if name.startswith(PREFIX)}
    found: dict[str, list[float]] = {name: [] for name in columns.values()}
    step = 0
    for line in lines[1:]:
        cells = line.split(",")  # names and numbers have no commas: a csv.reader takes three times as long
        with suppress(ValueError, IndexError):
            step = max(step, int(cells[0]))
            for i, name in columns.items():
                if cells[i] and not math.isnan(value := float(cells[i])):
                    found[name].append(value)
    return step, {n: (max if higher_is_better(n) else min)(values) for n, values in found.items() if values}


def curve(path: Path, metric: str) -> dict[int, float]:
    """The validations of a metrics.csv: the metric by step."""
    found = {}
    for row in csv.DictReader(_lines(path)):
        with suppress(ValueError):
            if value := row.get(PREFIX + metric):
                found[int(row["step"])] = float(value)
    return found


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file; none if there is no file."""
    return list(csv.DictReader(_lines(path)))


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(errors="replace").replace("\0", "")
    except FileNotFoundError:
        return []
    return text[: text.rfind("\n") + 1].splitlines()
