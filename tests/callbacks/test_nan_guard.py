"""Steps that are not finite: skipped, reported, kept for replay; too many end the run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from tests.helpers.in_process import read_checkpoint, rows, train_tiny
from tests.helpers.recorder import Recorder
from vfi_train.errors import UserError
from vfi_train.modules.loss_spikes import LossSpikes


def poison(*steps: int) -> str:
    return f"+callbacks.poison={{_target_: tests.helpers.recorder.Poison, steps: {list(steps)}}}"


@pytest.mark.parametrize("optimizer", [("+optimizer.fused=false",), ()], ids=["by-the-host", "by-the-optimizer"])
def test_a_step_that_is_not_finite_changes_nothing(
    optimizer: tuple[str, ...], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = ("trainer.max_steps=4", "checkpoint_every=1", "optimizer.weight_decay=0.1", "data.micro_batch_size=2")
    run = train_tiny(tmp_path, *options, *optimizer, poison(2), Recorder.begin())
    first, second, third, _ = Recorder.weights
    for name in first:
        assert torch.equal(first[name], second[name])
        assert torch.isfinite(third[name]).all()
    assert any(not torch.equal(second[name], third[name]) for name in first)
    state = read_checkpoint(run / "checkpoints" / "last.ckpt")["optimizer_states"][0]["state"][0]
    assert state["step"] == 3  # of four: the skipped one is not counted
    assert torch.isfinite(state["exp_avg"]).all()
    logged = rows(run)
    assert [row["train/loss"] == "nan" for row in logged] == [False, True, False, False]
    assert [row["train/skipped_steps"] for row in logged] == ["", "1", "1", "1"]
    (file,) = (run / "faults").iterdir()
    kept = torch.load(file, weights_only=True)
    assert kept["step"] == 2
    assert [len(batch["key"]) for batch in kept["batches"]] == [2, 2]
    (message,) = [record.getMessage() for record in caplog.records if "not finite" in record.getMessage()]
    for key in kept["batches"][0]["key"]:
        assert key in message
    assert f"python -m vfi_train.replay {file}" in message


def test_so_many_in_a_row_end_the_run(tmp_path: Path) -> None:
    options = ("trainer.max_steps=9", "checkpoint_every=1", "callbacks.nan_guard.limit=3", "callbacks.nan_guard.keep=1")
    with pytest.raises(UserError, match=r"^3 steps in a row were skipped, which ends the run: step 7: the loss"):
        train_tiny(tmp_path, *options, poison(1, 3, 5, 6, 7), Recorder.begin())
    assert len(list((tmp_path / "runs" / "quickstart" / "faults").iterdir())) == 1
    assert torch.equal(*(Recorder.weights[n]["architecture.encoder.pyramid1.0.0.weight"] for n in (3, 5)))


# --- losses that are finite and far above the ones before

SPIKE = ("callbacks.nan_guard.spike=skip", "callbacks.nan_guard.spike_window=4", "checkpoint_every=1")


def jump(*steps: int) -> str:
    return f"+callbacks.jump={{_target_: tests.helpers.recorder.Poison, steps: {list(steps)}, value: 1e6}}"


def test_a_spike_is_what_exceeds_so_many_times_the_running_median() -> None:
    spikes = LossSpikes(factor=3.0, window=4)
    found = []
    for loss in (9.0, 100.0, 1.0, 2.0, 3.0, 6.1, float("nan"), float("inf"), 5.0, 9.1):
        found.append(spikes.update(torch.tensor(loss)).item())
    # Not known for two steps; then the median of the latest four that were taken, of an even number the lower one.
    assert found == [0, 0, 0, 0, 0, 1, 0, 0, 0, 1]
    assert spikes.losses.tolist() == [1, 2, 3, 5]


@pytest.mark.parametrize(
    "optimizer",
    [
        pytest.param(("+optimizer.fused=false",), id="by-the-host"),
        pytest.param((), id="by-the-optimizer", marks=pytest.mark.slow),
    ],
)
def test_a_spike_is_skipped_and_the_same_after_a_resume(
    optimizer: tuple[str, ...], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = ("trainer.max_steps=6", *SPIKE, *optimizer, jump(5), "optimizer.weight_decay=0.1")
    train_tiny(tmp_path, *options, "data.micro_batch_size=2", "name=full", Recorder.begin())
    full = Recorder.weights
    assert all(torch.equal(full[3][name], tensor) for name, tensor in full[4].items())
    assert any(not torch.equal(full[4][name], tensor) for name, tensor in full[5].items())
    (message,) = [record.getMessage() for record in caplog.records if "running median" in record.getMessage()]
    assert re.match(r"step 5: the loss is [\d.e+]+, [\d.e+]+ times the running median of [\d.]+, and the step", message)
    with pytest.raises(RuntimeError, match="stopped by the test"):
        train_tiny(tmp_path, *options, "data.micro_batch_size=2", "name=cut", Recorder.begin(stop_at=4))
    run = train_tiny(tmp_path, *options, "data.micro_batch_size=2", "name=cut", Recorder.begin())
    # Without the losses of the steps before, the median would not be known and the step be done.
    assert all(torch.equal(Recorder.weights[-1][name], tensor) for name, tensor in full[5].items())
    assert [row["train/skipped_steps"] for row in rows(run)] == ["", "", "", "", "1", "1"]


def test_a_spike_may_stop_the_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^callbacks\.nan_guard\.spike=stop ends the run: step 4: the loss is"):
        train_tiny(tmp_path, "trainer.max_steps=6", *SPIKE[1:], jump(4), "callbacks.nan_guard.spike=stop")
