"""The plain recipes that benchmarks compare with: the same numbers, found another way."""

from __future__ import annotations

import pytest
import torch

from benchmarks.steps import SMALL, PlainStep, Step, draw_batch, recipe
from tests.helpers.golden_cases import assert_near


@pytest.mark.parametrize(
    "model", [name if name == "ifrnet_s" else pytest.param(name, marks=pytest.mark.slow) for name in SMALL]
)
def test_losses_and_gradients_are_ours(model: str) -> None:
    batch = draw_batch(recipe(model), 1, 128, "cpu")
    ours, plain = Step(recipe(model), batch), PlainStep(recipe(model), batch)
    for step in (ours, plain):
        step.run(lambda part: None)
    assert_near(ours.loss.detach() / plain.loss.detach(), torch.ones(()), 1e-5)
    assert_near(ours.norm / plain.norm, torch.ones(()), 1e-4)
