"""An optimizer or schedule of the command line over an experiment that has options of another."""

from __future__ import annotations

import pytest

from tests.helpers.in_process import composed
from vfi_train.config.replaced_choices import drop_options_of_replaced
from vfi_train.config.targets import check_targets
from vfi_train.errors import UserError


def test_options_that_the_new_class_lacks_are_left_out_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    overrides = ("experiment=emavfi_small_t_co3d", "schedule=warmup_stable_decay", "optimizer=sgd")
    config = composed(*overrides)
    assert config.schedule.start == 2e-5  # the experiment's, of a class that has it
    drop_options_of_replaced(config, overrides)
    assert set(config.schedule) == {"_target_", "floor", "warmup_steps", "decay"}
    assert (config.schedule.floor, config.schedule.decay, config.optimizer.lr) == (2e-5, 0.2, 1e-4)
    assert capsys.readouterr().out == "schedule: WarmupStableDecay has no start, steps: left out\n"


def test_what_the_command_line_gives_stays() -> None:
    overrides = ("experiment=quickstart", "schedule=constant", "schedule.floor=5")
    config = composed(*overrides)
    drop_options_of_replaced(config, overrides)
    assert set(config.schedule) == {"_target_", "floor"}


def test_data_of_another_kind_leaves_out_what_it_does_not_take(capsys: pytest.CaptureFixture[str]) -> None:
    overrides = ("experiment=quickstart", "data=video", "data.gap=2")
    config = composed(*overrides)
    assert config.data.size == 64  # the experiment's, of drawn scenes
    drop_options_of_replaced(config, overrides)
    assert "size" not in config.data
    assert (config.data.batch_size, config.data.gap) == (4, 2)
    assert capsys.readouterr().out == "data: Video has no size: left out\n"


def test_options_that_a_data_module_passes_on_are_known() -> None:
    config = composed("experiment=quickstart", "data=video", "~data.size", "+data.batchsize=4")
    with pytest.raises(UserError, match="there is no key 'batchsize' in data: did you mean 'batch_size'"):
        check_targets(config.data, "data")
