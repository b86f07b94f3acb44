"""Learning rates against the published formulas."""

from __future__ import annotations

import json

import pytest
import torch

from tests.helpers.golden_cases import GOLDENS
from vfi_train.optim.schedules import OneCycle, WarmupCosine, WarmupStableDecay

ROWS = json.loads((GOLDENS / "functions_IFRNet" / "learning_rate.json").read_text())["rows"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['epochs']}x{row['iters_per_epoch']}@{row['iteration']}")
def test_ifrnet(row: dict[str, float]) -> None:
    schedule = WarmupCosine(floor=1e-5)
    total = int(row["epochs"] * row["iters_per_epoch"])
    assert schedule(int(row["iteration"]), peak=1e-4, total=total) == pytest.approx(row["lr"], rel=1e-12)


def test_warm_up_is_a_line_from_start_to_peak() -> None:
    schedule = WarmupCosine(floor=1e-5, warmup_steps=4, start=2e-5)
    rates = [schedule(step, peak=1e-4, total=104) for step in range(5)]
    assert rates == pytest.approx([2e-5, 4e-5, 6e-5, 8e-5, 1e-4], rel=1e-12)
    assert schedule(54, peak=1e-4, total=104) == pytest.approx(5.5e-5)  # half way down
    assert schedule(500, peak=1e-4, total=104) == pytest.approx(1e-5)  # and no further
    longer = WarmupCosine(floor=0.0, steps=200)
    assert longer(100, peak=1.0, total=100) == pytest.approx(0.5)


@pytest.mark.parametrize("total", [10, 1500])
def test_one_cycle_is_pytorchs(total: int) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=1e-3, total_steps=total, pct_start=0.3, div_factor=25.0, final_div_factor=4.0
    )  # ends at 1e-3 / 25 / 4
    schedule = OneCycle(floor=1e-5)
    for step in range(total):
        assert schedule(step, peak=1e-3, total=total) == pytest.approx(scheduler.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        scheduler.step()


def test_warm_up_stable_decay() -> None:
    schedule = WarmupStableDecay(floor=1e-5, warmup_steps=4, decay=0.25)
    rates = [schedule(step, peak=1e-3, total=100) for step in range(100)]
    assert rates[:5] == pytest.approx([2.5e-4, 5e-4, 7.5e-4, 1e-3, 1e-3])
    assert set(rates[4:76]) == {1e-3}
    assert rates[88] == pytest.approx(1e-5 + (1e-3 - 1e-5) * 12 / 25)  # 12 of 25 steps are left
    assert rates[99] == pytest.approx(1e-5 + (1e-3 - 1e-5) / 25)
