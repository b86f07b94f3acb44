"""The training program as a user runs it: it trains, is killed, resumes, and refuses with a message."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml

from tests.helpers.programs import ENVIRONMENT, train

TINY = (
    "experiment=quickstart", "optimizer=adamw", "optimizer.lr=1e-3", "trainer.max_steps=23", "data.size=32",
    "data.batch_size=4", "data.num_workers=1",
    "data.train_samples=40", "data.val_samples=6", "validate_every=10", "checkpoint_every=3", "log_every=1",
    "schedule.warmup_steps=2", "schedule.steps=23", "schedule.floor=1e-4", "logger=csv",
)  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing stopped: 23 steps, epochs of 10."""
    folder = tmp_path_factory.mktemp("undisturbed")
    result = train(*TINY, cwd=folder)
    assert result.returncode == 0, result.stderr
    return folder / "runs" / "quickstart"


def weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def log(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_leaves_what_it_should(undisturbed: Path) -> None:
    config = yaml.safe_load((undisturbed / "config.yaml").read_text())
    assert config["trainer"]["max_steps"] == 23
    assert (undisturbed / "checkpoints" / "best.ckpt").exists()
    assert json.loads((undisturbed / "finished.json").read_text())["steps"] == 23
    report = json.loads((undisturbed / "report.json").read_text())
    assert len(report) == 3
    assert all(set(row) == {"PSNR", "SSIM"} for row in report.values())
    assert list((undisturbed / "images").glob("*.png"))


def test_the_log_has_every_step_once_and_the_published_learning_rate(undisturbed: Path) -> None:
    rows = log(undisturbed)
    assert [int(row["step"]) for row in rows] == list(range(1, 24))
    rates = [float(row["train/lr"]) for row in rows]
    assert rates[:3] == pytest.approx([0.0, 0.5e-3, 1e-3])  # warm-up of 2 steps to 1e-3
    assert rates[-1] == pytest.approx(1e-4, rel=0.06)  # half a cosine down to the floor
    for row in rows:
        terms = [float(v) for k, v in row.items() if k.startswith("train/loss_")]
        assert float(row["train/loss"]) == pytest.approx(sum(terms), rel=1e-5)
    assert [row["step"] for row in rows if row["val/psnr"]] == ["10", "20"]


@pytest.mark.slow
def test_killed_in_the_middle_of_an_epoch_it_ends_with_the_same_bits(undisturbed: Path, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "quickstart"
    command = [sys.executable, "-m", "vfi_train", *TINY]
    for stop_at in (5, 16):
        process = subprocess.Popen(command, cwd=tmp_path, env=ENVIRONMENT, start_new_session=True)
        deadline = time.monotonic() + 300
        while not ((run / "metrics.csv").exists() and len(log(run)) >= stop_at):
            assert process.poll() is None, "the run ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    result = train(*TINY, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "resuming" in result.stdout
    expected, got = weights(undisturbed), weights(run)
    assert expected.keys() == got.keys()
    for name in expected:
        assert torch.equal(expected[name], got[name]), name
    volatile = ("train/samples_per_second", "train/data_wait")
    drop = [{k: v for k, v in row.items() if k not in volatile} for row in log(run)]
    assert drop == [{k: v for k, v in row.items() if k not in volatile} for row in log(undisturbed)]


def test_a_finished_run_says_so_and_another_configuration_is_refused(undisturbed: Path) -> None:
    folder = undisturbed.parent.parent
    again = train(*TINY, cwd=folder)
    assert again.returncode == 0
    assert "is finished" in again.stdout
    other = train(*TINY, "optimizer.lr=0.002", "data.num_workers=0", cwd=folder)
    assert other.returncode == 2
    assert "optimizer.lr: 0.001 -> 0.002" in other.stderr
    assert "num_workers" not in other.stderr  # how many workers load is not part of what a run computes
    assert "name=..." in other.stderr
    never = train(*TINY, "resume=never", cwd=folder)
    assert never.returncode == 2
    assert "resume=never" in never.stderr


@pytest.mark.slow
def test_weights_mean_the_same_everywhere(undisturbed: Path, tmp_path: Path) -> None:
    folder = undisturbed.parent.parent
    short = (*TINY, "debug=smoke", "report=false", "optimizer.lr=0.0", "schedule.floor=0.0")
    best = torch.load(undisturbed / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    for name, source in (("run", "quickstart"), ("file", str(undisturbed / "checkpoints" / "best.ckpt"))):
        result = train(*short, f"name={name}", f"weights={source}", cwd=folder)
        assert result.returncode == 0, result.stderr
        started = weights(folder / "runs" / f"quickstart-debug_smoke-{name}")
        assert all(torch.equal(best[key], started[key]) for key in best)


@pytest.mark.slow
def test_a_sweep_names_its_runs_by_what_it_varies(tmp_path: Path) -> None:
    result = train(*TINY, "debug=smoke", "seed=1,2", "--multirun", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    names = sorted(path.name for path in (tmp_path / "runs").iterdir() if path.is_dir())
    assert names == ["quickstart-debug_smoke-seed=1", "quickstart-debug_smoke-seed=2"]
