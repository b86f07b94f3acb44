"""SLURM's warning signals while the program is being imported; see stop_signals.py."""

from __future__ import annotations

import signal
from typing import Any

early_signals: list[int] = []  # received while the program was being loaded


def note_signals() -> None:
    """Record SLURM's warnings, which would end a program that does not handle them yet."""
    _handle_warnings(lambda number, frame: early_signals.append(number))


def ignore_signals() -> None:
    """Ignore them once nothing is left to save: the program would end as if it had failed."""
    _handle_warnings(signal.SIG_IGN)


def _handle_warnings(handler: Any) -> None:
    for name in ("SIGUSR1", "SIGUSR2"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), handler)
