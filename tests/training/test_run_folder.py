"""Whose a run's folder is, what is written into it, and when a run is finished."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml

from tests.helpers.in_process import read_checkpoint, rows, train_tiny
from vfi_train.errors import UserError

SHORT = ("trainer.max_steps=3", "validate_every=3")


MISTAKES = {
    "weights=ifrnet_tiny_syntetic": "is no file, no run in .* and no shipped weights",
    "optimizer_state=nothing": "is no file, no run in",
    "trainer.gradient_clip_algorithm=nom": "is none of norm, value",
    "optimizer.lr=nan": "Invalid learning rate",
    "data.train_samples=2": "fewer than one batch",
    "callbacks.best.monitor=val/snr": "callbacks.best.monitor=val/snr is not logged",
    "callbacks.best.monitor=train/los": "callbacks.best.monitor=train/los is not logged: did you mean 'train/loss'",
}


def test_a_mistake_leaves_the_folder_to_the_corrected_command(tmp_path: Path) -> None:
    for mistake, said in MISTAKES.items():
        with pytest.raises(UserError, match=said):
            train_tiny(tmp_path, *SHORT, mistake)
    late = ("callbacks=ema", "callbacks.ema.start_step=9", "callbacks.best.monitor=val/psnr_ema")
    with pytest.raises(
        UserError, match=r"is logged from step 10 on, .* the first validation is at step 3: monitor val/psnr"
    ):
        train_tiny(tmp_path, *SHORT, *late)
    assert not any(tmp_path.iterdir())
    run = train_tiny(tmp_path, *SHORT, "weights=ifrnet_tiny_synthetic")
    assert yaml.safe_load((run / "config.yaml").read_text())["weights"] == "ifrnet_tiny_synthetic"
    (start,) = json.loads((run / "provenance.json").read_text())  # whatever the logger
    assert start["from_step"] == 0
    assert start["environment"]["packages"]["torch"] == torch.__version__.partition("+")[0]
    assert start["data_manifest"] is None  # drawn scenes


def test_only_the_last_step_finishes_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    full = train_tiny(tmp_path, "trainer.max_steps=4", "validate_every=4", "name=full")
    options = (
        "trainer.max_steps=4", "validate_every=4", "name=timed", "trainer.max_time=00:00:00:01", "report=true",
        "+callbacks.pace={_target_: tests.helpers.pace.Pace, seconds: 0.4}",
    )  # fmt: skip
    run = train_tiny(tmp_path, *options)
    assert not (run / "finished.json").exists()
    assert not (run / "report.json").exists()
    done = read_checkpoint(run / "checkpoints" / "last.ckpt")["global_step"]
    assert 0 < done < 4
    assert f"after step {done} of 4, which is saved (trainer.max_time" in capsys.readouterr().out
    for _ in range(4):  # each start has its time again
        if (run / "finished.json").exists():
            break
        train_tiny(tmp_path, *options)
    assert json.loads((run / "finished.json").read_text())["steps"] == 4
    states = [read_checkpoint(one / "checkpoints" / "last.ckpt")["state_dict"] for one in (full, run)]
    assert all(torch.equal(states[1][name], tensor) for name, tensor in states[0].items())
    assert [row["train/loss"] for row in rows(run)] == [row["train/loss"] for row in rows(full)]


def test_what_an_own_callback_logs_may_be_monitored(tmp_path: Path) -> None:
    """The batch that is validated for it beforehand changes nothing."""
    plain = train_tiny(tmp_path, *SHORT, "name=plain")
    own = ("+callbacks.own={_target_: tests.helpers.recorder.Luck}", "callbacks.best.monitor=val/luck")
    run = train_tiny(tmp_path, *SHORT, *own)
    assert (run / "checkpoints" / "best.ckpt").exists()
    assert [row["train/loss"] for row in rows(run)] == [row["train/loss"] for row in rows(plain)]
    assert [row["val/psnr"] for row in rows(run)] == ["", "", rows(plain)[2]["val/psnr"]]
