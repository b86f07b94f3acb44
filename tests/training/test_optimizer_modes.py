"""Schedule-free optimizers: steps are done on other weights than those that are validated, saved and used."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.helpers.in_process import read_checkpoint, rows, train_tiny
from vfi_train.architectures import create_model
from vfi_train.weights import load_weights

MOMENTUM = 0.5
FREE = (
    "optimizer._target_=schedulefree.SGDScheduleFree", "~optimizer.betas", "~optimizer.eps", "optimizer.lr=0.1",
    f"+optimizer.momentum={MOMENTUM}", "schedule.floor=0.1", "checkpoint_every=2", "validate_every=3",
)  # fmt: skip


def test_the_weights_to_be_used_are_saved_and_a_resumed_run_is_the_same(tmp_path: Path) -> None:
    whole = train_tiny(tmp_path, *FREE, "trainer.max_steps=6", "name=whole")
    at_five = train_tiny(tmp_path, *FREE, "trainer.max_steps=5", "name=parts")
    saved = read_checkpoint(at_five / "checkpoints" / "last.ckpt")
    used, for_steps = saved["state_dict"], saved["step_weights"]
    states = saved["optimizer_states"][0]
    names = [name for group in states["param_groups"] for name in group["param_names"]]
    for index, name in enumerate(names):  # Defazio et al. 2024, equation 3: y = (1 - beta) z + beta x
        key = f"architecture.{name}"
        expected = torch.lerp(states["state"][index]["z"], used[key], MOMENTUM)
        torch.testing.assert_close(for_steps[key], expected, rtol=1e-5, atol=1e-6)
    assert any(not torch.equal(used[name], for_steps[name]) for name in used)

    network = create_model("ifrnet_tiny")
    load_weights(network, f"{at_five}:last")
    assert all(torch.equal(tensor, used[f"architecture.{name}"]) for name, tensor in network.state_dict().items())

    resumed = train_tiny(tmp_path, *FREE, "trainer.max_steps=6", "name=parts", "resume=force")
    ends = [read_checkpoint(run / "checkpoints" / "last.ckpt") for run in (whole, resumed)]
    for key in ("state_dict", "step_weights"):
        assert all(torch.equal(tensor, ends[1][key][name]) for name, tensor in ends[0][key].items())
    scores = [[row["val/psnr"] for row in rows(run) if row["val/psnr"]] for run in (whole, resumed)]
    assert scores[0] == scores[1]
    assert float(scores[0][1]) == pytest.approx(float(scores[0][0]), abs=10)
