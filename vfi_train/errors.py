"""Mistakes of the user, reported in one sentence."""

from __future__ import annotations

import difflib
import errno
import os
from collections.abc import Iterable
from pathlib import Path


class UserError(ValueError):
    """Something that the user gave is wrong; the message says what was given, what was expected, what to do.

    It ends a program in one sentence. Any other exception is a bug, ours or a user's, and shows its traceback.
    """

    message = True  # makes torch raise it again in the main process as UserError(message=...)

    def __init__(self, message: str) -> None:
        if "Original Traceback" in message:  # torch gives a data worker's complete traceback; its end is the sentence
            message = message.rstrip().rsplit(f"{type(self).__name__}: ", 1)[-1]
        super().__init__(message)


class DataError(UserError):
    """A dataset or a sample that is missing or broken."""


def is_disk_full(error: BaseException) -> bool:
    """Whether an operation failed because the disk, or the quota on it, is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def make_folder(path: Path, key: str) -> None:
    """Make a folder that a configuration key names, and those above it.

    Raises:
        UserError: it cannot be made, or not be written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if is_disk_full(error):
            raise
        raise UserError(f"{key}: the folder {path} cannot be made ({error.strerror}): give another one") from error
    if not os.access(path, os.W_OK):
        raise UserError(f"{key}: the folder {path} may not be written to: give another one, or change its permissions")


def nearest(name: str, known: Iterable[str], most: int = 3) -> str:
    """The known names most like `name`, or the first of all, as a phrase for a message."""
    names = sorted({str(k) for k in known})
    near = difflib.get_close_matches(name, names, n=most, cutoff=0.5)
    if near:
        return f"did you mean {' or '.join(repr(n) for n in near)}?"
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return f"known: {shown or 'none'}"
