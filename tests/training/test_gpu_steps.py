"""On a GPU: the host runs ahead of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

from tests.helpers.in_process import read_checkpoint, train_tiny

pytestmark = pytest.mark.gpu
AHEAD = range(5, 15)  # optimizer steps without a row in the log, a validation or a checkpoint


class Watch(L.Callback):
    """Makes waiting for the GPU an error, from the beginning of a step to the beginning of the next."""

    steps = 0

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        watched = trainer.global_step in AHEAD
        Watch.steps += watched
        torch.cuda.set_sync_debug_mode("error" if watched else "default")


@pytest.mark.parametrize("compile", ["none", "cuda_graphs"])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_step_waits_for_nothing(precision: str, compile: str, tmp_path: Path) -> None:
    Watch.steps = 0
    options = (
        "trainer.accelerator=gpu", f"trainer.precision={precision}", f"module.compile={compile}",
        "trainer.max_steps=20", "log_every=20",
        "trainer.gradient_clip_val=1.0", "callbacks=ema",
        "+callbacks.watch={_target_: tests.training.test_gpu_steps.Watch}",
    )  # fmt: skip
    run = train_tiny(tmp_path, *options)
    assert Watch.steps == len(AHEAD)
    groups = read_checkpoint(run / "checkpoints" / "last.ckpt")["optimizer_states"][0]["param_groups"]
    assert all(group["fused"] for group in groups)


def test_steps_replayed_as_cuda_graphs_train_the_same(tmp_path: Path) -> None:
    """Ten steps of ifrnet_tiny, whose learning rate moves a weight by more than the tolerance."""
    options = ("trainer.accelerator=gpu", "trainer.max_steps=10", "checkpoint_every=10", "log_every=1")
    plain, replayed = (
        read_checkpoint(train_tiny(tmp_path / name, *options, f"module.compile={name}") / "checkpoints" / "last.ckpt")
        for name in ("none", "cuda_graphs")
    )
    for name, weight in plain["state_dict"].items():
        assert torch.allclose(replayed["state_dict"][name], weight, atol=2e-4), name


def test_a_step_that_is_not_finite_is_skipped_there(tmp_path: Path) -> None:
    poison = "+callbacks.poison={_target_: tests.helpers.recorder.Poison, steps: [3]}"
    options = ("trainer.accelerator=gpu", "trainer.max_steps=3", "checkpoint_every=1", "optimizer.weight_decay=0.1")
    run = train_tiny(tmp_path, *options, poison)
    before, after = (read_checkpoint(run / "checkpoints" / name) for name in ("last_previous.ckpt", "last.ckpt"))
    assert all(torch.equal(before["state_dict"][name], tensor) for name, tensor in after["state_dict"].items())
    assert len(list((run / "faults").iterdir())) == 1
