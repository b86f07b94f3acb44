"""Weights of terms that follow the optimizer steps."""

from __future__ import annotations

import pytest
import torch

from losses import LossSet
from losses.charbonnier import L1, L2
from losses.schedule import PiecewiseLinear
from tests.helpers.loss_sets import loss_set
from vfi_train.contract import Batch, Prediction


def test_lines_between_points() -> None:
    weight = PiecewiseLinear([[10, 0.0], [20, 1.0], [30, 0.5]])
    steps = {0: 0, 10: 0, 11: 0.1, 15: 0.5, 20: 1, 25: 0.75, 30: 0.5, 1000: 0.5}
    assert [weight(step) for step in steps] == pytest.approx(list(steps.values()))
    assert PiecewiseLinear([[5, 2.0]])(0) == 2.0


def test_a_term_keeps_its_name_while_its_weight_moves() -> None:
    losses = LossSet({"l1": L1(PiecewiseLinear([[0, 0.0], [100, 2.0]])), "l2": L2(3.0)})
    prediction, batch = Prediction(frame=torch.full((1, 3, 2, 2), 0.5)), Batch(target=torch.zeros(1, 3, 2, 2))
    for step, weight in ((0, 0.0), (50, 1.0), (400, 2.0)):
        values = {name: value.item() for name, value in losses(prediction, batch, step).items()}
        assert values == pytest.approx({"l1": weight * 0.5, "l2": 0.75, "total": weight * 0.5 + 0.75})


def test_it_is_written_in_a_config() -> None:
    points = "{_target_:losses.schedule.PiecewiseLinear,points:[[0,0.0],[10,0.2]]}"
    losses = loss_set("amt_unlabelled", f"loss.terms.census.weight={points}")
    assert dict(losses.named_terms())["census"].weight_at(5) == pytest.approx(0.1)


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match=r"the steps of points must rise; got \[0, 5, 5\]"):
        PiecewiseLinear([[0, 1.0], [5, 1.0], [5, 2.0]])
    with pytest.raises(ValueError, match=r"\[step, value\] pairs"):
        PiecewiseLinear([[0]])
    with pytest.raises(ValueError, match=r"the values of points are weights of 0 or more; got \[0\.5, -1\.0\]"):
        PiecewiseLinear([[0, 0.5], [5, -1]])
