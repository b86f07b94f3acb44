"""SLURM's warning signals while the program is still being imported; see stop_signals.py."""

from __future__ import annotations

import signal
from typing import Any

early_signals: list[int] = []  # of SLURM, while the program is still being loaded; see stop_signals.py


def note_signals() -> None:
    """Keep SLURM's warnings from ending a program that is not yet there to answer them."""
    _answer_warnings(lambda number, frame: early_signals.append(number))


def ignore_signals() -> None:
    """Keep them from ending a program that has nothing more to save, and would be taken for one that failed."""
    _answer_warnings(signal.SIG_IGN)


def _answer_warnings(answer: Any) -> None:
    for name in ("SIGUSR1", "SIGUSR2"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), answer)
