"""An optimizer or schedule of the command line over an experiment that has options of another."""

from __future__ import annotations

import pytest

from tests.helpers.in_process import composed
from vfi_train.config.replaced_choices import drop_options_of_replaced


def test_options_that_the_new_class_lacks_are_left_out_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    overrides = ("experiment=quickstart", "schedule=warmup_stable_decay", "optimizer=sgd")
    config = composed(*overrides)
    assert config.schedule.steps == 7000  # the experiment's, of a class that has it
    drop_options_of_replaced(config, overrides)
    assert dict(config.schedule) == {
        "_target_": "vfi_train.optim.schedules.WarmupStableDecay", "floor": 1e-4, "warmup_steps": 50, "decay": 0.2,
    }  # fmt: skip
    assert config.optimizer.lr == 1e-3
    assert capsys.readouterr().out == "schedule: WarmupStableDecay has no steps: left out\n"


def test_what_the_command_line_gives_stays() -> None:
    overrides = ("experiment=quickstart", "schedule=constant", "schedule.steps=5")
    config = composed(*overrides)
    drop_options_of_replaced(config, overrides)
    assert set(config.schedule) == {"_target_", "steps"}
