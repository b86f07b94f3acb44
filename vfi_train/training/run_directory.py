"""The folder of a run: `runs/EXPERIMENT[-NAME]`, its configuration, checkpoints and whether it is finished."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import yaml

from datamodules.storage.atomic_write import write_text
from vfi_train.config.differences import differing_keys
from vfi_train.errors import UserError, make_folder
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

    def check(self, resume: str) -> None:
        """Check that this configuration may train here; write nothing.

        Raises:
            UserError: the folder holds another run, or `resume` is "never" and there is one; naming the keys.
        """
        if resume not in ("auto", "never", "force"):
            raise UserError(f"resume={resume} is none of auto, never, force")
        if self._saved.exists():
            if resume == "never":
                raise UserError(f"{self.path} holds a run already and resume=never: give another name=...")
            differences = differing_keys(yaml.safe_load(self._saved.read_text()) or {}, self.config)
            if differences and resume == "auto":
                shown = ", ".join(differences[:6]) + (
                    f" and {len(differences) - 6} more" if len(differences) > 6 else ""
                )
                raise UserError(
                    f"{self.path} holds a run of another configuration; what differs (there -> here): {shown}: "
                    "give this one a folder of its own with name=..., or resume=force to train on with these values"
                )

    def open(self, resume: str, write: bool = True) -> None:
        """After `check`: make the folder and write the configuration into it.

        Args:
            resume: auto, never, force.
            write: whether this is the process that writes. The others only check, and may find what it has written.
        """
        self.check("auto" if resume == "never" and not write else resume)
        if not write:
            return
        if resume == "force":
            (self.path / "finished.json").unlink(missing_ok=True)
        make_folder(self.path, "runs")
        write_text(self._saved, yaml.safe_dump(dict(self.config), sort_keys=False, allow_unicode=True))

    def finish(self, summary: dict[str, Any]) -> None:
        """Mark the training as finished."""
        write_text(self.path / "finished.json", json.dumps(summary, indent=1) + "\n")
