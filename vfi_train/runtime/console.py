"""Text for the user at the terminal."""

from __future__ import annotations

from lightning.pytorch.utilities import rank_zero_only

MIB, GIB = 2**20, 2**30


def is_first_process() -> bool:
    """Whether this process is the one that creates folders and prints."""
    return getattr(rank_zero_only, "rank", 0) == 0


@rank_zero_only
def say(text: str) -> None:
    """Print a line, whatever the log level, once over all processes."""
    print(text, flush=True)


def format_bytes(size: float) -> str:
    """A number of bytes in GiB or MiB."""
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / MIB:.0f} MiB"
