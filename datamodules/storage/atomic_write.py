"""Files and folders that appear complete or not at all.

What is being written is called `.NAME.part` and lies beside NAME, so that the final rename stays on one file system and
no pattern such as `*.png` finds it.
"""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vfi_train.errors import check_ordinary


def partial_path(path: Path) -> Path:
    """Where `path` is written before it is complete."""
    return path.with_name(f".{path.name}.part")


@contextmanager
def atomic_file(path: Path, *, keep_suffix: bool = False) -> Iterator[Path]:
    """A path to write to, which replaces `path` after the block; after an exception it is removed.

    Args:
        path: the file to make or replace; its folder must exist.
        keep_suffix: the path to write to ends as `path` does (it lies in a folder of its own), for libraries that
            choose a format by the ending.

    Raises:
        UserError: `path` is a device, a pipe or a socket.
    """
    check_ordinary(path, "output", "a file would take its place; give another name")
    partial = partial_path(path)
    written = partial / path.name if keep_suffix else partial
    try:
        if keep_suffix:
            partial.mkdir(exist_ok=True)
        yield written
        os.replace(written, path)
    finally:
        _remove(partial)


@contextmanager
def atomic_folder(path: Path, *, shared: bool = False) -> Iterator[Path]:
    """An empty folder to fill, which becomes `path` after the block; after an exception it is removed.

    Args:
        path: the folder to make.
        shared: other processes, also on other machines, may make the same folder at the same time: each fills its
            own, the first to finish wins, and the others' are removed.

    Raises:
        OSError: `path` exists and is not an empty folder.
    """
    partial = (
        path.with_name(f".{path.name}.{socket.gethostname()}-{os.getpid()}.part") if shared else partial_path(path)
    )
    _remove(partial)
    try:
        partial.mkdir(parents=True)
        yield partial
        try:
            os.replace(partial, path)
        except OSError:
            if not (shared and path.is_dir()):
                raise
    finally:
        _remove(partial)


def remove_abandoned(folder: Path) -> None:
    """Remove what killed processes of this machine left of shared folders in `folder`."""
    for partial in folder.glob(f".*.{socket.gethostname()}-*.part"):
        if not is_process_alive(int(partial.stem.rpartition("-")[2])):
            _remove(partial)


def is_process_alive(pid: int) -> bool:
    """Whether there is a process of this id on this machine."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        pass
    return True


def write_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8) atomically."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    with atomic_file(path) as partial:
        partial.write_bytes(content)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
