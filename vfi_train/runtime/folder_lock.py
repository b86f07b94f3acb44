"""One process at a time in a folder, also over machines that share a file system."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import warnings
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

NAME = ".lock"
PATIENCE = 5.0  # seconds; the system frees the lock of a killed process, on NFS a moment later
NOT_SUPPORTED = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


class FolderLock:
    """A lock of the operating system on the file `.lock` of a folder, which names the process that has it.

    The system frees it when the process ends, however it ends and on whatever machine, so a lock is never left behind.
    Where a file system keeps no locks, the existence of the file is the lock: one whose process on this machine has
    ended is ignored, and one of another machine must be deleted by hand.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._lock: BaseFileLock | None = None

    def acquire(self, patience: float = PATIENCE) -> str | None:
        """Take the lock; None, or after `patience` seconds which process has it."""
        for kind in (FileLock, SoftFileLock):
            lock = kind(self.path)
            try:
                with warnings.catch_warnings():
                    warnings.filterwarnings("ignore", "flock not supported")
                    lock.acquire(timeout=patience)
            except Timeout:
                by_hand = f"; if it has ended, delete {self.path}" if isinstance(lock, SoftFileLock) else ""
                return f"{self._holder()}{by_hand}"
            except OSError as error:
                if kind is SoftFileLock or error.errno not in NOT_SUPPORTED:
                    raise
                continue
            break
        self._lock = lock
        if not isinstance(lock, SoftFileLock):  # which writes the same lines
            self.path.write_text(f"{os.getpid()}\n{socket.gethostname()}\n")
        return None

    def release(self) -> None:
        """Let others have it."""
        if self._lock is not None:
            self._lock.release(force=True)
            self._lock = None

    def find_holder(self) -> str | None:
        """Which process has the lock; None: none has. Makes no file."""
        if not self.path.exists():
            return None
        holder = self.acquire(patience=0)
        self.release()
        return holder

    def _holder(self) -> str:
        with contextlib.suppress(OSError, ValueError):
            pid, host = self.path.read_text().split()[:2]
            return f"process {pid} on {host}"
        return "another process"
