"""Replay of a step that was not finite: which tensor is reported as the first."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from torch import Tensor

from losses import LossSet, Term
from tests.helpers.in_process import composed, train_tiny
from tests.helpers.programs import run_program
from vfi_train.architectures import Architecture
from vfi_train.contract import Batch, Prediction
from vfi_train.errors import UserError
from vfi_train.replay import file_first, read_fault, run_again


class RootOfNothing(Term):
    """Zero, with an infinite gradient."""

    def forward(self, prediction: Prediction, batch: Batch) -> Tensor:
        return (prediction.frame * 0).sum().sqrt()


@pytest.fixture
def network() -> Architecture:
    torch.manual_seed(0)
    model: Architecture = instantiate(composed("experiment=quickstart").model)
    return model


@pytest.fixture
def losses() -> LossSet:
    made: LossSet = instantiate(composed("experiment=quickstart").loss, _convert_="all")
    return made


def batch() -> Batch:
    images = torch.rand(3, 1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    return Batch(
        frame0=images[0], frame1=images[1], target=images[2], time=torch.full((1, 1, 1, 1), 0.5),
        flow=torch.zeros(1, 4, 32, 32), key=["a"],
    )  # fmt: skip


def test_a_good_batch_is_finite(network: Architecture, losses: LossSet) -> None:
    values, culprit = run_again(network, losses, batch(), 0, "32-true")
    assert culprit is None
    parts = [value for name, value in values.items() if name != "total"]
    assert len(parts) == 4
    assert values["total"] == pytest.approx(sum(parts))


def test_the_first_in_the_order_of_computation_is_named(network: Architecture, losses: LossSet) -> None:
    broken = batch()
    broken["flow"][0, 2, 5, 7] = math.inf
    values, culprit = run_again(network, losses, broken, 0, "32-true")
    assert culprit == "batch.flow: 1 of 4,096 values, the first at [0, 2, 5, 7]"
    assert math.isfinite(values["charbonnier"])
    assert not math.isfinite(values["distillation"])
    layers = [n for n, p in network.named_parameters() if p.ndim == 4]
    with torch.no_grad():
        dict(network.named_parameters())[layers[2]].fill_(3e38)
    _, culprit = run_again(network, losses, batch(), 0, "32-true")
    assert culprit is not None
    assert culprit.startswith(f"the output of {layers[2].removesuffix('.weight')} (Conv2d)")


def test_a_gradient_alone_is_found(network: Architecture) -> None:
    values, culprit = run_again(network, LossSet({"root": RootOfNothing()}), batch(), 0, "32-true")
    assert values["total"] == 0
    assert culprit is not None
    assert culprit.startswith("the gradient at the output of ")


def test_what_a_run_kept_is_replayed(tmp_path: Path) -> None:
    poison = "+callbacks.poison={_target_: tests.helpers.recorder.Poison, steps: [2]}"
    run = train_tiny(tmp_path, "trainer.max_steps=2", poison)
    (file,) = (run / "faults").iterdir()
    result = run_program("vfi_train.replay", str(file), cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "first that is not finite: batch.target: 1 of 12,288 values, the first at [0, 0, 3, 5]" in result.stdout
    for key in read_fault(file)["batches"][0]["key"]:
        assert key in result.stdout
    for term in ("charbonnier", "census", "geometry", "distillation"):
        assert term in result.stdout


def test_other_files_are_one_sentence(tmp_path: Path) -> None:
    given = ["runs/seed=1/x.pt", "file=x.pt", "device=cpu"]
    assert file_first(given) == ["file=runs/seed=1/x.pt", "file=x.pt", "device=cpu"]
    with pytest.raises(UserError, match="there is no file"):
        read_fault(tmp_path / "x.pt")
    (tmp_path / "x.pt").write_bytes(b"x")
    with pytest.raises(UserError, match="is a text file"):
        read_fault(tmp_path / "x.pt")
    torch.save({"step": 1}, tmp_path / "x.pt")
    with pytest.raises(UserError, match="holds no training step"):
        read_fault(tmp_path / "x.pt")
