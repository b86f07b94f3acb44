"""Mistakes of the user, told in one sentence."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable


class UserError(ValueError):
    """Something that the user gave does not work; the message says what was given, what was expected, what to do.

    It ends a program in one sentence. Any other exception is a bug, ours or a user's, and shows its traceback.
    """

    message = True  # asks torch to raise it again in the main process by UserError(message=...)

    def __init__(self, message: str) -> None:
        if "Original Traceback" in message:  # torch gives a data worker's complete traceback; its end is the sentence
            message = message.rstrip().rsplit(f"{type(self).__name__}: ", 1)[-1]
        super().__init__(message)


class DataError(UserError):
    """A dataset or a sample that is missing or broken."""


def is_disk_full(error: BaseException) -> bool:
    """Whether an operation failed because the disk, or the quota on it, is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def nearest(name: str, known: Iterable[str], most: int = 3) -> str:
    """The known names most like `name`, or all of them where they are few, as a phrase for a message."""
    names = sorted({str(k) for k in known})
    near = difflib.get_close_matches(name, names, n=most, cutoff=0.5)
    if near:
        return f"did you mean {' or '.join(repr(n) for n in near)}?"
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return f"known: {shown or 'none'}"
