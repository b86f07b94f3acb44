"""A CSV log of all logged values: one row per step, continued when a run is resumed."""

from __future__ import annotations

import csv
import math
from argparse import Namespace
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

from datamodules.storage.atomic_write import atomic_file


class CSVLog(Logger):
    """Writes `metrics.csv`: a column `step` (optimizer steps done) and one per logged name.

    A resumed run first drops the rows after its checkpoint (`rewind`), so each step has one row.

    Args:
        directory: where the file goes.
    """

    def __init__(self, directory: str | Path) -> None:
        super().__init__()
        self.path = Path(directory) / "metrics.csv"
        self._columns = ["step"]
        self._rows: dict[int, dict[str, Any]] = {}
        if self.path.exists():
            with self.path.open(newline="") as file:
                reader = csv.DictReader(file)
                self._columns = list(reader.fieldnames or ["step"])
                # A run that was killed may leave a last line cut short.
                self._rows = {int(row["step"]): row for row in reader if row["step"] and None not in row.values()}

    @property
    def name(self) -> str:
        """The kind of log."""
        return "csv"

    @property
    def version(self) -> str:
        """There is one file per run."""
        return ""

    @rank_zero_only
    def rewind(self, step: int) -> None:
        """Drop all rows after `step`."""
        self._rows = {s: row for s, row in self._rows.items() if s <= step}
        self._rewrite()

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Add values to the row of `step`."""
        values = {name: value for name, value in metrics.items() if name != "epoch"}
        step = int(step or 0)
        new_columns = [name for name in values if name not in self._columns]
        is_last = not self._rows or step > max(self._rows)
        self._columns += new_columns
        row = self._rows.setdefault(step, {"step": step})
        written = dict(row)
        row.update({name: _text(value) for name, value in values.items()})
        if row == written and self.path.exists():
            return
        if new_columns or not is_last or not self.path.exists():
            self._rewrite()
        else:
            with self.path.open("a", newline="") as file:
                csv.DictWriter(file, self._columns).writerow(row)

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Nothing: the run directory holds the configuration."""

    def _rewrite(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(self.path) as partial, partial.open("w", newline="") as file:
            writer = csv.DictWriter(file, self._columns)
            writer.writeheader()
            writer.writerows(self._rows[step] for step in sorted(self._rows))


def _text(value: float) -> str:
    return f"{value:.9g}" if math.isfinite(value) else str(value)
