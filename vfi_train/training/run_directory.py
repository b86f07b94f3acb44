"""The folder of a run: `runs/EXPERIMENT[-NAME]`, its configuration, checkpoints and whether it is finished."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import yaml

from datamodules.storage.atomic_write import write_text
from vfi_train.config.differences import differing_keys
from vfi_train.errors import UserError, make_folder, no_empty_folders
from vfi_train.loggers.wandb import close_wandb
from vfi_train.runtime.folder_lock import FolderLock
from vfi_train.training.plan import TrainingPlan


@dataclass
class RunDirectory:
    """A run on disk.

    Args:
        path: its folder, which need not exist.
        config: its configuration, resolved, as plain containers.
    """

    path: Path
    config: Mapping[str, Any]

    @classmethod
    def of(cls, plan: TrainingPlan) -> Self:
        """The folder of a training."""
        return cls(plan.folder, plan.config)

    @property
    def checkpoints(self) -> Path:
        """The folder of best.ckpt, last.ckpt and the one before it."""
        return self.path / "checkpoints"

    @property
    def _saved(self) -> Path:
        return self.path / "config.yaml"

    @property
    def finished(self) -> bool:
        """Whether the training has ended."""
        return (self.path / "finished.json").exists()

    @property
    def begun(self) -> bool:
        """Whether something was trained here: there is a checkpoint, or a row in the log.

        A folder without them belongs to no configuration: what it was made for may have been a mistake.
        """
        if self.finished or any(self.checkpoints.glob("*.ckpt")):
            return True
        log = self.path / "metrics.csv"
        return log.exists() and log.read_bytes().count(b"\n") > 1

    def check(self, resume: str) -> None:
        """Check that this configuration may train here; write nothing.

        Raises:
            UserError: the folder holds another run, `resume` is "never" and there is one (naming the keys), or another
                process trains in it.
        """
        self._check_configuration(resume)
        holder = FolderLock(self.path).find_holder()
        if holder is not None:
            raise UserError(self._in_use(holder))

    def _check_configuration(self, resume: str) -> None:
        if resume not in ("auto", "never", "force"):
            raise UserError(f"resume={resume} is none of auto, never, force")
        if self._saved.exists() and self.begun:
            if resume == "never":
                raise UserError(f"{self.path} holds a run already and resume=never: give another name=...")
            differences = self._differences()
            if differences and resume == "auto":
                shown = ", ".join(differences[:6]) + (
                    f" and {len(differences) - 6} more" if len(differences) > 6 else ""
                )
                raise UserError(
                    f"{self.path} holds a run of another configuration; what differs (there -> here): {shown}: "
                    "give this one a folder of its own with name=..., or resume=force to train on with these values"
                )

    def _read(self) -> Mapping[str, Any]:
        try:
            saved = yaml.safe_load(self._saved.read_text())
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            reason = error.strerror if isinstance(error, OSError) else "no YAML"
            raise UserError(f"{self._saved} cannot be read ({reason}): restore it, or give another name=...") from error
        if not isinstance(saved, Mapping):
            raise UserError(f"{self._saved} holds no configuration: restore it, or give another name=...")
        return saved

    @contextmanager
    def open(self, resume: str, write: bool = True) -> Iterator[None]:
        """Make the folder and write the configuration into it; within the block no other process may train in it.

        A folder that was made here goes again where the block fails before anything was trained.

        Args:
            resume: auto, never, force.
            write: whether this is the process that writes. The others only check, and may find what it has written.

        Raises:
            UserError: see `check`.
        """
        if not write:
            self._check_configuration("auto" if resume == "never" else resume)
            yield
            return
        self._check_configuration(resume)
        is_new = not self.path.exists()
        with no_empty_folders(self.path):
            make_folder(self.path, "runs")
            with self._locked(resume, is_new):
                yield

    @contextmanager
    def _locked(self, resume: str, is_new: bool) -> Iterator[None]:
        lock = FolderLock(self.path)
        holder = lock.acquire()
        if holder is not None:
            raise UserError(self._in_use(holder))
        try:
            self._check_configuration(resume)  # once more: another process may have trained until now
            if resume == "force":
                (self.path / "finished.json").unlink(missing_ok=True)
            if self._saved.exists() and self._differences():
                (self.path / "wandb_id").unlink(missing_ok=True)  # of another configuration
            write_text(self._saved, yaml.safe_dump(dict(self.config), sort_keys=False, allow_unicode=True))
            yield
        except Exception:
            if is_new and not self.begun and not (self.path / "faults").exists():
                close_wandb(failed=True)  # it writes there
                shutil.rmtree(self.path)
            raise
        finally:
            lock.release()

    def note_start(self, step: int, made_with: Mapping[str, Any]) -> None:
        """Add to provenance.json what the steps from `step` on are made with, where it is not what it was before."""
        path = self.path / "provenance.json"
        starts = json.loads(path.read_text()) if path.exists() else []
        starts = [start for start in starts if start["from_step"] <= step]
        if not starts or {**starts[-1], "from_step": step} != {"from_step": step, **made_with}:
            starts.append({"from_step": step, **made_with})
        write_text(path, json.dumps(starts, indent=1) + "\n")

    def finish(self, summary: dict[str, Any]) -> None:
        """Mark the training as finished."""
        write_text(self.path / "finished.json", json.dumps(summary, indent=1) + "\n")

    def _differences(self) -> list[str]:
        return differing_keys(self._read(), self.config)

    def _in_use(self, holder: str) -> str:
        return (
            f"{self.path} is being trained by {holder}: let it end, or give this training a folder of its own with "
            "name=..."
        )
