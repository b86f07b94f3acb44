"""The rest of InterpAny-Clearer's functions: losses, warp, learning rates, times of its evaluation."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from losses.census import Census
from losses.charbonnier import Charbonnier
from losses.distillation import FlowDistillation
from tests.helpers.golden_cases import assert_near, frame, load
from vfi_train.architectures.layers.warp import warp
from vfi_train.contract import Batch, Prediction
from vfi_train.optim.schedules import WarmupCosine

FOLDER = "functions_InterpAny-Clearer"
LOSSES = load(FOLDER, "losses_and_metrics")


def test_image_losses() -> None:
    prediction, batch = Prediction(frame(48, 64, 0.0, 77, 2)), Batch(target=frame(48, 64, 0.35, 77, 2))
    assert Charbonnier()(prediction, batch).item() == pytest.approx(LOSSES.info["charbonnier"], rel=1e-5)
    assert Census()(prediction, batch).item() == pytest.approx(LOSSES.info["ternary"], rel=1e-5)


def test_flow_loss_of_many_fields() -> None:
    def levels(phase: float, finest: int, coarser: int) -> list[Tensor]:
        fields = flow(48, 64, phase, finest, 6, 6).view(2, 3, 2, 48, 64)
        return [*(flow(48 >> k, 64 >> k, phase, coarser + k, 2, 6 / 2**k) for k in (3, 2, 1)), fields]

    prediction = Prediction(torch.zeros(2, 3, 48, 64), flow0=levels(0.1, 90, 95), flow1=levels(0.2, 110, 115))
    loss = FlowDistillation(weight=1.0)(prediction, Batch(flow=flow(48, 64, 0.0, 80, 4, 6)))
    assert loss.item() == pytest.approx(LOSSES.info["multiple_flow_weight_1"], rel=1e-5)


def flow(height: int, width: int, phase: float, seed: int, channels: int, size: float) -> Tensor:
    images = [frame(height, width, phase, seed + i, 2) for i in range(-(-channels // 3))]
    return size * (torch.cat(images, dim=1)[:, :channels] - 0.5)


def test_warp() -> None:
    displacement = 9 * (frame(48, 64, 0.3, 120, 2)[:, :2] - 0.5)
    assert_near(warp(frame(48, 64, 0.0, 77, 2), displacement), LOSSES.arrays["warped"], 1e-5)


def test_learning_rates() -> None:
    info = load(FOLDER, "learning_rate").info
    epoch = info["iterations_per_epoch"]
    for family in ("amt", "ifrnet"):
        row = info[family]
        schedule = WarmupCosine(floor=row["lr_min"])
        got = [schedule(step, peak=row["lr"], total=row["epochs"] * epoch) for step in row["steps"]]
        assert got == pytest.approx(row["values"], rel=1e-9), family
    # EMA-VFI's rates times (GPUs / 4) * (batch per GPU / 16): a half, as published.
    row = info["ema_vfi"]
    factor = row["world_size"] / 4 * row["batch_size_per_gpu"] / 16
    schedule = WarmupCosine(floor=factor * 2e-5, warmup_steps=2000)
    got = [schedule(step, peak=factor * 2e-4, total=300 * epoch) for step in row["steps"]]
    assert got == pytest.approx(row["values"], rel=1e-9, abs=0)
