"""What trackers are told, read back from what they wrote."""

from __future__ import annotations

import os
import signal
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

from tests import wandb_files
from tests.in_process import rows, train_tiny
from vfi_train.environment import environment
from vfi_train.errors import UserError
from vfi_train.tensorboard_log import TensorBoardLog

STEPS = ("trainer.max_steps=4", "validate_every=2", "log_every=2", "published={psnr: 35.5}")


def test_wandb_is_told_what_a_run_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    run = train_tiny(tmp_path, *STEPS, "logger=default", "callbacks.artifacts.files=[best.ckpt]", "callbacks=ema")
    import wandb

    assert wandb.run is None  # the training has ended it
    config = wandb_files.config(run)
    assert config["trainer"]["max_steps"] == 4
    assert config["environment"]["packages"]["torch"] == version("torch")
    assert config["environment"]["git_commit"] == environment()["git_commit"]
    started = next(record.run for record in wandb_files.records(run) if record.HasField("run"))
    assert (started.project, started.run_group, started.job_type) == ("vfi_train", "quickstart", "train")
    assert started.run_id == (run / "wandb_id").read_text()
    history = wandb_files.history(run)
    logged = {name: [row[name] for row in history if name in row] for name in set().union(*history)}
    for name in ("train/loss", "train/lr", "train/gradient_norm", "train/samples_per_second", "train/data_wait"):
        assert len(logged[name]) == 2, name
    assert logged["published/psnr"] == [35.5, 35.5]
    for name in ("val/psnr", "val/psnr_ema", "val/ssim", "val/ssim_ema"):
        assert logged[name] == pytest.approx([float(row[name]) for row in rows(run) if row[name]])
    (artifact,) = [record.artifact for record in wandb_files.records(run) if record.HasField("artifact")]
    assert (artifact.name, artifact.type) == ("quickstart-best", "model")
    assert [entry.path for entry in artifact.manifest.contents] == ["best.ckpt"]


class EndOfWandb(L.Callback):
    """Ends W&B's own process in the middle of a training, as SLURM does."""

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == 1:
            own = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
            (wandb_core,) = [pid for pid in own if "wandb-core" in Path(f"/proc/{pid}/cmdline").read_text()]
            os.kill(int(wandb_core), signal.SIGTERM)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="W&B's process is found in Linux's /proc")
def test_a_training_outlives_wandb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    end = "+callbacks.end={_target_: tests.test_tracking.EndOfWandb}"
    run = train_tiny(tmp_path, *STEPS, "log_every=1", "logger=default", "callbacks.artifacts.files=[best.ckpt]", end)
    assert [row["step"] for row in rows(run)] == ["1", "2", "3", "4"]
    assert (run / "finished.json").exists()
    said = [record.getMessage() for record in caplog.records]
    assert sum("what follows is logged in metrics.csv alone" in line for line in said) == 1
    again = train_tiny(tmp_path, *STEPS, "name=again", "logger=default")  # with a new process
    assert [row["train/loss"] for row in wandb_files.history(again) if "train/loss" in row]


def test_the_commit_is_the_repositorys() -> None:
    found = environment()
    result = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=Path(__file__).parent)
    assert found["git_commit"] == (result.stdout.strip() if result.returncode == 0 else None)
    assert found["packages"]["torch"] == version("torch") == torch.__version__.partition("+")[0]


def test_without_its_package_tensorboard_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_TENSORBOARD_AVAILABLE", "_TENSORBOARDX_AVAILABLE"):  # what Lightning found when it was imported
        monkeypatch.setattr(f"lightning.fabric.loggers.tensorboard.{name}", False)
    with pytest.raises(UserError, match="logger=tensorboard needs the package tensorboard"):
        TensorBoardLog(tmp_path)


def test_tensorboard_is_told_the_same_as_the_csv_log(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = train_tiny(tmp_path, *STEPS, "logger=tensorboard")
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    logged = [row for row in rows(run) if row["train/loss"]]
    assert [(e.step, pytest.approx(e.value)) for e in events.Scalars("train/loss")] == [
        (int(row["step"]), float(row["train/loss"])) for row in logged
    ]
    assert [event.step for event in events.Images("val/pictures")] == [2, 4]
