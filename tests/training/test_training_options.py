"""Accumulation, processes, precision and frozen parts: switches of the trainer that any recipe takes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.helpers.in_process import TINY, read_checkpoint, rows, train_tiny
from tests.helpers.programs import train

STEPS = ("trainer.max_steps=3", "checkpoint_every=1", "validate_every=3", "trainer.accelerator=cpu")
TERMS = ("_charbonnier", "_census", "_geometry", "_distillation")


def logged(run: Path, name: str) -> list[float]:
    return [float(row[name]) for row in rows(run) if row[name]]


def train_on_two(folder: Path, *overrides: str) -> Path:
    """`train_tiny` on two processes, forked from one that has not trained yet."""
    result = train(*TINY, *overrides, "trainer.devices=2", "trainer.strategy=ddp_fork", cwd=folder)
    assert result.returncode == 0, result.stderr
    return folder / "runs" / "quickstart"


def test_a_batch_is_the_same_in_parts_and_on_two_processes(tmp_path: Path) -> None:
    """Sums are made in another order: 6e-7 is the most that was seen over three steps."""
    at_once = train_tiny(tmp_path, *STEPS, "name=at_once")
    runs = [train_tiny(tmp_path, *STEPS, "data.micro_batch_size=1", "name=parts"), train_on_two(tmp_path, *STEPS)]
    names = [name for name in rows(at_once)[0] if name.startswith(("train/loss", "train/gradient"))]
    assert len(names) == 6
    for run in runs:
        for name in names:
            assert logged(run, name) == pytest.approx(logged(at_once, name), rel=1e-5), name
        assert logged(run, "val/psnr") == pytest.approx(logged(at_once, "val/psnr"), abs=1e-4)


@pytest.mark.slow
def test_on_two_processes_one_bad_batch_and_frozen_parts_are_the_same_for_both(tmp_path: Path) -> None:
    poison = "+callbacks.poison={_target_: tests.helpers.recorder.Poison, steps: [3], process: 1}"
    run = train_on_two(
        tmp_path, *STEPS, poison, "freeze=['encoder.*']", "optimizer.weight_decay=0.1", "weights=ifrnet_tiny_synthetic"
    )
    before, after = (read_checkpoint(run / "checkpoints" / name) for name in ("last_previous.ckpt", "last.ckpt"))
    assert (before["global_step"], after["global_step"]) == (2, 3)
    assert all(torch.equal(before["state_dict"][name], tensor) for name, tensor in after["state_dict"].items())
    kept = sorted(path.name for path in (run / "faults").iterdir())
    assert kept == ["step_0000003_process_0.pt", "step_0000003_process_1.pt"]
    nan = [torch.load(run / "faults" / name, weights_only=True)["batches"][0]["target"].isnan().any() for name in kept]
    assert nan == [False, True]


@pytest.mark.slow
def test_on_two_processes_the_spike_of_one_is_skipped_by_both(tmp_path: Path) -> None:
    spike = "+callbacks.poison={_target_: tests.helpers.recorder.Poison, steps: [3], process: 1, value: 1e6}"
    guard = ("callbacks.nan_guard.spike=skip", "callbacks.nan_guard.spike_window=2")
    run = train_on_two(tmp_path, *STEPS, spike, *guard, "optimizer.weight_decay=0.1")
    before, after = (read_checkpoint(run / "checkpoints" / name) for name in ("last_previous.ckpt", "last.ckpt"))
    assert (before["global_step"], after["global_step"]) == (2, 3)
    assert all(torch.equal(before["state_dict"][name], tensor) for name, tensor in after["state_dict"].items())
    (kept,) = [c["losses"] for name, c in after["callbacks"].items() if name.startswith("NonFiniteGuard")]
    assert kept.tolist() == pytest.approx(logged(run, "train/loss")[:2], rel=1e-6)


def test_mixed_precision_computes_in_bfloat16_and_keeps_float32(tmp_path: Path) -> None:
    full = train_tiny(tmp_path, *STEPS, "name=full")
    mixed = train_tiny(tmp_path, *STEPS, "trainer.precision=bf16-mixed", "callbacks=ema", "name=mixed")
    first = [logged(run, "train/loss")[0] for run in (full, mixed)]
    assert first[0] != first[1]
    assert first[0] == pytest.approx(first[1], rel=0.02)
    saved = read_checkpoint(mixed / "checkpoints" / "last.ckpt")
    tensors = [*saved["state_dict"].values(), *saved["averages"]["ema"]["state_dict"].values()]
    assert all(tensor.dtype == torch.float32 for tensor in tensors)
    assert logged(mixed, "val/psnr") == pytest.approx(logged(full, "val/psnr"), abs=0.2)


def test_a_weight_follows_its_schedule_and_is_logged(tmp_path: Path) -> None:
    points = "{_target_: losses.schedule.PiecewiseLinear, points: [[0, 0.0], [2, 0.5]]}"
    plain = train_tiny(tmp_path, *STEPS, "name=plain")
    run = train_tiny(tmp_path, *STEPS, f"loss.terms.census.weight={points}", "name=scheduled")
    assert logged(run, "train/weight_census") == [0.0, 0.25, 0.5]
    assert logged(run, "train/loss_census")[0] == 0
    assert logged(run, "train/loss_charbonnier")[0] == logged(plain, "train/loss_charbonnier")[0]
    for total, *terms in zip(*(logged(run, f"train/loss{name}") for name in ("", *TERMS)), strict=True):
        assert total == pytest.approx(sum(terms), rel=1e-6)
