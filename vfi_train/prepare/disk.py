"""Free space on a disk, checked before it is filled."""

from __future__ import annotations

import shutil
from pathlib import Path

from vfi_train.errors import UserError

MIB, GIB = 2**20, 2**30


def free_bytes(folder: Path) -> int:
    """Bytes that are free where `folder` is or will be."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(existing).free


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
