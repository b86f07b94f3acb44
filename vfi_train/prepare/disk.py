"""Room on a disk: asked for before it is filled, and a full one told in one sentence."""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

from vfi_train.errors import UserError

GIB = 2**30


def free(folder: Path) -> int:
    """Bytes that are free where `folder` is or will be."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def require(folder: Path, needed: int, what: str) -> None:
    """See that so many bytes are free.

    Raises:
        UserError: they are not.
    """
    there = free(folder)
    if needed > there:
        raise UserError(
            f"{what} takes {needed / GIB:,.2f} GiB, but {folder} has {there / GIB:,.2f} GiB free: make room, or choose "
            "another output=..."
        )


@contextlib.contextmanager
def told_when_full(folder: Path) -> Iterator[None]:
    """Turn the error of a full disk into a sentence.

    Raises:
        UserError: the disk is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UserError(
            f"the disk of {folder} is full: make room and give the same command again, it goes on where it was"
        ) from error
