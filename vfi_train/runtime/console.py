"""Lines for the person at the terminal."""

from __future__ import annotations

from lightning.pytorch.utilities import rank_zero_only


def is_first_process() -> bool:
    """Whether this process is the one that makes folders and talks."""
    return getattr(rank_zero_only, "rank", 0) == 0


@rank_zero_only
def say(text: str) -> None:
    """A line for the user, whatever the log level, once over all processes."""
    print(text, flush=True)
