"""Checkpoints that are complete or absent, the last two of them, and which one a run resumes from."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import IO, Any, cast

import torch
from lightning.fabric.plugins import TorchCheckpointIO

from datamodules.storage.atomic_write import atomic_file
from datamodules.storage.disk import free_bytes
from vfi_train.errors import UserError, first_line, is_disk_full
from vfi_train.runtime.console import format_bytes
from vfi_train.weights.checksums import check_archive
from vfi_train.weights.load import BEST, LAST, PREVIOUS

log = logging.getLogger(__name__)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes atomically, so that a kill or a full disk never harms the previous file.

    The previous `last.ckpt` is kept as `last_previous.ckpt`. Reads with `weights_only=True`: a checkpoint cannot run
    code.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Save to `path`; at every moment a complete checkpoint exists, the new one or the previous one.

        Raises:
            UserError: the disk is full.
        """
        path = Path(path)
        try:
            save_atomically(checkpoint, path, previous=path.with_name(PREVIOUS) if path.name == LAST else None)
        except OSError as error:
            if not is_disk_full(error):
                raise
            free = format_bytes(free_bytes(path.parent))
            raise UserError(
                f"the disk is full: no room for the checkpoint {path} of step {checkpoint.get('global_step', '?')} "
                f"({free} are free); earlier checkpoints are intact: make room and give the same command again"
            ) from error

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Load what `save_checkpoint` wrote."""
        return torch.load(path, map_location=map_location or "cpu", weights_only=True)


def save_atomically(content: Any, path: Path, previous: Path | None = None) -> None:
    """`torch.save` to `path`, which holds either the old or the new content at every moment.

    Args:
        content: tensors and plain containers.
        path: the file.
        previous: what the old file is renamed to, which is the only moment without `path`.

    Raises:
        OSError: it cannot be written; a full disk as ENOSPC.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as partial:
        file = _Reporting(partial)
        try:
            with file:
                torch.save(content, cast(IO[bytes], file))
                file.flush()
                os.fsync(file.fileno())
        except BaseException as error:
            if file.error is not None and error is not file.error:
                raise file.error from error  # PyTorch's writer hides the system's error
            raise
        if previous is not None and path.exists():
            path.replace(previous)


def resume_point(folder: Path) -> tuple[Path, int] | None:
    """The newest complete checkpoint of a folder and its optimizer step; None: there is none.

    One that is truncated or broken is skipped with a warning.

    Raises:
        UserError: there are checkpoints, and none can be read.
    """
    broken = []
    for name in (LAST, PREVIOUS, BEST):
        path = folder / name
        if not path.exists():
            continue
        try:
            check_archive(path)
            step = int(torch.load(path, map_location="cpu", weights_only=True)["global_step"])
        except Exception as error:  # torch.load raises many kinds
            broken.append(f"{path} ({first_line(error)})")
            continue
        if broken:
            log.warning(f"resuming from {path} of step {step}; skipped, because broken: {', '.join(broken)}")
        return path, step
    if broken:
        raise UserError(
            f"no checkpoint can be read: {', '.join(broken)}: delete {'it' if len(broken) == 1 else 'them'} to start "
            "again, or give another folder with name=..."
        )
    return None


class _Reporting:
    """A file for `torch.save` that keeps the system's error."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self.error: OSError | None = None

    def __enter__(self) -> _Reporting:
        return self

    def __exit__(self, *exception: object) -> None:
        self._try(self._file.close)

    def write(self, data: Any) -> int:
        return self._try(self._file.write, data)

    def flush(self) -> None:
        self._try(self._file.flush)

    def fileno(self) -> int:
        return self._file.fileno()

    def _try(self, action: Any, *arguments: Any) -> Any:
        try:
            return action(*arguments)
        except OSError as error:
            self.error = error
            raise
