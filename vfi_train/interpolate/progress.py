"""How far it is, how fast it goes and how long it still takes: a bar in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class FrameProgress:
    """Counts frames on standard error (standard output may carry a video).

    Args:
        total: frames expected; 0 where nothing tells.
        every_seconds: between lines where there is no terminal.
    """

    def __init__(self, total: int, every_seconds: float = 10.0) -> None:
        self.total, self.every_seconds = total, every_seconds
        self._began = self._told = time.monotonic()
        self._bar: Progress | None = None
        if sys.stderr.isatty():
            columns = (
                TextColumn("frames"), MofNCompleteColumn(), BarColumn(), TimeElapsedColumn(), TextColumn("left"),
                TimeRemainingColumn(), TextColumn("{task.fields[speed]}"),
            )  # fmt: skip
            self._bar = Progress(*columns, console=Console(stderr=True), refresh_per_second=4)
            self._task = self._bar.add_task("", total=total or None, speed="")
            self._bar.start()

    def update(self, count: int) -> None:
        """So many frames are written."""
        now = time.monotonic()
        if self._bar is not None:
            self._bar.update(self._task, completed=count, speed=f"{self.fps(count):.1f} frames/s")
        elif now - self._told >= self.every_seconds:
            self._told = now
            self.note(self.line(count))

    def note(self, line: str) -> None:
        """A line for the user, above the bar."""
        if self._bar is not None:
            self._bar.console.print(line, highlight=False, markup=False)
        else:
            print(line, file=sys.stderr, flush=True)

    def line(self, count: int) -> str:
        """What is told where there is no terminal."""
        if not self.total:
            return f"{count} frames, {self.fps(count):.1f} frames/s"
        left = (self.total - count) / self.fps(count) if count else 0.0
        return f"{count} of {self.total} frames, {self.fps(count):.1f} frames/s, {left / 60:.1f} min left"

    def fps(self, count: int) -> float:
        """Frames per second of real time so far."""
        return count / max(time.monotonic() - self._began, 1e-6)

    def close(self) -> None:
        """Leave the last state standing."""
        if self._bar is not None:
            self._bar.stop()
