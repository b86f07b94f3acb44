"""Commands inside the test's own process, as their modules run them."""

from __future__ import annotations

import runpy
import signal
import sys
from pathlib import Path

import pytest

from tests.helpers.in_process import composed
from vfi_train.config.overrides import check_values, hydra_arguments
from vfi_train.training.command import plan_run
from vfi_train.training.plan import TrainingPlan

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)  # that a training handles


def exit_status(module: str, *arguments: str, cwd: Path) -> int:
    """Run `python -m MODULE ARGUMENTS` in a folder; its exit status."""
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cwd)
        patch.setattr(sys, "argv", [module, *arguments])
        patch.delitem(sys.modules, module, raising=False)  # else it would be there twice
        try:
            runpy.run_module(module, run_name="__main__", alter_sys=False)
        except SystemExit as end:
            return int(end.code or 0)
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
    return 0


def plan_of(*arguments: str) -> TrainingPlan:
    """What `python -m vfi_train ARGUMENTS` is going to train."""
    overrides = hydra_arguments(arguments)
    config = composed(*overrides)
    check_values(config, overrides, "train")
    return plan_run(config)


def files_below(folder: Path) -> set[str]:
    """Everything in a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}
