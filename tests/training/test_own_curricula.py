"""Curricula of our own: a fine-tuning with distance maps, and high resolution after Vimeo90K."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tests.helpers.in_process import composed, read_checkpoint, rows
from tests.helpers.layouts import fabricate
from vfi_train.training.command import plan_phases, train

TINY = (
    "data.batch_size=2", "data.val_batch_size=1", "data.num_workers=0", "data.val_samples=1", "trainer.max_steps=2",
    "validate_every=2", "log_every=1", "logger=csv", "report=false", "schedule.warmup_steps=0",
    "data.transforms=[{_target_: datamodules.transforms.RandomCrop, size: 64}]",
)  # fmt: skip


@pytest.mark.parametrize(
    ("overrides", "models", "lengths"),
    [
        (["experiment=emavfi_x4k_curriculum"], ["ema_vfi.ema_vfi"] * 2, [480_900, 55_100]),
        (
            ["experiment=emavfi_x4k_curriculum", "curriculum.recipe=emavfi_small_vimeo"],
            ["ema_vfi.ema_vfi_small"] * 2,
            [480_900, 55_100],
        ),
        (["experiment=distance_finetune", "steps_per_epoch=10"], ["rife.rife_t", "rife.rife_d"], [287_700, 300]),
        (
            ["experiment=distance_finetune", "curriculum.family=ifrnet", "steps_per_epoch=10"],
            ["ifrnet.ifrnet", "ifrnet.ifrnet_d"],
            [767_100, 300],
        ),
    ],
    ids=["emavfi", "emavfi-small", "distance-rife", "distance-ifrnet"],
)
def test_what_they_train_for_how_long(overrides: list[str], models: list[str], lengths: list[int]) -> None:
    phases = plan_phases(composed("dry_run=true", *overrides))
    assert [plan.config["model"]["_target_"].removeprefix("vfi_train.architectures.") for plan in phases] == models
    assert [plan.steps for plan in phases] == lengths
    assert phases[1].weights == phases[0].name


@pytest.mark.parametrize(
    ("overrides", "roots", "run", "rate"),
    [
        pytest.param(
            ["experiment=distance_finetune", "curriculum.lr=1e-5"],
            {"vimeo_septuplet": "data.root"}, "distance_finetune-rife", 1e-5, id="distance",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ["experiment=emavfi_x4k_curriculum", "curriculum.recipe=emavfi_small_vimeo"],
            {"vimeo90k": "roots.vimeo90k", "x4k1000fps": "roots.x4k1000fps"}, "emavfi_x4k_curriculum", 5e-5,
            id="emavfi", marks=pytest.mark.slow,
        ),
    ],
)  # fmt: skip
def test_they_train_on_published_layouts(
    overrides: list[str], roots: dict[str, str], run: str, rate: float, tmp_path: Path
) -> None:
    given = [f"{key}={fabricate(name, tmp_path / 'data', size=(96, 128), clips=3)}" for name, key in roots.items()]
    train(composed(*overrides, *TINY, *given, f"runs={tmp_path / 'runs'}"))
    first, second = sorted((tmp_path / "runs" / run).iterdir(), key=lambda phase: phase.stat().st_mtime)
    for phase in (first, second):
        assert [row["step"] for row in rows(phase)] == ["1", "2"]
        assert all(math.isfinite(float(row["train/loss"])) for row in rows(phase))
    begin = read_checkpoint(first / "checkpoints" / "best.ckpt")["state_dict"]
    end = read_checkpoint(second / "checkpoints" / "last.ckpt")["state_dict"]
    moved = max(float((tensor - begin[name]).abs().max()) for name, tensor in end.items())
    assert 0 < moved < 2.5 * rate  # two steps of Adam, each of about the learning rate: it began where the first ended
