"""Checkpoints as W&B artifacts."""

from __future__ import annotations

from pathlib import Path

import lightning as L

from vfi_train.errors import UserError
from vfi_train.loggers.wandb import WandbLog


class WandbArtifacts(L.Callback):
    """Logs checkpoints to W&B when the training ends, one artifact per file with all its versions.

    Args:
        files: of the run's folder `checkpoints`; missing ones are skipped.

    Artifacts are named RUN-NAME ("ifrnet_vimeo-best") and have the type "model". Offline they are stored with the run
    until `wandb sync`.
    """

    def __init__(self, files: tuple[str, ...] | list[str] = ("best.ckpt",)) -> None:
        for name in files:
            if Path(name).name != name:
                raise UserError(f"files={name} is no file name in the run's folder checkpoints: give best.ckpt")
        self.files = tuple(files)

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Log the files that exist."""
        if not trainer.is_global_zero:
            return
        folder = Path(trainer.default_root_dir) / "checkpoints"
        for logger in trainer.loggers:
            if isinstance(logger, WandbLog):
                for path in (folder / name for name in self.files):
                    if path.is_file():
                        self._log(logger, path, trainer.global_step)

    @staticmethod
    def _log(logger: WandbLog, path: Path, step: int) -> None:
        import wandb

        name = f"{path.parent.parent.name}-{path.stem}".replace("=", "_")
        artifact = wandb.Artifact(name, type="model", metadata={"step": step})
        artifact.add_file(str(path), name=path.name)
        logger.attempt(logger.experiment.log_artifact, artifact)
