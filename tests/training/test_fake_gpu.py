"""Training steps on a fake GPU: all tensors are on it, and the host never waits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from losses.base import Term
from tests.helpers.in_process import EXPERIMENTS
from tests.helpers.programs import run_fresh
from vfi_train.contract import Batch, Prediction

FOLDER = Path(__file__).parents[2]
OFTEN = ("ifrnet_s_vimeo", "amt_s_vimeo", "emavfi_small_vimeo", "atmvfi_lite_vimeo", "rife_vimeo")
FAMILIES = sorted({name.partition("_")[0] for name in EXPERIMENTS})
SWITCHES = (
    "experiment=emavfi_small_t_co3d loss=ema_vfi_perceptual loss.terms.perceptual.style=1",
    "experiment=ifrnet_dr_septuplet module.checkpointing=true",
    "experiment=atmvfi_lite_vimeo module.checkpointing=true",
)


class Reading(Term):
    """Reads a number of the device in each step."""

    def forward(self, prediction: Prediction, batch: Batch) -> Tensor:
        return prediction.frame.mean() * prediction.frame.max().item()


class Copying(Term):
    """Copies numbers to the device in each step."""

    def forward(self, prediction: Prediction, batch: Batch) -> Tensor:
        return (prediction.frame - prediction.frame.new_tensor([0.1, 0.2, 0.3])[:, None, None]).mean()


class Mixing(Term):
    """Forgot one tensor on the host."""

    def forward(self, prediction: Prediction, batch: Batch) -> Tensor:
        return (prediction.frame * torch.ones(3, 1, 1)).mean()


def steps(backbones: Path, *requested: str) -> dict[str, list[str]]:
    """What was found, by configuration."""
    done = run_fresh("tests.helpers.fake_gpu", str(backbones), *requested, cwd=FOLDER)
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        overrides, _, place = line.partition(": ")
        found.setdefault(overrides, []).append(place)
    return found


@pytest.mark.slow
def test_what_is_wrong_is_found(backbones: Path) -> None:
    requested = [
        f"experiment=quickstart +loss.terms.wrong._target_=tests.training.test_fake_gpu.{term}"
        for term in ("Reading", "Copying", "Mixing")
    ]
    read, copied, mixed = steps(backbones, *requested).values()
    assert "went through" not in [*read, *copied, *mixed]
    assert all("_local_scalar_dense" in place for place in read)
    assert len(copied) == 2  # noted under the one name, an error under the other
    assert all("found at least two devices" in place for place in mixed)


@pytest.mark.slow
@pytest.mark.long
def test_a_step_of_each_family_stays_on_the_device(backbones: Path) -> None:
    requested = [f"experiment={name}" for name in OFTEN]
    assert steps(backbones, *requested) == {overrides: ["went through"] for overrides in requested}


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("family", FAMILIES)
def test_a_step_of_each_recipe_stays_on_the_device(family: str, backbones: Path) -> None:
    requested = [f"experiment={name}" for name in EXPERIMENTS if name.partition("_")[0] == family]
    assert steps(backbones, *requested) == {overrides: ["went through"] for overrides in requested}


@pytest.mark.slow
@pytest.mark.long
def test_a_step_with_other_losses_and_switches_stays_on_the_device(backbones: Path) -> None:
    assert steps(backbones, *SWITCHES) == {overrides: ["went through"] for overrides in SWITCHES}
