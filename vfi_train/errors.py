"""Mistakes of the user, reported in one sentence."""

from __future__ import annotations

import difflib
import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
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
        with no_empty_folders(path):
            path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if is_disk_full(error):
            raise
        raise UserError(f"{key}: the folder {path} cannot be made ({error.strerror}): give another one") from error
    if not os.access(path, os.W_OK):
        raise UserError(f"{key}: the folder {path} may not be written to: give another one, or change its permissions")


@contextmanager
def no_empty_folders(*paths: Path) -> Iterator[None]:
    """Where the block fails, folders that it made at `paths` or above them go again, unless something is in them."""
    parents = {folder for path in paths for folder in (path, *path.parents)}
    new = [folder for folder in parents if not os.path.lexists(folder)]
    try:
        yield
    except BaseException:
        for folder in sorted(new, key=lambda folder: -len(folder.parts)):
            with suppress(OSError):
                folder.rmdir()
        raise


def check_ordinary(path: Path, key: str, instead: str = "give a file") -> None:
    """Raise a UserError where a path names a device, a pipe or a socket, and an OSError where a name is too long.

    Args:
        path: that the user gave; it need not exist.
        key: what the user calls it.
        instead: what to give.
    """
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    tests = {stat.S_ISCHR: "a device", stat.S_ISBLK: "a device", stat.S_ISFIFO: "a pipe", stat.S_ISSOCK: "a socket"}
    for test, kind in tests.items():
        if test(mode):
            raise UserError(f"{key}={path} is {kind}: {instead}")


def first_line(error: BaseException) -> str:
    """The first line of an error's text that is not blank; its class where there is none."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0].strip() if lines else type(error).__name__


def nearest(name: str, known: Iterable[str], most: int = 3) -> str:
    """The known names most like `name`, or the first of all, as a phrase for a message."""
    names = sorted({str(k) for k in known})
    near = difflib.get_close_matches(name, names, n=most, cutoff=0.5)
    if near:
        return f"did you mean {' or '.join(repr(n) for n in near)}?"
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return f"known: {shown or 'none'}"
