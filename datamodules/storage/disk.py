"""Where files will be written: the folder that exists already, and its free space."""

from __future__ import annotations

import shutil
from pathlib import Path


def existing_folder(path: Path) -> Path:
    """The folder, or the nearest above it that exists."""
    return next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())


def free_bytes(path: Path) -> int:
    """Bytes that are free where the folder is or will be."""
    return shutil.disk_usage(existing_folder(path)).free
