"""How far an evaluation is: a bar in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import math
import sys
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from vfi_train.evaluate.resume_log import Row
from vfi_train.evaluate.scorer import COLUMNS


class EvaluationProgress:
    """Counts samples.

    Args:
        name: what is measured.
        total: samples of this process.
        processes: how many share the work; the first one shows its own.
        shown: whether this process shows anything.
        every_seconds: between lines where there is no terminal.
    """

    def __init__(self, name: str, total: int, processes: int, shown: bool, every_seconds: float = 30.0) -> None:
        self.name, self.total, self.shown, self.every_seconds = name, total, shown, every_seconds
        self.done, self.broken = 0, 0
        self._sums: dict[str, float] = {}
        self._began = self._told = time.monotonic()
        self._bar: Progress | None = None
        if shown and total and sys.stdout.isatty():
            share = f" (first of {processes} processes)" if processes > 1 else ""
            columns = (
                TextColumn(f"{name}{share}"), MofNCompleteColumn(), BarColumn(), TimeElapsedColumn(),
                TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[values]}"),
            )  # fmt: skip
            self._bar = Progress(*columns, console=Console(), refresh_per_second=4, transient=True)
            self._bar.start()
            self._task = self._bar.add_task("", total=total, values="")

    def update(self, rows: list[Row]) -> None:
        """New rows are there."""
        for row in rows:
            self.done += 1
            self.broken += "broken" in row
            for column, value in row.get("scores", {}).items():
                self._sums[column] = self._sums.get(column, 0.0) + value
        now = time.monotonic()
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done, values=self.values())
        elif self.shown and now - self._told >= self.every_seconds:
            self._told = now
            print(f"{self.name}: {self.done} of {self.total}, {self.values()}", flush=True)

    def values(self) -> str:
        """Averages so far, and how fast it goes."""
        measured = max(1, self.done - self.broken)
        words = [
            f"{COLUMNS[column].title} {total / measured:.{COLUMNS[column].digits}f}"
            for column, total in self._sums.items()
            if not math.isnan(total)
        ]
        words.append(f"{self.rate():.1f} samples/s")
        return ", ".join(words + ([f"{self.broken} broken"] if self.broken else []))

    def rate(self) -> float:
        """Samples per second of this process."""
        return self.done / max(time.monotonic() - self._began, 1e-6)

    def close(self) -> None:
        """Give the terminal back."""
        if self._bar is not None:
            self._bar.stop()
