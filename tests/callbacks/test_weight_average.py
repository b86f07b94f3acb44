"""Averages of the weights against their recurrences, and their scores, checkpoints and resumption."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.helpers.in_process import planned, read_checkpoint, rows, train_tiny
from tests.helpers.recorder import Recorder
from vfi_train.callbacks.weight_average import WeightAverage
from vfi_train.errors import UserError
from vfi_train.training.build import build_module
from vfi_train.weights import load_weights

STEPS = ("trainer.max_steps=6", "validate_every=3", "checkpoint_every=3")


def average(run: Path, name: str) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = read_checkpoint(run / "checkpoints" / "last.ckpt")["averages"][name]["state_dict"]
    return tensors


def assert_same(got: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert got.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(got[name].double(), tensor.double(), rtol=1e-5, atol=1e-7)


def test_ema_is_the_recurrence_once_per_optimizer_step(tmp_path: Path) -> None:
    options = ("callbacks=ema", "callbacks.ema.decay=0.7", "data.micro_batch_size=2")  # two micro-batches a step
    run = train_tiny(tmp_path, *STEPS, *options, Recorder.begin())
    assert len(Recorder.weights) == 6
    expected = {name: tensor.double() for name, tensor in Recorder.weights[0].items()}
    for weights in Recorder.weights[1:]:
        expected = {name: 0.7 * old + 0.3 * weights[name].double() for name, old in expected.items()}
    assert_same(average(run, "ema"), expected)
    # Both are scored, and weights=RUN:ema is what was scored.
    last = rows(run)[-1]
    assert float(last["val/psnr"]) != float(last["val/psnr_ema"])
    assert {"val/ssim", "val/ssim_ema"} < set(last)
    loaded = build_module(planned("experiment=quickstart")).architecture
    load_weights(loaded, f"{run / 'checkpoints' / 'last.ckpt'}:ema")
    assert_same({f"architecture.{n}": t for n, t in loaded.state_dict().items()}, average(run, "ema"))
    with pytest.raises(UserError, match="has no average 'emma' of the weights: did you mean 'ema'"):
        load_weights(loaded, f"{run / 'checkpoints' / 'last.ckpt'}:emma")


@pytest.mark.slow
def test_swa_is_the_mean_of_the_last_part(tmp_path: Path) -> None:
    options = ("callbacks=swa", "callbacks.swa.start_step=1", "callbacks.swa.every_n_steps=2")
    run = train_tiny(tmp_path, *STEPS, *options, Recorder.begin())
    taken = [Recorder.weights[step - 1] for step in (2, 4, 6)]
    expected = {name: torch.stack([w[name].double() for w in taken]).mean(0) for name in taken[0]}
    assert_same(average(run, "swa"), expected)


@pytest.mark.slow
def test_a_run_that_was_broken_off_ends_with_the_same_average(tmp_path: Path) -> None:
    undisturbed = train_tiny(tmp_path, *STEPS, "callbacks=ema", "name=uninterrupted", Recorder.begin())
    broken = (*STEPS, "callbacks=ema", "name=broken")
    with pytest.raises(RuntimeError, match="stopped by the test"):
        train_tiny(tmp_path, *broken, Recorder.begin(stop_at=5))
    run = train_tiny(tmp_path, *broken, Recorder.begin())
    assert len(Recorder.weights) == 3  # from step 3 on
    for name, tensor in average(undisturbed, "ema").items():
        assert torch.equal(average(run, "ema")[name], tensor)
    assert rows(run)[-1]["val/psnr_ema"] == rows(undisturbed)[-1]["val/psnr_ema"]


def test_a_warm_up_forgets_the_first_weights_sooner() -> None:
    average = WeightAverage(decay=0.9, warmup=True)
    assert [average.weight(update) for update in (1, 2, 3, 91)] == pytest.approx([1.0, 9 / 11, 9 / 12, 0.1])
    with pytest.raises(UserError, match=r"0 or more and less than 1; got 1\.5"):
        WeightAverage(decay=1.5)
