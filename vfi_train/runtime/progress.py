"""Progress of counted work: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Literal, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class ProgressReporter:
    """Reports how much is done, how long the rest takes, and values of the caller's.

    Args:
        title: what is counted or done ("frames", "step").
        total: how many there are; None where that is not known.
        completed: how many were done before.
        every_seconds: between lines where there is no terminal; None: no lines.
        stream: where bar and lines go; "stderr" where standard output may carry data.
        shown: whether this process shows anything (one of several does).
        transient: remove the bar at the end.
    """

    def __init__(
        self,
        title: str,
        total: int | None,
        *,
        completed: int = 0,
        every_seconds: float | None = 30.0,
        stream: Literal["stdout", "stderr"] = "stderr",
        shown: bool = True,
        transient: bool = False,
    ) -> None:
        self.title, self.total, self.every_seconds = title, total, every_seconds
        self.completed = self._first = completed
        self._file = sys.stdout if stream == "stdout" else sys.stderr
        self._shown = shown
        self._began = self._reported = time.monotonic()
        self._bar: Progress | None = None
        if shown and self._file.isatty():
            columns = (
                TextColumn("{task.description}"), MofNCompleteColumn(), BarColumn(), TimeElapsedColumn(),
                TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[values]}"),
            )  # fmt: skip
            console = Console(stderr=stream == "stderr")
            self._bar = Progress(*columns, console=console, refresh_per_second=4, transient=transient)
            self._task = self._bar.add_task(title, total=total, completed=completed, values="")
            self._bar.start()

    def update(self, completed: int, values: Callable[[], str] | None = None) -> None:
        """`completed` are done. `values` is called only when it is shown: reading a value may wait for a GPU."""
        self.completed = completed
        now = time.monotonic()
        if self._bar is not None:
            self._bar.update(self._task, completed=completed)
            if values is not None and now - self._reported >= 1:
                self._reported = now
                self._bar.update(self._task, values=values())
        elif self._shown and self.every_seconds is not None and now - self._reported >= self.every_seconds:
            self._reported = now
            self.note(self.line(values() if values is not None else ""))

    def advance(self) -> None:
        """One more is done."""
        self.update(self.completed + 1)

    def note(self, line: str) -> None:
        """A line for the user, above the bar."""
        if self._bar is not None:
            self._bar.console.print(line, highlight=False, markup=False)
        elif self._shown:
            print(line, file=self._file, flush=True)

    def line(self, values: str = "") -> str:
        """What is printed where there is no terminal."""
        parts = [f"{self.title} {self.completed}" + ("" if self.total is None else f"/{self.total}")]
        if self.total is not None and self.completed > self._first:
            parts.append(f"{duration(self.seconds_left())} left")
        return ", ".join(parts + ([values] if values else []))

    def rate(self) -> float:
        """How many are done in a second."""
        return (self.completed - self._first) / max(time.monotonic() - self._began, 1e-6)

    def seconds_left(self, more: int = 0) -> float:
        """What the rest takes, and `more` after it, at this rate."""
        rest = max(0, (self.total or 0) - self.completed) + more
        return rest / self.rate() if self.completed > self._first else 0.0

    def close(self) -> None:
        """Leave the last state on the terminal and give it back."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def duration(seconds: float) -> str:
    """A length of time, as precise as one wants to know it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"
