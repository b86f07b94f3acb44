"""Every optimizer of conf/optimizer trains, with parameter groups, and resumes to the bit."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import conf
from tests.helpers.in_process import TINY, composed, read_checkpoint, rows, train_tiny
from tests.helpers.marks import some_slow
from vfi_train.training.command import train

OPTIMIZERS = sorted(path.stem for path in (Path(conf.__file__).parent / "optimizer").glob("*.yaml"))
GROUPS = "parameter_groups=[{match: ['*.bias'], lr_factor: 0.5, weight_decay: 0.0}]"
OPTIONS = (GROUPS, "optimizer.lr=1e-3", "optimizer.weight_decay=1e-2", "trainer.max_steps=4", "checkpoint_every=2",
           "callbacks.images=null")  # fmt: skip


def last(run: Path) -> dict[str, Any]:
    return read_checkpoint(run / "checkpoints" / "last.ckpt")


def assert_same(found: Any, wanted: Any) -> None:
    if isinstance(wanted, torch.Tensor):
        assert torch.equal(found, wanted)
    elif isinstance(wanted, dict):
        assert list(found) == list(wanted)
        for key in wanted:
            assert_same(found[key], wanted[key])
    elif isinstance(wanted, (list, tuple)):
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            assert_same(one, other)
    else:
        assert found == wanted


@pytest.mark.parametrize("name", some_slow([("muon",), *((name,) for name in OPTIMIZERS if name != "muon")]))
def test_each_one_resumes_to_the_bit(name: str, tmp_path: Path) -> None:
    schedule = "constant" if name == "schedule_free" else "one_cycle"
    options = (*OPTIONS, f"optimizer={name}", f"schedule={schedule}", "~schedule.warmup_steps")
    whole = train_tiny(tmp_path / "a", *options, "validate_every=3")
    half = tmp_path / "b" / "runs" / whole.name
    shutil.copytree(whole, half)
    (half / "finished.json").unlink()
    (half / "checkpoints" / "last.ckpt").unlink()
    (half / "checkpoints" / "best.ckpt").unlink()
    assert read_checkpoint(half / "checkpoints" / "last_previous.ckpt")["global_step"] < 4
    train_tiny(tmp_path / "b", *options, "validate_every=3")
    found, wanted = last(half), last(whole)
    for key in ("state_dict", "optimizer_states", "lr_schedulers"):
        assert_same(found[key], wanted[key])


def test_schedule_free_evaluates_its_average(tmp_path: Path) -> None:
    options = (*OPTIONS, "optimizer=schedule_free", "schedule=constant", "~schedule.warmup_steps")
    often = last(train_tiny(tmp_path / "often", *options, "validate_every=1"))
    rarely = last(train_tiny(tmp_path / "rarely", *options, "validate_every=4"))
    assert_same(often["training_weights"], rarely["training_weights"])  # a validation changes nothing
    (state,) = rarely["optimizer_states"]
    names = [name for group in state["param_groups"] for name in group["param_names"]]
    differ = 0
    for index, name in enumerate(names):
        y, z = rarely["training_weights"][name], state["state"][index]["z"]
        x = y + (z - y) * (1 - 1 / 0.9)  # y = beta x + (1 - beta) z
        torch.testing.assert_close(rarely["state_dict"][f"architecture.{name}"], x, rtol=0, atol=1e-6)
        differ += not torch.equal(x, y)
    assert differ > len(names) / 2


def test_a_training_returns_its_best_value_to_a_sweeper(tmp_path: Path) -> None:
    options = [o for o in TINY if not o.startswith(("data.train_samples", "log_every"))]
    config = composed(*options, "trainer.max_steps=3", "validate_every=1", "callbacks.images=null", f"runs={tmp_path}")
    best = train(config)
    assert best == pytest.approx(max(float(row["val/psnr"]) for row in rows(tmp_path / "quickstart")), abs=1e-4)
    assert train(config) == best  # a finished run's too
