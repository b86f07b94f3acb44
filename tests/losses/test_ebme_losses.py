"""EBME's losses against `ebme_functions`."""

from __future__ import annotations

import pytest
import torch

from losses.census import census_loss, luma
from losses.charbonnier import L1
from tests.helpers.golden_cases import assert_near, frame, load
from tests.helpers.loss_sets import loss_set
from vfi_train.contract import Batch, Prediction


def test_terms_and_gradient_equal_the_published_ones() -> None:
    case = load("ebme_functions", "loss_32x64")
    prediction = frame(32, 64, 0.3, 110, 2).double().requires_grad_()
    batch = Batch(target=frame(32, 64, 0.5, 110, 2).double())
    terms = loss_set("ebme")(Prediction(prediction), batch)
    assert terms["charbonnier"].item() == pytest.approx(case.info["charbonnier"], rel=1e-9)
    assert terms["census"].item() == pytest.approx(0.1 * case.info["census"], rel=1e-7)
    assert terms["total"].item() == pytest.approx(case.info["loss"], rel=1e-7)
    assert L1()(Prediction(prediction), batch).item() == pytest.approx(case.info["l1"], rel=1e-9)
    (gradient,) = torch.autograd.grad(terms["total"], prediction)
    assert_near(gradient, case.arrays["gradient"], 1e-9)


def test_the_census_map_has_that_mean() -> None:
    case = load("ebme_functions", "loss_32x64")
    x, y = (luma(frame(32, 64, phase, 110, 2)) for phase in (0.3, 0.5))
    assert census_loss(x, y, 7, 1).item() == pytest.approx(case.tensor("census_map").mean().item(), rel=1e-5)
    inside = case.tensor("census_map")[..., 1:-1, 1:-1]
    assert inside.mean().item() == pytest.approx(case.info["census_map_mean_inside_a_border_of_1"], rel=1e-5)
