"""Free space on a disk, checked before it is filled."""

from __future__ import annotations

from pathlib import Path

from datamodules.storage.disk import free_bytes
from vfi_train.errors import UserError
from vfi_train.runtime.console import GIB


def require(folder: Path, needed: int, what: str) -> None:
    """Check that so many bytes are free.

    Raises:
        UserError: they are not.
    """
    free = free_bytes(folder)
    if needed > free:
        raise UserError(
            f"{what} takes {needed / GIB:,.2f} GiB, but {folder} has {free / GIB:,.2f} GiB free: make room, or choose "
            "another output=..."
        )
