"""The plan of a training: configurations end where it is made."""

from __future__ import annotations

from pathlib import Path

import vfi_train
from tests.helpers.in_process import planned

ROOT = Path(vfi_train.__file__).parent
ROOMS = ("training", "runtime", "modules", "callbacks", "loggers", "optim")
DOORS = {"training/build.py", "training/command.py"}


def test_configurations_end_at_the_door() -> None:
    readers = {
        path.relative_to(ROOT).as_posix()
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
        if "omegaconf" in path.read_text() or "HydraConfig" in path.read_text()
    }
    assert readers == DOORS


def test_what_is_read_from_a_configuration() -> None:
    plan = planned(
        "experiment=ifrnet_gopro", "data.root=r", "trainer.devices=4", "callbacks=ema", "callbacks.ema.name=slow",
        "data.batch_size=16", "data.micro_batch_size=2", "loss.terms.census.weight=0.5", "runs=elsewhere", "name=x",
    )  # fmt: skip
    assert (plan.name, str(plan.folder), plan.network) == ("ifrnet_gopro-x", "elsewhere/ifrnet_gopro-x", "ifrnet")
    assert (plan.steps, plan.length, plan.validate_every) == (None, "600 epochs", None)
    counted = plan.with_epoch(100)
    assert (counted.steps, counted.validate_every, counted.name) == (60_000, 800, plan.name)
    assert counted.config["trainer"]["max_steps"] == 60_000
    assert plan.batch_split == (2, 2)
    (data,) = plan.datasets
    assert (data.kind.__name__, data.root, data.batch_size) == ("GoPro", "r", 16 * 7)  # groups of seven targets
    assert plan.averages == ("slow",)
    assert {loss.name: loss.weight for loss in plan.losses}["census"] == 0.5
    assert not any(loss.has_backbone for loss in plan.losses)
    assert (plan.best, plan.wandb_mode) == (("max", "val/psnr"), "auto")
    assert planned("logger=csv").wandb_mode is None
    assert any(loss.has_backbone for loss in planned("loss=rife_lpips", "model=rife").losses)
