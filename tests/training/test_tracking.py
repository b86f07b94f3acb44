"""What trackers log, read back from their files."""

from __future__ import annotations

import http.server
import os
import signal
import subprocess
import threading
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import lightning as L
import pytest
import torch
import yaml

from datamodules.vimeo90k import Vimeo90K
from tests.helpers import wandb_files
from tests.helpers.in_process import composed, rows, train_tiny
from tests.helpers.layouts import fabricate
from vfi_train.errors import UserError
from vfi_train.loggers.tensorboard import TensorBoardLog
from vfi_train.loggers.wandb import close_wandb, wandb_logger
from vfi_train.training.command import train
from vfi_train.training.data_manifest import manifest
from vfi_train.training.environment import environment

STEPS = ("trainer.max_steps=4", "validate_every=2", "log_every=2", "published={psnr: 35.5}")


def test_wandb_logs_what_a_run_was(tmp_path: Path, backbones: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    run = train_tiny(
        tmp_path, *STEPS, "logger=default", "callbacks.artifacts.files=[best.ckpt]", "callbacks=ema",
        "callbacks.metrics.names=[psnr,ssim,lpips_alex]", f"backbones={backbones}", "logger.wandb.tags=[tiny]",
        "logger.wandb.project=tests",
    )  # fmt: skip
    import wandb

    assert wandb.run is None  # the training has ended it
    config = wandb_files.config(run)
    assert config["trainer"]["max_steps"] == 4
    assert config["schedule"]["steps"] is None  # resolved and complete, as in the run's folder
    saved = yaml.safe_load((run / "config.yaml").read_text())
    assert {key: config[key] for key in saved} == saved
    assert config["environment"]["packages"]["torch"] == version("torch")
    assert config["environment"]["git_commit"] == environment()["git_commit"]
    started = next(record.run for record in wandb_files.records(run) if record.HasField("run"))
    assert (started.project, started.run_group, started.job_type) == ("tests", "quickstart", "train")
    assert (started.display_name, list(started.tags)) == ("quickstart", ["tiny"])
    assert started.run_id == (run / "wandb_id").read_text()
    history = wandb_files.history(run)
    logged = {name: [row[name] for row in history if name in row] for name in set().union(*history)}
    terms = [f"train/loss_{term}" for term in saved["loss"]["terms"]]
    assert len(terms) == 4
    rates = ("train/lr", "train/gradient_norm", "train/samples_per_second", "train/data_wait")
    for name in ("train/loss", *terms, *rates):
        assert len(logged[name]) == 2, name
    assert logged["published/psnr"] == [35.5, 35.5]
    for score in ("psnr", "ssim", "lpips_alex"):
        for name in (f"val/{score}", f"val/{score}_ema"):
            assert len(logged[name]) == 2
            assert logged[name] == pytest.approx([float(row[name]) for row in rows(run) if row[name]])
    assert len(list(run.glob("wandb/offline-run-*/files/media/images/val/images_*.png"))) == 2
    (artifact,) = [record.artifact for record in wandb_files.records(run) if record.HasField("artifact")]
    assert (artifact.name, artifact.type) == ("quickstart-best", "model")
    assert [entry.path for entry in artifact.manifest.contents] == ["best.ckpt"]


def test_the_files_that_were_read_have_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    root = fabricate("vimeo90k", tmp_path / "data", size=(32, 48), clips=4)
    train(
        composed(
            "model=ifrnet_tiny", "data=vimeo90k", f"data.root={root}", "loss=ifrnet_unlabelled", "data.batch_size=2",
            "data.transforms=[{_target_: datamodules.transforms.RandomCrop, size: 32}]", "data.num_workers=0",
            "trainer.max_steps=1", "schedule.warmup_steps=0", "report=false", f"runs={tmp_path / 'runs'}",
        )
    )  # fmt: skip
    data = Vimeo90K(root=str(root), batch_size=1)
    assert wandb_files.config(tmp_path / "runs" / "ifrnet_tiny_vimeo90k")["data_manifest"] == manifest(data)


class Visits(http.server.BaseHTTPRequestHandler):
    """A server that counts who comes, and has nothing for anybody."""

    seen: ClassVar[list[str]] = []

    def handle_one_request(self) -> None:
        self.seen.append(str(self.client_address))
        self.close_connection = True

    def log_message(self, *args: object) -> None:
        pass


def test_offline_nothing_is_requested_over_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """All ways to W&B lead to a server of the test's own: W&B's address, and the proxy of all others."""
    wandb = pytest.importorskip("wandb")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Visits)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    for name in ("WANDB_BASE_URL", "HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"):
        monkeypatch.setenv(name, address)
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setattr("vfi_train.loggers.wandb.INIT_TIMEOUT", 3)
    wandb.teardown()  # W&B's process is to see these
    Visits.seen.clear()
    try:
        for mode in ("offline", "online"):
            logger = wandb_logger(tmp_path / mode, "name", mode=mode)  # type: ignore[arg-type]
            logger.log_metrics({"val/psnr": 30.0}, step=1)
            close_wandb()
            wandb.teardown()
            if mode == "offline":
                assert Visits.seen == []
        assert Visits.seen  # it would have been noticed
    finally:
        wandb.teardown()
        server.shutdown()
        server.server_close()
    assert "W&B cannot be reached" in caplog.text  # and the run is there all the same, without a question
    for mode in ("offline", "online"):
        assert [row["val/psnr"] for row in wandb_files.history(tmp_path / mode) if "val/psnr" in row] == [30.0]


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
    end = "+callbacks.end={_target_: tests.training.test_tracking.EndOfWandb}"
    run = train_tiny(tmp_path, *STEPS, "log_every=1", "logger=default", "callbacks.artifacts.files=[best.ckpt]", end)
    assert [row["step"] for row in rows(run)] == ["1", "2", "3", "4"]
    assert (run / "finished.json").exists()
    output = [record.getMessage() for record in caplog.records]
    assert sum("from here on only metrics.csv is written" in line for line in output) == 1
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


def test_tensorboard_logs_the_same_as_the_csv_log(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = train_tiny(tmp_path, *STEPS, "logger=tensorboard")
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    logged = [row for row in rows(run) if row["train/loss"]]
    assert [(e.step, pytest.approx(e.value)) for e in events.Scalars("train/loss")] == [
        (int(row["step"]), float(row["train/loss"])) for row in logged
    ]
    assert [event.step for event in events.Images("val/images")] == [2, 4]
